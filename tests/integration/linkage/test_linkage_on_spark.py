"""The model of persons gives the same pairs and weights on Splink's Spark backend as on DuckDB."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import sqlglot

from services.linkage.config import load_config
from services.linkage.linker import SplinkLinkage, link
from services.linkage.model import LinkageModel
from services.linkage.person_model import PERSON_MODEL
from services.linkage.records import ComparisonRecord, comparison_record
from tests.people.hard_people import as_profile, hard_people

pytestmark = [
    pytest.mark.skipif(not find_spec("pyspark"), reason="pyspark is not installed (extra `spark`)"),
    pytest.mark.skipif(not shutil.which("java"), reason="Java 17 or newer is not installed"),
    pytest.mark.filterwarnings("ignore"),
]
#: So few records that no engine draws a sample of their pairs: each draws its own one.
PEOPLE = 120
AT_LEAST = 0.5


class QuickModel(LinkageModel):
    """A model with little training, of which each round takes seconds on Spark."""

    def as_settings(self) -> dict[str, Any]:
        return {**super().as_settings(), "max_iterations": 3}


PARTS = {part.name: getattr(PERSON_MODEL, part.name) for part in fields(PERSON_MODEL)}
MODEL = QuickModel(**{**PARTS, "training": (("born", "house"),)})


class SparkLinkage(SplinkLinkage):
    """A linkage model over tables of a Spark session."""

    def __init__(self, model: LinkageModel, session: Any, tables: Sequence[Any]) -> None:
        from splink.backends.spark import SparkAPI

        self._session = session
        settings = in_spark_sql(model.as_settings())
        super().__init__(model, SparkAPI(spark_session=session), tables, settings)

    def _training(self) -> AbstractContextManager[None]:
        return nullcontext()

    def _rows(self, query: str) -> Iterator[Sequence[Any]]:
        return iter(self._session.sql(query).collect())


def in_spark_sql(settings: Any) -> Any:
    """Return the settings of Splink with conditions in the SQL of Spark."""
    if isinstance(settings, Mapping):
        return {
            key: spark_condition(value) if key == "sql_condition" else in_spark_sql(value)
            for key, value in settings.items()
        }
    return [*map(in_spark_sql, settings)] if isinstance(settings, list) else settings


def spark_condition(condition: str) -> str:
    if condition == "ELSE":
        return condition
    [text] = sqlglot.transpile(condition, read="duckdb", write="spark")
    for ours, theirs in (("JAROWINKLER_SIMILARITY", "JARO_WINKLER"), ("STRLEN", "OCTET_LENGTH")):
        text = text.replace(f"{ours}(", f"{theirs}(")
    return str(text)


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from pyspark.sql import SparkSession
    from splink.backends.spark import similarity_jar_location

    folder: Path = tmp_path_factory.mktemp("spark")
    builder = SparkSession.builder.master("local[2]")
    settings = {
        "spark.jars": similarity_jar_location(),
        "spark.ui.enabled": "false",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        # Hundreds of small queries are run, so that each task costs more than its rows.
        "spark.sql.shuffle.partitions": "1",
        "spark.default.parallelism": "1",
        "spark.sql.adaptive.enabled": "false",
        "spark.local.dir": str(folder / "local"),
        "spark.sql.warehouse.dir": str(folder / "warehouse"),
    }
    for name, value in settings.items():
        builder = builder.config(name, value)
    session = builder.getOrCreate()
    session.sparkContext.setCheckpointDir(str(folder / "checkpoints"))
    yield session
    session.stop()


def test_spark_scores_the_same_pairs_with_the_same_weights(session: Any) -> None:
    config = load_config()
    people = map(as_profile, hard_people(PEOPLE, seed=7))
    records: list[ComparisonRecord] = sorted(comparison_record(p, config) for p in people)
    on_duckdb = link(MODEL, records, at_least=AT_LEAST)
    table = session.createDataFrame([each._asdict() for each in records], schema_of(session))
    on_spark = SparkLinkage(MODEL, session, [table]).run(AT_LEAST)
    expected = {(pair.a, pair.b): pair for pair in on_duckdb.pairs}
    found = {(pair.a, pair.b): pair for pair in on_spark.pairs}
    assert len(expected) > 100
    assert found.keys() == expected.keys()
    for pair, one in found.items():
        other = expected[pair]
        assert [w[:2] for w in one.weights] == [w[:2] for w in other.weights]
        assert [w.log2_bayes_factor for w in one.weights] == pytest.approx(
            [w.log2_bayes_factor for w in other.weights], abs=1e-6
        )
        assert one.probability == pytest.approx(other.probability, abs=1e-9)


def schema_of(session: Any) -> str:
    """Return the columns of a record in the words of Spark."""
    days = {"first_day", "last_day"}
    return ", ".join(
        f"{name} {'int' if name in days else 'string'}" for name in ComparisonRecord._fields
    )
