"""Checks where things live: layers, purity, generated code, the anatomy of a service."""

from __future__ import annotations

import ast
import re
import shutil
from pathlib import Path

import pytest
from architecture.source_tree import PURE, ROOT, SERVICES, Source, message, run, source, under

_VALUES = """
    __future__ array base64 binascii bisect collections collections.abc contextlib csv
    cryptography.exceptions cryptography.hazmat.primitives.ciphers.aead
    dataclasses datetime decimal difflib enum fractions functools hashlib heapq ipaddress itertools
    importlib.resources json math operator re struct sys types typing unicodedata urllib.parse
    zoneinfo liquid liquid.exceptions liquid.filter msgspec phonenumbers idna pyroaring
    pypinyin yaml
"""
_CLOCKS = "now utcnow today time time_ns monotonic perf_counter localtime gmtime"
_RANDOM = "urandom token_bytes token_hex token_urlsafe uuid1 uuid4 getrandbits"
#: The libraries that pure code may import: values and functions of values.
PURE_LIBRARY = frozenset(_VALUES.split())
#: Functions that read a clock or draw a random number, under any name a module gives them.
CLOCKS, RANDOM = frozenset(_CLOCKS.split()), frozenset(_RANDOM.split())

#: The parts of a service that may import generated code.
KNOWS_PROTOBUF = {
    "api": "translates requests and responses",
    "codec": "translates messages into values and back",
    "projection.upstream": "reads the service before it",
    "rebuild": "reads the log itself",
    "delivery.render": "reads the profiles that a message names",
    "delivery.mirrors": "reads the members of segments and their profiles",
    "log.codec": "translates facts into messages and back",
    "commands.bootstrap": "names the facts of the first start",
    "service": "names the servicers that it registers, and nothing else",
}
#: Every service has these parts, each a module or a package.
ANATOMY = (
    "__main__",
    "service",
    "settings",
    "api",
    "codec",
    "commands",
    "projection",
    "store",
    "domain",
)

#: A planted import for each contract of import-linter: the file, and the import that breaks it.
BREACHES = {
    "services": ("services/segment/domain/model.py", "import services.activation.settings"),
    "chassis": ("services/chassis/runtime/tasks.py", "import services.chassis.postgres.database"),
    "ingest": ("services/ingest/settings.py", "import services.ingest.api.http"),
    "folding-services": ("services/profile/settings.py", "import services.profile.api.grpc"),
    "activation": ("services/activation/settings.py", "import services.activation.api.grpc"),
    "pure": ("services/kernel/ids.py", "import asyncio"),
    "clients": ("services/cli/values.py", "import services.ingest.settings"),
    "linkage": ("services/linkage/names.py", "import grpc"),
    "servers": ("services/devstack/process.py", "import nats"),
    "test-libraries": ("services/linkage/model.py", "import pytest"),
}


def test_layers_hold_in_the_repository() -> None:
    done = run("lint-imports", "--no-cache")
    assert done.returncode == 0, done.stdout


@pytest.fixture(scope="module")
def broken_contracts(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Return the names of the contracts that break where every breach is planted."""
    folder = tmp_path_factory.mktemp("planted")
    ignored = shutil.ignore_patterns("__pycache__", "*.sql", "web")
    shutil.copytree(ROOT / "services", folder / "services", ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", folder)
    for path, line in BREACHES.values():
        with (folder / path).open("a", encoding="utf-8") as file:
            file.write(f"\n{line}\n")
    done = run("lint-imports", "--no-cache", cwd=folder)
    assert done.returncode == 1, done.stdout + done.stderr
    return set(re.findall(r"^(.+) BROKEN$", done.stdout, re.MULTILINE))


def contract_names() -> dict[str, str]:
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    return dict(re.findall(r'^id = "(.+)"\nname = "(.+)"$', text, re.MULTILINE))


def test_every_contract_has_a_planted_breach() -> None:
    assert contract_names().keys() == BREACHES.keys()


@pytest.mark.parametrize("contract", BREACHES)
def test_planted_breach_breaks_its_contract(contract: str, broken_contracts: set[str]) -> None:
    assert contract_names()[contract] in broken_contracts


def impure_imports(files: list[Source]) -> list[str]:
    found = []
    for file in files:
        own = file.module.split(".domain")[0] + ".domain" if ".domain" in file.module else ""
        for line, name in file.imports():
            inside = name.startswith("services.kernel") or (own and name.startswith(own))
            if not inside and name not in PURE_LIBRARY:
                found.append(f"{file.path}:{line} imports {name}")
    return found


def clock_and_random_calls(files: list[Source]) -> list[str]:
    return [
        f"{file.path}:{node.lineno} {node.attr}"
        for file in files
        for node in ast.walk(file.tree)
        if isinstance(node, ast.Attribute)
        and node.attr in CLOCKS | RANDOM
        and isinstance(node.value, ast.Name | ast.Attribute)
        and ast.unparse(node.value).split(".")[0] in _imported_names(file)
    ]


def _imported_names(file: Source) -> set[str]:
    return {
        (alias.asname or alias.name).split(".")[0]
        for node in ast.walk(file.tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }


def waiting_code(files: list[Source]) -> list[str]:
    return [
        f"{file.path}:{node.lineno}"
        for file in files
        for node in ast.walk(file.tree)
        if isinstance(node, ast.AsyncFunctionDef | ast.Await)
        or (isinstance(node, ast.Call) and ast.unparse(node.func) in ("open", "print", "input"))
    ]


def test_pure_code_imports_values_only() -> None:
    found = impure_imports(under(*PURE))
    assert not found, message(found, "the kernel and the domains import values alone")


def test_pure_code_reads_no_clock_and_draws_no_random_number() -> None:
    found = clock_and_random_calls(under(*PURE))
    assert not found, message(found, "`now` and new ids are arguments of a pure function")


def test_pure_code_awaits_nothing() -> None:
    found = waiting_code(under(*PURE))
    assert not found, message(found, "a pure function neither waits nor prints")


def test_planted_impurities_are_found() -> None:
    path = "services/profile/domain/x.py"
    assert impure_imports([Source(path, "import time")])
    assert impure_imports([Source(path, "from services.profile.store import leaves")])
    assert clock_and_random_calls([Source(path, "import time as t\nt.time()")])
    assert waiting_code([Source(path, "async def f() -> None: ...")])


def protobuf_imports(files: list[Source]) -> list[str]:
    return [
        f"{file.path}:{line} imports {name}"
        for file in files
        for line, name in file.imports()
        if name.split(".")[0] in ("onefold", "google") and not _may_import(file, name)
    ]


def _may_import(file: Source, name: str) -> bool:
    part = ".".join(file.module.split(".")[2:])
    if part == "service":
        return name.endswith("_pb2_grpc")
    return any(part == known or part.startswith(f"{known}.") for known in KNOWS_PROTOBUF)


def test_only_endpoints_and_codecs_import_generated_code() -> None:
    found = protobuf_imports(under(*(f"services/{name}" for name in SERVICES)))
    assert not found, message(found, f"generated code is imported by {', '.join(KNOWS_PROTOBUF)}")


def test_planted_import_of_generated_code_is_found() -> None:
    line = "from onefold.type.v1 import event_pb2"
    assert protobuf_imports([Source("services/profile/store/leaves.py", line)])
    assert not protobuf_imports([Source("services/profile/codec/bus.py", line)])


def test_only_the_chassis_imports_grpc() -> None:
    found = [
        f"{file.path}:{line} imports {name}"
        for file in under(*(f"services/{name}" for name in (*SERVICES, "kernel")))
        for line, name in file.imports()
        if name.split(".")[0] in ("grpc", "grpc_status", "grpc_health", "grpc_reflection")
    ]
    assert not found, message(found, "the chassis handles statuses and channels of gRPC")


def test_services_read_the_environment_through_settings_only() -> None:
    found = [
        f"{file.path}:{node.lineno}"
        for file in under(*(f"services/{name}" for name in (*SERVICES, "kernel")))
        for node in ast.walk(file.tree)
        if isinstance(node, ast.Attribute) and ast.unparse(node) in ("os.environ", "os.getenv")
    ]
    assert not found, message(found, "a service reads its environment through its settings")


def missing_parts(service: str, root: Path) -> list[str]:
    folder = root / "services" / service
    return [
        part
        for part in ANATOMY
        if not (folder / f"{part}.py").is_file() and not (folder / part / "__init__.py").is_file()
    ]


@pytest.mark.parametrize("service", SERVICES)
def test_service_has_every_part_of_the_anatomy(service: str) -> None:
    assert missing_parts(service, ROOT) == []


def test_missing_part_of_the_anatomy_is_found(tmp_path: Path) -> None:
    assert missing_parts("profile", tmp_path) == list(ANATOMY)


@pytest.mark.parametrize("service", SERVICES)
def test_service_docstring_names_owned_consumed_and_published(service: str) -> None:
    docstring = ast.get_docstring(source(f"services/{service}/__init__.py").tree) or ""
    missing = [word for word in ("Owns:", "Consumes:", "Publishes:") if word not in docstring]
    assert not missing, f"services/{service}/__init__.py has no line {', '.join(missing)}"


@pytest.mark.parametrize("service", SERVICES)
def test_service_name_is_one_word_everywhere(service: str) -> None:
    """The name of a service is its proto package, its schema, its prefix, its folder of tests."""
    assert (ROOT / "protos/onefold" / service / "v1").is_dir()
    assert any((ROOT / "tests" / kind / service).is_dir() for kind in ("unit", "integration"))
    settings = source(f"services/{service}/settings.py").text
    assert f'service: ClassVar[str] = "{service}"' in settings


def test_no_module_is_a_collection_of_leftovers() -> None:
    words = ("utils", "util", "helpers", "helper", "common", "misc", "shared", "lib")
    found = [s.path for s in under("services") if s.path.rpartition("/")[2][:-3] in words]
    assert not found, message(found, "a module is named after the one thing it is about")
