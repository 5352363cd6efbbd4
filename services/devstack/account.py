"""Chooses the OS account that a server runs as, and gives it paths that it may open.

PostgreSQL refuses to run as root. Started by root, it runs as an unprivileged account, which may
not pass through the folders above the data (/root is 0700). No permission is changed for it: the
folder is passed as an open descriptor, which Linux offers to its holder as the path
/proc/self/fd/N, whatever the permissions of the folders above it.
"""

import os
import pwd
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from services.devstack.errors import ServerError

#: Accounts to run as when root starts us, the best first; the last is shared with other programs.
CANDIDATES = ("onefold", "nobody")
ACCOUNT_VARIABLE = "ONEFOLD_PG_USER"


@dataclass(frozen=True)
class OsAccount:
    """An account of the operating system that is not root."""

    uid: int
    gid: int


def unprivileged_account(folder: Path) -> OsAccount | None:
    """Return the account to run as: None when this process does not run as root.

    The owner of `folder` stays its owner; for a new folder it is ONEFOLD_PG_USER, else the first
    candidate that exists. Raises ServerError.
    """
    if os.geteuid() != 0:
        return None
    if folder.exists() and (status := folder.stat()).st_uid != 0:
        return OsAccount(status.st_uid, status.st_gid)
    named = os.environ.get(ACCOUNT_VARIABLE)
    for name in (named,) if named else CANDIDATES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_uid != 0:
            return OsAccount(entry.pw_uid, entry.pw_gid)
    raise ServerError(
        "PostgreSQL does not run as root, and there is no account "
        f"{named or ' or '.join(CANDIDATES)}: "
        f"make one (useradd --system onefold) or name another in {ACCOUNT_VARIABLE}"
    )


def can_enter(folder: Path, account: OsAccount | None) -> bool:
    """Return whether the account (None = our own) may pass through the folder and all above it.

    Mode bits decide; access lists are not read.
    """
    if account is None:
        return True
    return all(_may_pass(each.stat(), account) for each in (folder, *folder.parents))


@contextmanager
def path_for(folder: Path, account: OsAccount | None) -> Iterator[tuple[Path, tuple[int, ...]]]:
    """Yield a path to the folder that the account can open, and the descriptors to inherit."""
    if can_enter(folder.parent, account):
        yield folder, ()
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield Path(f"/proc/self/fd/{descriptor}"), (descriptor,)
    finally:
        os.close(descriptor)


def _may_pass(status: os.stat_result, account: OsAccount) -> bool:
    if status.st_uid == account.uid:
        return bool(status.st_mode & stat.S_IXUSR)
    if status.st_gid == account.gid:
        return bool(status.st_mode & stat.S_IXGRP)
    return bool(status.st_mode & stat.S_IXOTH)
