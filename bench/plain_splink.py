"""Splink run plainly: as its own examples write it for FEBRL, and its stock comparisons for people.

The references of the benchmark of matching. Nothing here is tuned down: the settings for FEBRL are
those of the two examples in Splink's documentation, with seeds.
"""

from __future__ import annotations

import logging
import unicodedata
from collections.abc import Iterable
from typing import Any, NamedTuple

import pyarrow
from splink import DuckDBAPI, Linker, SettingsCreator, block_on
from splink import comparison_library as cl

from bench import febrl
from services.linkage.contacts import birth_date, mailbox, phone_number
from services.linkage.records import Compared
from tests.people.hard_people import Record

logging.getLogger("splink").setLevel(logging.ERROR)
SEED = 20_26
#: Probability by pair, each in the order of its ids.
Scores = dict[tuple[str, str], float]


class Recipe(NamedTuple):
    """How a linker is trained."""

    settings: SettingsCreator
    certain: list[Any]
    recall: float
    training: tuple[str, ...]
    #: Whether frequencies are left out while training.
    quickly: bool = False


def febrl3() -> Recipe:
    """Deduplication, as in the example for FEBRL 3."""
    settings = SettingsCreator(
        unique_id_column_name="rec_id",
        link_type="dedupe_only",
        blocking_rules_to_generate_predictions=list(febrl.BLOCKING_3),
        comparisons=[
            cl.NameComparison("given_name"),
            cl.NameComparison("surname"),
            _born("date_of_birth", "%Y%m%d"),
            cl.DamerauLevenshteinAtThresholds("soc_sec_id", [2]),
            cl.ExactMatch("street_number").configure(term_frequency_adjustments=True),
            cl.ExactMatch("postcode").configure(term_frequency_adjustments=True),
        ],
    )
    certain = [*febrl.CERTAIN, febrl.SWAPPED]
    return Recipe(settings, certain, 0.9, ("date_of_birth", "postcode"))


def febrl4() -> Recipe:
    """Linkage of two tables, as the detailed model of the example for FEBRL 4."""
    settings = SettingsCreator(
        unique_id_column_name="rec_id",
        link_type="link_only",
        blocking_rules_to_generate_predictions=list(febrl.BLOCKING_4),
        comparisons=[
            cl.NameComparison("given_name").configure(term_frequency_adjustments=True),
            cl.NameComparison("surname").configure(term_frequency_adjustments=True),
            _born("date_of_birth", "%Y%m%d"),
            cl.DamerauLevenshteinAtThresholds("soc_sec_id", [1, 2]),
            cl.ExactMatch("street_number").configure(term_frequency_adjustments=True),
            cl.DamerauLevenshteinAtThresholds("postcode", [1, 2]).configure(
                term_frequency_adjustments=True
            ),
        ],
    )
    training = ("date_of_birth", "postcode")
    return Recipe(settings, list(febrl.CERTAIN), 0.8, training, quickly=True)


def people() -> Recipe:
    """People by the stock comparisons for names, birth dates, phones, mail and addresses."""
    settings = SettingsCreator(
        link_type="dedupe_only",
        blocking_rules_to_generate_predictions=[
            block_on(column) for column in ("name", "phone", "email", "born", "address")
        ],
        comparisons=[
            cl.NameComparison("name"),
            _born("born", "%Y-%m-%d"),
            cl.DamerauLevenshteinAtThresholds("phone", [1, 2]).configure(
                term_frequency_adjustments=True
            ),
            cl.EmailComparison("email"),
            cl.JaroWinklerAtThresholds("address", [0.95, 0.88]).configure(
                term_frequency_adjustments=True
            ),
        ],
    )
    certain = [block_on("email"), block_on("name", "born"), block_on("name", "phone")]
    return Recipe(settings, certain, 0.7, ("name", "born", "phone"))


def _born(column: str, form: str) -> Any:
    return cl.DateOfBirthComparison(column, input_is_string=True, datetime_format=form)


RECIPES = {"febrl3": febrl3, "febrl4": febrl4}


def link(connection: Any, tables: Iterable[Any], recipe: Recipe, *, at_least: float) -> Scores:
    """Train on the records and score the pairs."""
    api = DuckDBAPI(connection)
    linker = Linker([api.register(table) for table in tables], recipe.settings, log_level=None)
    training = linker.training
    training.estimate_probability_two_random_records_match(recipe.certain, recall=recipe.recall)
    training.estimate_u_using_random_sampling(max_pairs=1e6 + 1, seed=SEED)
    for column in recipe.training:
        training.estimate_parameters_using_expectation_maximisation(
            block_on(column), estimate_without_term_frequencies=recipe.quickly
        )
    found = linker.inference.predict(threshold_match_probability=at_least)
    record_id = recipe.settings.unique_id_column_name
    query = f"select {record_id}_l, {record_id}_r, match_probability from {found.physical_name}"
    rows = connection.execute(query).fetchall()
    return {(min(a, b), max(a, b)): probability for a, b, probability in rows}


def tidied(records: Iterable[Record]) -> Any:
    """The records as somebody would clean them who knows no Chinese."""
    return pyarrow.Table.from_pylist([_tidied(record) for record in records])


def _tidied(record: Record) -> dict[str, str | None]:
    told = record.traits
    name = told.get("name") or f"{told['first_name']} {told['last_name']}"
    return {
        "unique_id": record.record_id,
        "name": unicodedata.normalize("NFKC", name).casefold().strip(),
        "born": birth_date(told.get("birthday", "")) or None,
        "phone": phone_number(told.get("phone", ""), "CN") or None,
        "email": mailbox(told.get("email", ""))[0] or None,
        "address": told.get("address", "").casefold() or None,
    }


def prepared(records: Iterable[Compared]) -> Any:
    """The records as we prepare them: names as they sound, addresses in simplified characters."""
    columns = {"unique_id": 0, "name": 5, "born": 7, "phone": 8, "email": 10, "address": 12}
    rows = [{name: record[at] for name, at in columns.items()} for record in records]
    return pyarrow.Table.from_pylist(rows)
