"""`./onefold traits`: the traits of persons, and what other settings change in standard forms."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from onefold.profile.v1 import profile_service_pb2 as pb
from typer import Option

from services.cli import output
from services.cli.context import DataDir, run_with_client
from services.cli.definitions import read_pack
from services.cli.values import word_of
from services.kernel.errors import InvalidField


def traits(
    data: DataDir,
    file: Annotated[
        Path | None,
        Option("-f", "--file", help="A pack: shows what the cleaners of its settings change."),
    ] = None,
) -> None:
    """Show the traits of all persons: their types, and how many values have no standard form.

    Of a large workspace a sample is read.
    """
    request = pb.CountTraitsRequest()
    if file is not None:
        with output.exit_on_error():
            settings = read_pack(file, os.environ).settings
            if settings is None:
                raise InvalidField("the pack has no settings: name one that has", field="--file")
        request.settings.CopyFrom(settings)
    counted = run_with_client(data, lambda client: client.profile.CountTraits(request))
    print_traits(counted)
    print_cleaner_changes(counted)


def print_traits(counted: pb.CountTraitsResponse) -> None:
    """Print one line for each trait."""
    if counted.one_in > 1:
        output.out.print(f"one in {counted.one_in:,} of {counted.persons:,} persons was read")
    rows = [
        (
            trait.name,
            f"{trait.persons:,}",
            ", ".join(f"{_type_of(own)} {own.persons:,}" for own in trait.types),
            trait.cleaner,
            f"{trait.without_standard:,}" if trait.cleaner else "",
        )
        for trait in counted.traits
    ]
    columns = ("trait", "persons", "types", "cleaner", "without a standard form")
    output.print_table(columns, rows)


def print_cleaner_changes(counted: pb.CountTraitsResponse) -> None:
    """Print what other cleaners change in the standard forms of traits; nothing without any."""
    for trait in counted.traits:
        if not trait.HasField("change"):
            continue
        change = trait.change
        output.print_table(
            ("before", "after", "persons", "such as", "of"),
            list(_changes(change)),
            f"{trait.name}: {trait.cleaner or 'no cleaner'} → {change.cleaner or 'no cleaner'}"
            f" changes {change.persons:,} of {trait.persons:,} persons",
        )
        if change.definitions:
            output.out.print(
                f"these go by {trait.cleaner or 'the raw value'} until they are defined again: "
                + ", ".join(change.definitions),
                soft_wrap=True,
            )


def _changes(change: pb.CleanerChange) -> Iterator[tuple[str, ...]]:
    for one in change.values:
        forms = (one.before.decode() or "none", one.after.decode() or "none")
        yield *forms, f"{one.persons:,}", one.value.decode(), one.profile_id


def _type_of(count: pb.ValueTypeCount) -> str:
    return word_of(pb.ValueType, "VALUE_TYPE_", count.type)
