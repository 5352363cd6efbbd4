"""Creates the workspace `default` and its admin key on a first start."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import structlog

from services.chassis.access.keys import identify_key, issue_key
from services.chassis.access.principal import Role
from services.ingest.commands.admin import Administration
from services.ingest.commands.keys import KeyCommands
from services.ingest.domain.definitions import WorkspaceDefinition
from services.ingest.domain.keys import KeyState
from services.ingest.settings import IngestSettings

log = structlog.get_logger(__name__)

WORKSPACE = "default"
KEY_FILE = "admin.key"


async def bootstrap_workspace(
    administration: Administration, keys: KeyCommands, settings: IngestSettings
) -> None:
    """Define the workspace and its admin key in the log; safe to repeat at every start.

    Where the settings name another admin key than before, the previous one expires after the
    overlap. Raises InvalidField where the workspace exists with another default region.
    """
    secret = settings.admin_key
    key = secret.get_secret_value() if secret else load_or_create_admin_key(settings.data_dir)
    workspace = WorkspaceDefinition(WORKSPACE, "the first workspace", settings.default_region)
    await administration.ensure_workspace(workspace)
    if not key:
        return
    overlap_us = round(settings.admin_key_overlap_s * 1_000_000)
    state = await keys.ensure_bootstrap(WORKSPACE, identify_key(key), overlap_us=overlap_us)
    if state is not KeyState.ACTIVE:
        log.error(
            "admin_key_replaced",
            state=state.name.lower(),
            remedy="set ONEFOLD_INGEST_ADMIN_KEY to the key that has replaced it, or to a new one",
        )


def load_or_create_admin_key(data_dir: Path | None) -> str | None:
    """Return the key in `<data_dir>/admin.key`, created on first use; None without a folder.

    The file is written before the key is in the log: a key in the log whose secret is lost would
    lock every user out.
    """
    if data_dir is None:
        log.warning("admin_key_not_created", reason="neither admin_key nor data_dir is set")
        return None
    file = data_dir / KEY_FILE
    if not file.exists():
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        _write_once(file, issue_key(Role.ADMIN).key)
    return file.read_text("utf-8").strip()


def _write_once(file: Path, key: str) -> None:
    """Write a file that only this user can read, all or nothing; keep an existing one."""
    draft = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as opened:
        opened.write(key + "\n")
        opened.flush()
        os.fsync(opened.fileno())
    try:
        os.link(draft, file)
        log.info("admin_key_created", file=str(file))
    except FileExistsError:
        log.info("admin_key_found", file=str(file))
    finally:
        draft.unlink()
