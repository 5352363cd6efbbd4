"""`./onefold scores import`: records the scores that a model computed, from a CSV or JSON file."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import typer
from onefold.identity.v1.identity_service_pb2 import LookupProfilesRequest
from onefold.profile.v1.profile_facts_pb2 import ScoreRecorded
from onefold.profile.v1.profile_service_pb2 import PersonScore, RecordScoresRequest
from typer import Argument, Option

from services.cli import output
from services.cli.commands.imports import ImportReport, RejectedLine, summary_of
from services.cli.context import DataDir, run_with_client
from services.cli.files.cells import BadCell
from services.cli.files.mapping import FileMapping, read_mapping
from services.cli.files.rows import FileRow, RowFile
from services.cli.values import instant_of
from services.client.client import Client
from services.kernel.errors import InvalidField

scores = typer.Typer(no_args_is_help=True, help="The scores of models that run elsewhere.")

#: The most scores of one call.
BATCH = 1_000
#: What is wrong with a line whose identifier no person has.
_UNKNOWN = ("NOT_FOUND", "", "no person has this identifier: send events of the person first")


@scores.command("import")
def import_scores(
    data: DataDir,
    file: Annotated[Path, Argument(help="A .csv, .tsv, .jsonl or .ndjson file.")],
    *,
    model: Annotated[str, Option("--model", help="The id of the model, such as churn.")],
    version: Annotated[str, Option("--version", help="The version of the model.")],
    namespace: Annotated[
        str, Option("--namespace", help="The identifier, and the column that has it.")
    ] = "user_id",
    column: Annotated[str, Option("--column", help="The column with the score.")] = "score",
    as_of: Annotated[
        str,
        Option(
            "--as-of",
            metavar="TIME",
            help="When the scores were computed; without it the column as_of says so.",
        ),
    ] = "",
) -> None:
    """Record the scores in a file; list the rejected lines. A second run changes nothing."""
    with output.exit_on_error():
        reader = ScoreReader(model, version, namespace, column, as_of)
        rows = RowFile(file, reader.mapping)
    report = run_with_client(data, lambda client: record_scores(client, reader, rows))
    for line in summary_of(report, what="scores"):
        output.out.print(line, soft_wrap=True)
    raise typer.Exit(1 if report.rejected else 0)


class NumberedScore(NamedTuple):
    """A score, and the line of the file that has it."""

    line: int
    score: PersonScore


class ScoreReader:
    """Makes scores of rows."""

    def __init__(
        self, model: str, version: str, namespace: str, column: str, as_of: str = ""
    ) -> None:
        """`as_of`: an instant; empty = the column `as_of` has it. Raises InvalidField."""
        self._model, self._version = model, version
        self._as_of_us = instant_of(as_of, "--as-of")
        time = {} if as_of else {"time": {"column": "as_of"}}
        score = {"column": column, "type": "number"}
        # A score is read as an event, so a file of scores may have any form that files may have.
        self.mapping: FileMapping = read_mapping(
            {
                "event": "score",
                "message_id": "-",
                "identifiers": {namespace: {"column": namespace}},
                "properties": {"score": score},
                **time,
            }
        )

    def read(self, row: FileRow) -> NumberedScore:
        """Return the score of a row. Raises BadCell."""
        if row.row is None:
            raise BadCell("", row.error, row.reason)
        event = self.mapping.to_event(row.row, str)
        if not event.identifiers:
            raise BadCell("identifiers", "the line has no identifier", "NO_IDENTIFIER")
        if not event.properties:
            raise BadCell("score", "the line has no score")
        as_of_us = self._as_of_us or event.occurred_at_us
        if not as_of_us:
            raise BadCell("as_of", "the line has no time: write --as-of", "TIME_INVALID")
        score = ScoreRecorded(
            model_id=self._model,
            model_version=self._version,
            score=json.loads(event.properties)["score"],
            as_of_us=as_of_us,
        )
        return NumberedScore(row.number, PersonScore(identifier=event.identifiers[0], score=score))


async def record_scores(client: Client, reader: ScoreReader, rows: RowFile) -> ImportReport:
    """Record the scores of a file. Raises OnefoldError where the service refuses the call."""
    report = ImportReport(encoding=str(rows.encoding))
    batch: list[NumberedScore] = []
    for row in rows:
        try:
            batch.append(reader.read(row))
        except BadCell as bad:
            report.reject(RejectedLine(row.number, bad.reason, bad.field, bad.message))
        if len(batch) == BATCH:
            await _record(client, batch, report)
            batch = []
    if batch:
        await _record(client, batch, report)
    report.unseen_columns = tuple(sorted(rows.unseen))
    report.rejections.sort()
    return report


async def _record(client: Client, batch: Sequence[NumberedScore], report: ImportReport) -> None:
    """Record the scores of the persons that exist; the others are rejected lines."""
    request = LookupProfilesRequest(identifiers=[each.score.identifier for each in batch])
    found = (await client.identity.LookupProfiles(request)).profile_ids
    left: list[NumberedScore] = []
    for each, profile_id in zip(batch, found, strict=True):
        if profile_id:
            left.append(each)
        else:
            report.reject(RejectedLine(each.line, *_UNKNOWN))
    while left:
        try:
            response = await client.profile.RecordScores(
                RecordScoresRequest(scores=[each.score for each in left])
            )
        except InvalidField as error:
            # One mistake is named at a time, and nothing is recorded with it.
            place = re.fullmatch(r"scores\[(\d+)\](.*)", error.field)
            if place is None or place[2]:
                line = left[int(place[1])].line if place else left[0].line
                raise InvalidField(f"line {line}: {error.message}", field=error.field) from None
            report.reject(RejectedLine(left.pop(int(place[1])).line, *_UNKNOWN))
        else:
            report.accepted += response.recorded
            report.duplicates += response.duplicates
            return
