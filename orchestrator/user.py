"""From root to somebody else, without a way back."""

from __future__ import annotations

import ctypes
import os
import pwd

from orchestrator.errors import HostError, UsageError

__all__ = ("become", "find_user")

_PR_SET_NO_NEW_PRIVS = 38


def find_user(name: str) -> pwd.struct_passwd | None:
    """Whom to become; None if that is whom we are. Raises UsageError if it cannot be."""
    try:
        user = pwd.getpwnam(name)
    except KeyError:
        raise UsageError(f"user {name}: there is no such user on this host") from None
    if user.pw_uid == os.geteuid():
        return None
    if os.geteuid() != 0:
        raise UsageError(f"user {name}: only root can become somebody else: run as root, or leave it out")
    return user


def become(user: pwd.struct_passwd) -> None:
    """All threads of this process run as ``user`` from here on; the kernel takes their capabilities with uid 0.

    Raises HostError if it did not.
    """
    try:
        os.setgroups(os.getgrouplist(user.pw_name, user.pw_gid))
        os.setresgid(user.pw_gid, user.pw_gid, user.pw_gid)
        os.setresuid(user.pw_uid, user.pw_uid, user.pw_uid)
    except OSError as error:
        raise HostError(f"cannot become {user.pw_name}: {error.strerror}: grant CAP_SETUID and CAP_SETGID") from None
    ctypes.CDLL(None).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)  # no setuid program gives anything back
