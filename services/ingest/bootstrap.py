"""What a first start makes: the workspace `default`, and the key that opens everything in it."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import structlog
from pydantic import SecretStr

from services.chassis.access.keys import hash_key, issue_key
from services.chassis.access.principal import Role
from services.ingest.commands.admin import Administration
from services.ingest.domain.definitions import KeyDefinition, WorkspaceDefinition

log = structlog.get_logger(__name__)

WORKSPACE = "default"
KEY_FILE = "admin.key"


async def prepare(
    administration: Administration,
    admin_key: SecretStr | None,
    data_dir: Path | None,
    default_region: str = "",
) -> None:
    """Make sure that the workspace and its admin key are in the log; any number of times.

    Raises InvalidField where the workspace is there with another default region.
    """
    key = admin_key.get_secret_value() if admin_key else read_or_make_key(data_dir)
    workspace = WorkspaceDefinition(WORKSPACE, "the first workspace", default_region)
    await administration.ensure(workspace)
    if key:
        await administration.ensure(_definition(key))


def read_or_make_key(data_dir: Path | None) -> str | None:
    """The key in `<data_dir>/admin.key`, made on first use; None where there is no such folder.

    The file comes before the log: a key in the log that nobody holds would lock everybody out.
    """
    if data_dir is None:
        log.warning("admin_key_not_made", because="neither admin_key nor data_dir is set")
        return None
    file = data_dir / KEY_FILE
    if not file.exists():
        data_dir.mkdir(parents=True, exist_ok=True)
        _write_once(file, issue_key(Role.ADMIN).key)
    return file.read_text("utf-8").strip()


def _write_once(file: Path, key: str) -> None:
    """Write a file that only we can read, whole or not at all; another's is left as it is."""
    draft = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as opened:
        opened.write(key + "\n")
        opened.flush()
        os.fsync(opened.fileno())
    try:
        os.link(draft, file)
        log.info("admin_key_written", file=str(file))
    except FileExistsError:
        log.info("admin_key_found", file=str(file))
    finally:
        draft.unlink()


def _definition(key: str) -> KeyDefinition:
    key_hash = hash_key(key)
    return KeyDefinition(
        *(WORKSPACE, f"key_{key_hash[:8].hex()}", key_hash, Role.ADMIN),
        title="the first admin key",
    )
