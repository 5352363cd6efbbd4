"""The index key of tests."""

from __future__ import annotations

from services.kernel.identifiers.model import Identifier
from services.kernel.ids import IdentifierId
from services.kernel.index_key import IndexKey

INDEX_KEY_TEXT = f"1.{'5a' * 32}"
INDEX_KEY = IndexKey.parse(INDEX_KEY_TEXT)


def id_of(workspace_id: str, namespace: str, value: str) -> IdentifierId:
    """Return the id of an identifier in canonical form under the key of tests."""
    return Identifier(namespace, value).id_in(workspace_id, INDEX_KEY)
