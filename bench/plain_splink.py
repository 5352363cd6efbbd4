"""Runs Splink plainly: as in its examples for FEBRL, and with its stock comparisons for people.

It is the reference of the benchmark of matching, at its best: the settings for FEBRL are those of
the two examples in Splink's documentation, with seeds.
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
from services.linkage.contacts import normalize_phone, parse_birth_date, parse_mailbox
from services.linkage.records import ComparisonRecord
from tests.people.hard_people import Record

logging.getLogger("splink").setLevel(logging.ERROR)
SEED = 20_26
#: Probability by pair, each in the order of its ids.
Scores = dict[tuple[str, str], float]


class Recipe(NamedTuple):
    """The training of a linker."""

    settings: SettingsCreator
    certain: list[Any]
    recall: float
    training: tuple[str, ...]
    #: Whether the training leaves out term frequencies.
    quickly: bool = False


def febrl3() -> Recipe:
    """Return the recipe for deduplication of the example for FEBRL 3."""
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
    """Return the detailed recipe for linkage of two tables of the example for FEBRL 4."""
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
    """Return a recipe with stock comparisons for names, birth dates, phones, mail and addresses."""
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


def _born(column: str, date_format: str) -> Any:
    return cl.DateOfBirthComparison(column, input_is_string=True, datetime_format=date_format)


RECIPES = {"febrl3": febrl3, "febrl4": febrl4}


def link(connection: Any, tables: Iterable[Any], recipe: Recipe, *, at_least: float) -> Scores:
    """Train on the records, and return the scores of the pairs."""
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
    """Return the records, cleaned without any knowledge of Chinese."""
    return pyarrow.Table.from_pylist([_tidied(record) for record in records])


def _tidied(record: Record) -> dict[str, str | None]:
    traits = record.traits
    name = traits.get("name") or f"{traits['first_name']} {traits['last_name']}"
    return {
        "unique_id": record.record_id,
        "name": unicodedata.normalize("NFKC", name).casefold().strip(),
        "born": parse_birth_date(traits.get("birthday", "")) or None,
        "phone": normalize_phone(traits.get("phone", ""), "CN") or None,
        "email": parse_mailbox(traits.get("email", ""))[0] or None,
        "address": traits.get("address", "").casefold() or None,
    }


def prepared(records: Iterable[ComparisonRecord]) -> Any:
    """Return the records as we prepare them: names in pinyin, addresses simplified."""
    columns = {"unique_id": 0, "name": 5, "born": 7, "phone": 8, "email": 10, "address": 12}
    rows = [{name: record[at] for name, at in columns.items()} for record in records]
    return pyarrow.Table.from_pylist(rows)
