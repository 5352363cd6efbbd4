"""Finds the forms of a person's names by which a search finds the person, in Chinese and pinyin."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator
from functools import lru_cache

from services.kernel.fold.events import CORRECTION, IDENTIFY, EventView, read_value
from services.kernel.fold.leaf import LeafState
from services.kernel.trust import Party

#: The traits that are names of persons.
NAME_TRAITS = frozenset(
    {
        *("name", "full_name", "fullName", "real_name", "nickname", "姓名"),
        *("first_name", "last_name", "firstName", "lastName"),
    }
)
#: Letters of a name that are read, and the forms of one leaf.
_LETTERS, _FORMS = 40, 64
_OTHER_PARTIES = tuple(str(int(party)) for party in Party if party is not Party.FIRST)


def may_change_names(event: EventView) -> bool:
    """Return whether an event can change the names of its leaf."""
    if event.type == IDENTIFY:
        return True
    return event.type == CORRECTION and event.name in NAME_TRAITS


def forms_of_leaf(state: LeafState) -> list[str]:
    """Return the forms of the names that a leaf states or that are corrected in it, sorted."""
    forms: set[str] = set()
    for value in _values(state):
        name = read_value(value)
        if isinstance(name, str):
            forms.update(forms_of(name))
    return sorted(forms)[:_FORMS]


def _values(state: LeafState) -> Iterator[bytes]:
    """Yield the JSON values of the names of a leaf."""
    corrections = state.additions.corrections if state.additions is not None else {}
    for trait in NAME_TRAITS & (state.traits.keys() | corrections.keys()):
        if trait in state.traits:
            yield state.traits[trait][3]
        if trait in corrections:
            yield corrections[trait][2]
    for trait in NAME_TRAITS if state.party_traits else ():
        for party in _OTHER_PARTIES:
            if found := state.party_traits.get(f"{party}{trait}"):
                yield found[3]


def plain_form(text: str) -> str:
    """Return a text as it is compared: letters and digits alone, without case and width."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(letter for letter in folded if letter.isalnum())


@lru_cache(maxsize=4096)
def forms_of(name: str) -> frozenset[str]:
    """Return the forms whose beginnings find a name.

    They are the name from each of its words on, from each Chinese character on, the pinyin from
    each of its syllables on, the first letters of the syllables, and of a name in Latin letters
    the words in the other order.
    """
    words = [plain_form(word) for word in name[:_LETTERS].replace("·", " ").split()]
    words = [word for word in words if word]
    forms = set(_from_each(words))
    if len(words) > 1:
        forms.add("".join(reversed(words)))
    whole = "".join(words)
    if any(_is_chinese(letter) for letter in whole):
        forms.update(_from_each(whole))
        for syllables in _readings(whole):
            forms.update(_from_each(syllables))
            forms.add("".join(syllable[0] for syllable in syllables))
    return frozenset(forms)


def _from_each(parts: Iterable[str]) -> list[str]:
    """Return the parts together, from each of them on."""
    parts = list(parts)
    return ["".join(parts[start:]) for start in range(len(parts))]


def _readings(name: str) -> list[list[str]]:
    """Return the syllables of a Chinese name, once for each reading of its first character."""
    # Imported here, as its table takes a tenth of a second and most workspaces may never need it.
    from pypinyin import Style, lazy_pinyin, pinyin

    usual = lazy_pinyin(name, style=Style.NORMAL)
    [first] = pinyin(name[0], style=Style.NORMAL, heteronym=True)
    return [[reading, *usual[1:]] for reading in dict.fromkeys([usual[0], *first]) if reading]


def _is_chinese(letter: str) -> bool:
    return "\u4e00" <= letter <= "\u9fff" or "\u3400" <= letter <= "\u4dbf"
