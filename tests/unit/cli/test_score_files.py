"""Tests which scores the rows of a file become, and which lines are rejected."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from onefold.identity.v1 import identity_service_pb2 as identity_pb
from onefold.profile.v1 import profile_service_pb2 as pb

from services.cli.commands.scores import ScoreReader, record_scores
from services.cli.files.rows import RowFile
from services.kernel.errors import InvalidField

AS_OF = "2026-11-21T08:30:00Z"
AS_OF_US = 1_795_249_800_000_000


class Services:
    """Knows some persons, and records what is sent."""

    def __init__(self, *persons: str, refused: tuple[str, str] = ("", "")) -> None:
        """`refused`: a person that profile does not have, and the part that is wrong."""
        self.identity = self.profile = self
        self.calls: list[list[pb.PersonScore]] = []
        self._persons, self._refused = persons, refused

    async def LookupProfiles(
        self, request: identity_pb.LookupProfilesRequest
    ) -> identity_pb.LookupProfilesResponse:
        known = ("ab" * 16 if i.value in self._persons else "" for i in request.identifiers)
        return identity_pb.LookupProfilesResponse(profile_ids=known)

    async def RecordScores(self, request: pb.RecordScoresRequest) -> pb.RecordScoresResponse:
        for index, score in enumerate(request.scores):
            if score.identifier.value == self._refused[0]:
                raise InvalidField("it is wrong", field=f"scores[{index}]{self._refused[1]}")
        recorded = [s for s in request.scores if not any(s in call for call in self.calls)]
        self.calls.append(list(request.scores))
        count = len(request.scores) - len(recorded)
        return pb.RecordScoresResponse(recorded=len(recorded), duplicates=count)


async def run(folder: Path, text: str, services: Services, as_of: str = AS_OF) -> Any:
    file = folder / "scores.csv"
    file.write_text(text, encoding="utf-8")
    reader = ScoreReader("churn", "7", "user_id", "score", as_of)
    return await record_scores(services, reader, RowFile(file, reader.mapping))  # type: ignore[arg-type]  # it has the calls


async def test_rows_become_scores_of_the_model_and_a_second_run_records_none(
    tmp_path: Path,
) -> None:
    services = Services("li", "wang")
    text = "user_id,name,score\nli,L,0.25\nwang,W,-3\n"
    assert (await run(tmp_path, text, services)).accepted == 2
    [scores] = services.calls
    assert [(s.identifier.namespace, s.identifier.value, s.score.score) for s in scores] == [
        ("user_id", "li", 0.25),
        ("user_id", "wang", -3.0),
    ]
    assert {(s.score.model_id, s.score.model_version, s.score.as_of_us) for s in scores} == {
        ("churn", "7", AS_OF_US)
    }
    again = await run(tmp_path, text, services)
    assert (again.accepted, again.duplicates) == (0, 2)


async def test_time_of_a_score_is_that_of_its_column_without_the_option(tmp_path: Path) -> None:
    services = Services("li", "wang")
    report = await run(
        tmp_path, f"user_id,score,as_of\nli,1,{AS_OF}\nwang,2,\n", services, as_of=""
    )
    assert [score.score.as_of_us for score in services.calls[0]] == [AS_OF_US]
    assert [(line.line, line.reason) for line in report.rejections] == [(3, "TIME_INVALID")]


REJECTED = {
    "no number": ("li,high", "VALUE_INVALID"),
    "no score": ("li,", "VALUE_INVALID"),
    "no identifier": (",0.5", "NO_IDENTIFIER"),
    "an unknown person": ("zhao,0.5", "NOT_FOUND"),
    "a person that profile does not have": ("qian,0.5", "NOT_FOUND"),
}


@pytest.mark.parametrize("case", REJECTED)
async def test_rejected_line_has_its_number_and_the_other_scores_are_recorded(
    tmp_path: Path, case: str
) -> None:
    line, reason = REJECTED[case]
    services = Services("li", "qian", "wang", refused=("qian", ""))
    report = await run(tmp_path, f"user_id,score\nwang,1\n{line}\nwang,2\n", services)
    assert [(each.line, each.reason) for each in report.rejections] == [(3, reason)]
    assert (report.accepted, report.rejected) == (2, 1)


async def test_mistake_of_the_whole_call_ends_the_run_and_names_the_line(tmp_path: Path) -> None:
    services = Services("li", "wang", refused=("wang", ".score.as_of_us"))
    with pytest.raises(InvalidField, match=re.escape("line 3: it is wrong")):
        await run(tmp_path, "user_id,score\nli,1\nwang,2\n", services)
    assert not services.calls


async def test_scores_are_sent_a_thousand_at_a_time(tmp_path: Path) -> None:
    services = Services("li")
    lines = "".join(f"li,{n}\n" for n in range(2_001))
    await run(tmp_path, f"user_id,score\n{lines}", services)
    assert [len(call) for call in services.calls] == [1_000, 1_000, 1]


@pytest.mark.parametrize("text", ["yesterday", "2026-11-21"])
def test_time_that_is_no_instant_is_refused(text: str) -> None:
    with pytest.raises(InvalidField, match="write an instant"):
        ScoreReader("churn", "7", "user_id", "score", text)


def test_namespace_of_an_account_is_refused() -> None:
    with pytest.raises(InvalidField, match="account"):
        ScoreReader("churn", "7", "account_id", "score", AS_OF)
