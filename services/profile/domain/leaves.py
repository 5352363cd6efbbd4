"""Events into the states of their leaves, and which profiles must be looked at because of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from services.kernel.fold.leaf import LeafState, fold_event
from services.kernel.ids import LeafId, WorkspaceId
from services.profile.domain.evaluation import EVERYTHING, Question
from services.profile.domain.facts import Assignment, Entry
from services.profile.domain.model import NOTHING_ASKED, Catalogues


@dataclass(slots=True)
class Folding:
    """The leaves that some events touch."""

    #: After the events.
    states: dict[LeafId, LeafState] = field(default_factory=dict)
    workspaces: dict[LeafId, WorkspaceId] = field(default_factory=dict)
    #: What must be asked of the profiles of which leaves.
    questions: dict[LeafId, Question] = field(default_factory=dict)
    #: Whose those leaves are as identity knew it: an assignment of version 0.
    hints: dict[LeafId, Assignment] = field(default_factory=dict)


def touched_leaves(entries: Iterable[Entry]) -> list[LeafId]:
    """The leaves that events of these entries belong to."""
    return list({entry.leaf_id for entry in entries if entry.event is not None})


def fold(
    entries: Iterable[Entry], known: dict[LeafId, LeafState], catalogues: Catalogues
) -> Folding:
    """Take events into the states of their leaves. The states given are changed in place.

    `known` has the touched leaves that are there already.
    """
    folding = Folding(known)
    states, workspaces, questions = folding.states, folding.workspaces, folding.questions
    for entry in entries:
        _, _, workspace_id, leaf_id, _, event, _ = entry
        if event is None:
            continue
        state = states.get(leaf_id)
        if state is None:
            state = states[leaf_id] = LeafState()
            questions[leaf_id] = EVERYTHING
            folding.hints[leaf_id] = _hint(entry)
        workspaces[leaf_id] = workspace_id
        touched = fold_event(state, event, catalogues.get(workspace_id, NOTHING_ASKED))
        if touched:
            _ask(folding, entry, Question(touched))
    return folding


def _ask(folding: Folding, entry: Entry, question: Question) -> None:
    leaf_id = entry.leaf_id
    known = folding.questions.get(leaf_id)
    folding.questions[leaf_id] = question if known is None else known.also(question)
    if leaf_id not in folding.hints:
        folding.hints[leaf_id] = _hint(entry)


def _hint(entry: Entry) -> Assignment:
    return Assignment(entry.workspace_id, entry.leaf_id, entry.profile_id, 0, None)  # type: ignore[arg-type]  # a leaf is an identifier
