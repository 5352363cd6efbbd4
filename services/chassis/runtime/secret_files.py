"""Reads secrets from files: `ONEFOLD_INTERNAL_KEY_FILE` names a file with the internal key.

Container engines mount secrets as files, which neither the environment of a process nor `docker
inspect` shows.
"""

from __future__ import annotations

import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

SUFFIX = "_FILE"
#: The largest file of a secret, bytes.
MAX_BYTES = 64 * 1024
#: Container engines mount secrets here, readable by the one account that a container has.
MOUNTED = Path("/run/secrets")


class SecretFileError(ValueError):
    """A secret cannot be read from its file. The text names the variable, and no secret."""


class SecretFileSource(PydanticBaseSettingsSource):
    """The values of secret fields whose variable, with `_FILE` after it, names a file."""

    def __init__(
        self, settings: type[BaseSettings], prefix: str, environment: Mapping[str, str]
    ) -> None:
        super().__init__(settings)
        self._prefix = prefix
        self._environment = environment

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Return the content of the field's file, None where there is none."""
        if not is_secret(field):
            return None, field_name, False
        variable = f"{self._prefix}{field_name.upper()}"
        return read_secret(variable, self._environment), field_name, False

    def __call__(self) -> dict[str, Any]:
        """Return the values by field."""
        values = {
            name: self.get_field_value(field, name)[0]
            for name, field in self.settings_cls.model_fields.items()
        }
        return {name: value for name, value in values.items() if value is not None}


def is_secret(field: FieldInfo) -> bool:
    """Return whether a field holds a secret, which its type says."""
    return _mentions_secret(field.annotation)


def read_secret(variable: str, environment: Mapping[str, str]) -> str | None:
    """Return the secret in the file that `<variable>_FILE` names, without line ends at its end.

    None where that is not set. Raises SecretFileError where the variable itself is set, too, and
    where the file cannot be read or is empty.
    """
    named = environment.get(variable + SUFFIX, "")
    if not named:
        return None
    if environment.get(variable):
        raise SecretFileError(f"{variable} and {variable}{SUFFIX} are both set: remove one of them")
    try:
        with Path(named).open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
        secret = raw.decode("utf-8").rstrip("\r\n")
    except OSError as error:
        raise SecretFileError(
            f"{variable}{SUFFIX}: {named} cannot be read ({error.strerror})"
        ) from None
    except UnicodeDecodeError:
        raise SecretFileError(f"{variable}{SUFFIX}: {named} is not UTF-8") from None
    if not secret or len(raw) > MAX_BYTES:
        problem = f"has more than {MAX_BYTES} bytes" if secret else "is empty"
        raise SecretFileError(f"{variable}{SUFFIX}: {named} {problem}")
    return secret


def files_open_to_others(
    settings: type[BaseSettings], environment: Mapping[str, str], *prefixes: str
) -> list[str]:
    """Return the variables of secret files that every account of the machine can read."""
    secrets = [name.upper() for name, field in settings.model_fields.items() if is_secret(field)]
    variables = {f"{prefix}{name}{SUFFIX}" for prefix in prefixes for name in secrets}
    named = ((name, environment.get(name, "")) for name in sorted(variables))
    return [name for name, value in named if value and _is_open_to_others(Path(value))]


def _is_open_to_others(path: Path) -> bool:
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return bool(mode & (stat.S_IROTH | stat.S_IWOTH)) and MOUNTED not in path.parents


def _mentions_secret(annotation: Any) -> bool:
    return annotation is SecretStr or any(map(_mentions_secret, get_args(annotation)))
