"""Chooses the OS account that a server runs as, and gives it paths that it may open.

PostgreSQL refuses to run as root. Started by root, it runs as an account of its own: whatever runs
as the same account can read the database, so it is never the one that unprivileged programs share.
The account is made where it is missing. It may not pass through the folders above the data (/root
is 0700). No permission is changed for it: the folder is passed as an open descriptor, which Linux
offers to its holder as the path /proc/self/fd/N, whatever the permissions of the folders above it.
"""

import os
import pwd
import shutil
import stat
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog

from services.devstack.errors import ServerError

#: The account to run as when root starts us, and the variable that names another.
ACCOUNT = "onefold"
ACCOUNT_VARIABLE = "ONEFOLD_PG_USER"
#: An account that other programs run as, too.
SHARED = "nobody"
#: Adds a system account without a login. Another process may hold the lock of the account files.
_ADD = ("useradd", "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent")
_NO_LOGIN = ("/usr/sbin/nologin", "/sbin/nologin")
_ADD_FOLDERS = "/usr/sbin:/sbin:/usr/bin:/bin"
_ADD_TRIES, _ADD_PAUSE_S = 20, 0.25

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class OsAccount:
    """An account of the operating system that is not root."""

    uid: int
    gid: int


def unprivileged_account(folder: Path) -> OsAccount | None:
    """Return the account to run as: None when this process does not run as root.

    The owner of `folder` stays its owner; for a new folder it is ONEFOLD_PG_USER, else `onefold`,
    which is made where it is missing. Raises ServerError.
    """
    if os.geteuid() != 0:
        return None
    if folder.exists() and (status := folder.stat()).st_uid != 0:
        account = OsAccount(status.st_uid, status.st_gid)
        if account == _account_named(SHARED):
            raise ServerError(
                f"{folder} belongs to {SHARED}, which other programs run as: "
                f"`chown -R {ACCOUNT}: {folder}`, or choose another data folder with --data"
            )
        return account
    named = os.environ.get(ACCOUNT_VARIABLE)
    found = _account_named(named) if named else _account_named(ACCOUNT) or _make_account()
    if found is None or named == SHARED:
        problem = "other programs run as it" if named == SHARED else "there is no such account"
        raise ServerError(
            f"PostgreSQL does not run as root and cannot run as {named or ACCOUNT}: {problem}. "
            f"Make an account (useradd --system {ACCOUNT}), name another in {ACCOUNT_VARIABLE}, or "
            "start onefold as an ordinary user"
        )
    return found


def _account_named(name: str) -> OsAccount | None:
    """Return an account that is not root's; None where there is none of this name."""
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return None
    return OsAccount(entry.pw_uid, entry.pw_gid) if entry.pw_uid != 0 else None


def _make_account() -> OsAccount | None:
    """Make the account; None where this system does not let us."""
    program = shutil.which(_ADD[0], path=_ADD_FOLDERS)
    shell = next((s for s in _NO_LOGIN if Path(s).exists()), "/bin/false")
    for _ in range(_ADD_TRIES if program else 0):
        argv = [program or "", *_ADD[1:], "--shell", shell, ACCOUNT]
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, check=False)
        # Another start may have made it in between, or may be about to.
        if (account := _account_named(ACCOUNT)) is not None:
            log.info("account_created", account=ACCOUNT, by_this_process=done.returncode == 0)
            return account
        time.sleep(_ADD_PAUSE_S)
    return None


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
