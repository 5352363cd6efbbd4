"""Makes data folders, and stores secrets in them."""

import json
import os
import secrets
from collections.abc import Container
from pathlib import Path

from services.devstack.errors import ServerError

#: The format of a data folder, in its files of secrets. Raise it where a folder of an earlier one
#: cannot be used any more.
FORMAT = 1
#: The checkout.
ROOT = Path(__file__).resolve().parents[2]


def make_folder(folder: Path, *, passable: bool = False) -> None:
    """Make a folder that only its owner can read.

    `passable`: where root owns it, other accounts may pass through it, as PostgreSQL's has to.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if folder.stat().st_uid == os.geteuid():
        folder.chmod(0o711 if passable and os.geteuid() == 0 else 0o700)


def open_private(path: str, flags: int) -> int:
    """Open a file for `open(…, opener=open_private)`: a new one is readable by its owner only."""
    return os.open(path, flags, 0o600)


def close_to_others(folder: Path, *, skipped: Container[str] = ()) -> None:
    """Take the rights of other accounts away from the files and folders below a data folder.

    Files of an older version, or of another umask, may be open to others. Only what this account
    owns is changed, links are not followed, and folders named in `skipped` are left alone.
    """
    with os.scandir(folder) as found:
        entries = list(found)
    for entry in entries:
        status = entry.stat(follow_symlinks=False)
        if entry.is_symlink() or status.st_uid != os.geteuid() or entry.name in skipped:
            continue
        is_folder = entry.is_dir(follow_symlinks=False)
        if is_folder or entry.is_file(follow_symlinks=False):
            os.chmod(entry.path, status.st_mode & 0o700)
        if is_folder:
            close_to_others(Path(entry.path), skipped=skipped)


def load_or_create_secrets(file: Path, *names: str) -> dict[str, str]:
    """Return the secrets of these names; a missing file is made first, of random ones (mode 600).

    Raises ServerError, also for a file of another FORMAT.
    """
    if not file.exists():
        half = file.with_suffix(".new")
        half.unlink(missing_ok=True)
        with open(
            os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii"
        ) as output:
            made = {name: secrets.token_hex(32) for name in names}
            json.dump({"format": FORMAT, **made}, output)
            output.flush()
            os.fsync(output.fileno())
        half.rename(file)
    try:
        saved = json.loads(file.read_text(encoding="ascii"))
        # The folders before the first format state none.
        if (found := int(saved.get("format", 0))) == FORMAT:
            return {name: str(saved[name]) for name in names}
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise ServerError(
            f"{file} cannot be read as passwords: restore it, or choose another data folder"
        ) from error
    age = "an older" if found < FORMAT else "a newer"
    raise ServerError(
        f"{file.parent} was made by {age} version of Onefold, in format {found} instead of"
        f" {FORMAT}: use that version, or choose another data folder"
    )


def load_secrets(data_dir: Path) -> dict[str, str]:
    """Return the secrets of a data folder by name, made with its first start.

    `internal` is the key with which services call each other, `index` that which ids are derived
    with, `seal` that which secrets of destinations are sealed with, `bus` that which authenticates
    the messages of the services on NATS. Raises ServerError.
    """
    return load_or_create_secrets(data_dir / "secrets.json", "internal", "index", "seal", "bus")


def load_internal_key(data_dir: Path) -> str:
    """Return the key with which services call each other. Raises ServerError."""
    return load_secrets(data_dir)["internal"]
