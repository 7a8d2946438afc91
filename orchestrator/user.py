"""From root to somebody else, without a way back."""

from __future__ import annotations

import ctypes
import os
import pwd
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from orchestrator.errors import HostError, UsageError

__all__ = ("acting_as", "become", "find_user", "home_of")

_PR_SET_NO_NEW_PRIVS = 38
_INSTALLED = (os.path.dirname(__file__), os.path.dirname(os.__file__), sys.prefix)


def find_user(name: str) -> pwd.struct_passwd | None:
    """Whom to become; None if that is whom we are. Raises UsageError and HostError if it cannot be."""
    try:
        user = pwd.getpwnam(name)
    except KeyError:
        raise UsageError(f"user {name}: there is no such user on this host") from None
    if user.pw_uid == os.geteuid():
        return None
    if os.geteuid() != 0:
        raise UsageError(f"user {name}: only root can become somebody else: run as root, or leave it out")
    with acting_as(user):  # what is imported later is read by the user
        hidden = [path for path in _INSTALLED if not os.access(path, os.R_OK | os.X_OK, effective_ids=True)]
    if hidden:
        raise HostError(f"user {name} cannot read {hidden[0]}: install Python and orchestrate where everybody can")
    return user


def home_of(user: pwd.struct_passwd) -> dict[str, str]:
    """The variables that say where files of ``user`` are kept."""
    return {"HOME": user.pw_dir, "XDG_STATE_HOME": ""}


@contextmanager
def acting_as(user: pwd.struct_passwd | None) -> Iterator[None]:
    """What is opened and made meanwhile is the user's, and only where the user may; None changes nothing."""
    if user is None:
        yield
        return
    groups, group = os.getgroups(), os.getegid()
    try:
        os.setgroups(os.getgrouplist(user.pw_name, user.pw_gid))
        os.setegid(user.pw_gid)
        os.seteuid(user.pw_uid)
    except OSError as error:
        raise _not_allowed(user, error) from None
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(group)
        os.setgroups(groups)


def become(user: pwd.struct_passwd) -> None:
    """All threads of this process run as ``user`` from here on; the kernel takes their capabilities with uid 0.

    Raises HostError if it did not.
    """
    try:
        os.setgroups(os.getgrouplist(user.pw_name, user.pw_gid))
        os.setresgid(user.pw_gid, user.pw_gid, user.pw_gid)
        os.setresuid(user.pw_uid, user.pw_uid, user.pw_uid)
    except OSError as error:
        raise _not_allowed(user, error) from None
    ctypes.CDLL(None).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)  # no setuid program gives anything back


def _not_allowed(user: pwd.struct_passwd, error: OSError) -> HostError:
    return HostError(f"cannot become {user.pw_name}: {error.strerror}: grant CAP_SETUID and CAP_SETGID")
