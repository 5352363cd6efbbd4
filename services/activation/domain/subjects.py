"""Decides on which NATS subjects the destinations of a workspace may publish."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

from services.kernel.ids import WorkspaceId

MAX_SUBJECT = 256
#: One part of a subject: no white space, no dot, no wildcard.
_SUBJECT = re.compile(r"[^\s.*>]+(\.[^\s.*>]+)*")
_ALLOWED = re.compile(r"(?P<workspace>\*|[a-z0-9][a-z0-9_-]*)=(?P<subject>[^\s=]+)")
ANY_WORKSPACE = "*"
_OUT = "onefold.out."
#: First parts of the subjects of NATS and of the system, which no entry may open.
_RESERVED = re.compile(r"\$|_INBOX|_R_|onefold(?:\.|$)")


def own_prefix(workspace_id: WorkspaceId) -> str:
    """Return the beginning of the subjects that every workspace may publish on."""
    return f"{_OUT}{workspace_id}."


def is_subject(text: str) -> bool:
    """Return whether a text is a subject without wildcards, of a length that is stored."""
    return len(text) <= MAX_SUBJECT and text.isprintable() and _SUBJECT.fullmatch(text) is not None


def is_reserved(subject: str) -> bool:
    """Return whether a subject belongs to NATS or to the system; not those below `onefold.out.`."""
    return _RESERVED.match(subject) is not None and not subject.startswith(_OUT)


@dataclass(frozen=True, slots=True)
class AllowedSubjects:
    """Subjects outside of `onefold.out.WORKSPACE.` that the operator allows."""

    #: (workspace or `*`, subject); a subject that ends with `.>` stands for all below it.
    entries: frozenset[tuple[str, str]] = frozenset()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse entries separated by commas: `WORKSPACE=SUBJECT`, `*` for every workspace.

        Raises ValueError, which names the wrong entry.
        """
        entries: set[tuple[str, str]] = set()
        for entry in filter(None, (part.strip() for part in text.split(","))):
            match = _ALLOWED.fullmatch(entry)
            subject = match["subject"].removesuffix(".>") if match else ""
            if match is None or not is_subject(subject):
                raise ValueError(
                    f"`{entry}` is no allowed subject: write workspace=orders.created, or"
                    " workspace=orders.> for all subjects below orders"
                )
            if is_reserved(subject):
                raise ValueError(f"`{entry}` is a subject of the system, which cannot be allowed")
            entries.add((match["workspace"], match["subject"]))
        return cls(frozenset(entries))

    def allows(self, workspace_id: WorkspaceId, subject: str) -> bool:
        """Return whether the destinations of a workspace may publish on a subject."""
        if not is_subject(subject):
            return False
        if subject.startswith(own_prefix(workspace_id)):
            return True
        return not is_reserved(subject) and any(
            workspace in (ANY_WORKSPACE, workspace_id) and _covers(allowed, subject)
            for workspace, allowed in self.entries
        )


def _covers(allowed: str, subject: str) -> bool:
    if allowed.endswith(".>"):
        return subject.startswith(allowed.removesuffix(">"))
    return subject == allowed
