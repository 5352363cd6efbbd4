"""Finds persons by any identifier in any form, and by the beginning of a name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from services.kernel.errors import InvalidField
from services.kernel.identifiers.model import Identifier, validation_error
from services.kernel.identifiers.normalize import normalize
from services.kernel.identifiers.priority import DEVICE_NAMESPACES, PRIORITY
from services.kernel.ids import WorkspaceId, parse_id
from services.kernel.index_key import IndexKey
from services.profile.domain.names import plain_form
from services.profile.queries.profiles import ProfilePage, ProfileQueries
from services.profile.store.profiles import profiles_found

#: Characters of a text that is searched for.
MAX_TEXT = 200


@dataclass(frozen=True, slots=True)
class ProfileSearch:
    """What a text may mean: some ids, and the beginning of a name."""

    workspace_id: WorkspaceId
    #: Of identifiers and profiles.
    ids: Sequence[bytes]
    #: Empty where the text is the beginning of no name.
    beginning: str

    @classmethod
    def of(
        cls, text: str, workspace_id: WorkspaceId, region: str, index_key: IndexKey
    ) -> ProfileSearch:
        """Return the search for a text. Raises InvalidField."""
        entered = text.strip()
        if not entered or len(entered) > MAX_TEXT:
            raise InvalidField(f"write 1 to {MAX_TEXT} characters to search for", field="text")
        ids: list[bytes] = []
        with suppress(InvalidField):
            ids.append(parse_id(entered, "text"))
        ids += [i.id_in(workspace_id, index_key) for i in _identifiers(entered, region)]
        return cls(workspace_id, ids, plain_form(entered))

    def without_names(self) -> ProfileSearch:
        """Return the search for whole identifiers alone, for callers who see no names: a search for
        beginnings would tell them letter by letter."""
        return replace(self, beginning="")

    async def find(self, queries: ProfileQueries, size: int, *, brief: bool = False) -> ProfilePage:
        """Return at most `size` persons."""
        found = profiles_found(self.workspace_id, self.ids, self.beginning, size + 1)
        return await queries.page(self.workspace_id, found, size, brief=brief)


def _identifiers(text: str, region: str) -> Iterator[Identifier]:
    """Yield the identifiers that a text may be: `namespace:value`, or a value of a known kind."""
    namespace, colon, value = text.partition(":")
    pairs = [(namespace.strip(), value.strip())] if colon else []
    pairs += [(known, text) for known in (*PRIORITY, *DEVICE_NAMESPACES)]
    for name, candidate in pairs:
        if not validation_error(name, candidate):
            identifier = normalize(name, candidate, region)
            if identifier is not None:
                yield identifier
