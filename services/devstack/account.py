"""Whose rights an engine runs with, and how it reaches folders that these rights do not open.

PostgreSQL refuses to run as root. Started by root, it runs as an unprivileged account, which may
not pass through the folders above the data (/root is 0700). No home is opened for it: the folder is
handed over as an open descriptor, which Linux lets its holder use as the path /proc/self/fd/N,
whatever stands above it.
"""

import os
import pwd
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

#: Accounts to run as when root starts us, the best first; `nobody` is shared with other programs.
CANDIDATES = ("onefold", "nobody")
ACCOUNT_VARIABLE = "ONEFOLD_PG_USER"


@dataclass(frozen=True)
class Account:
    """An OS account that is not root."""

    uid: int
    gid: int


def unprivileged(owned: Path) -> Account | None:
    """Choose the account to run as: None when we are not root ourselves.

    The owner of the folder `owned` stays its owner; for a new one it is ONEFOLD_PG_USER, else the
    first candidate that exists. Raises LookupError in words for the user.
    """
    if os.geteuid() != 0:
        return None
    if owned.exists() and (status := owned.stat()).st_uid != 0:
        return Account(status.st_uid, status.st_gid)
    wished = os.environ.get(ACCOUNT_VARIABLE)
    for name in (wished,) if wished else CANDIDATES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_uid != 0:
            return Account(entry.pw_uid, entry.pw_gid)
    raise LookupError(
        "PostgreSQL does not run as root, and there is no account "
        f"{wished or ' or '.join(CANDIDATES)}: "
        f"make one (useradd --system onefold) or name another in {ACCOUNT_VARIABLE}"
    )


def can_enter(folder: Path, account: Account | None) -> bool:
    """Say whether the account (None is ourselves) may pass through the folder and all above it.

    Mode bits decide, access lists are not read.
    """
    if account is None:
        return True
    return all(_opens(each.stat(), account) for each in (folder, *folder.parents))


@contextmanager
def reachable(folder: Path, account: Account | None) -> Iterator[tuple[Path, tuple[int, ...]]]:
    """Give a path to the folder that works for the account, and what its process must inherit."""
    if can_enter(folder.parent, account):
        yield folder, ()
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield Path(f"/proc/self/fd/{descriptor}"), (descriptor,)
    finally:
        os.close(descriptor)


def _opens(status: os.stat_result, account: Account) -> bool:
    if status.st_uid == account.uid:
        return bool(status.st_mode & stat.S_IXUSR)
    if status.st_gid == account.gid:
        return bool(status.st_mode & stat.S_IXGRP)
    return bool(status.st_mode & stat.S_IXOTH)
