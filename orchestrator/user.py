"""From root to somebody else: first so that what we open and make is the user's, then without a way back.

In between only a child goes back, to be bpftrace: were it our process, other threads would act as root meanwhile.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import sys

from orchestrator.errors import HostError, UsageError

__all__ = ("act_as", "become", "find_user", "go_back", "home_of")

_PR_SET_NO_NEW_PRIVS = 38
_INSTALLED = (os.path.dirname(__file__), os.path.dirname(os.__file__), sys.prefix)


def find_user(name: str) -> pwd.struct_passwd | None:
    """Whom to become; None if that is whom we are. Raises UsageError if it cannot be."""
    try:
        user = pwd.getpwnam(name)
    except KeyError:
        raise UsageError(f"user {name or repr(name)}: there is no such user on this host") from None
    if user.pw_uid == os.geteuid():
        return None
    if os.geteuid() != 0:
        raise UsageError(f"user {name}: only root can become somebody else: run as root, or leave it out")
    return user


def home_of(user: pwd.struct_passwd) -> dict[str, str]:
    """The variables that say where files of ``user`` are kept."""
    return {"HOME": user.pw_dir, "XDG_STATE_HOME": ""}


def act_as(user: pwd.struct_passwd) -> None:
    """All threads have the rights of ``user`` from here on, but could go back. Raises HostError if that cannot be."""
    try:
        os.setgroups(os.getgrouplist(user.pw_name, user.pw_gid))
        os.setegid(user.pw_gid)
        os.seteuid(user.pw_uid)
    except OSError as error:
        mend = "grant CAP_SETUID and CAP_SETGID"
        raise HostError(f"cannot become {user.pw_name}: {error.strerror}: {mend}") from None
    hidden = [path for path in _INSTALLED if not os.access(path, os.R_OK | os.X_OK, effective_ids=True)]
    if hidden:  # what is imported later is read by the user
        where = "install Python and orchestrate where everybody can"
        raise HostError(f"user {user.pw_name} cannot read {hidden[0]}: {where}")


def go_back() -> None:
    """In a child, before exec: be root again where we only act as somebody else."""
    if os.getuid() == 0 != os.geteuid():
        os.seteuid(0)
        os.setegid(0)
        os.setgroups([])


def become(user: pwd.struct_passwd) -> None:
    """Be, in all threads, whom we act as; the capabilities that wait for root are gone."""
    os.setresgid(user.pw_gid, user.pw_gid, user.pw_gid)
    os.setresuid(user.pw_uid, user.pw_uid, user.pw_uid)
    ctypes.CDLL(None).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)  # no setuid program gives anything back
