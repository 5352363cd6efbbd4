"""Where things stand, beyond what import-linter can say: purity, doors, anatomy."""

from __future__ import annotations

import ast

import pytest
from architecture.source_tree import PURE, ROOT, SERVICES, Source, source, told, under

_VALUES = """
    __future__ array base64 binascii bisect collections collections.abc dataclasses datetime decimal
    difflib enum fractions functools hashlib heapq itertools json math operator re struct sys types
    typing unicodedata urllib.parse msgspec phonenumbers idna
"""
_CLOCKS = "now utcnow today time time_ns monotonic perf_counter localtime gmtime"
_DICE = "urandom token_bytes token_hex token_urlsafe uuid1 uuid4 getrandbits"
#: All of the outside that the pure floors may import: values and functions of values.
PURE_LIBRARY = frozenset(_VALUES.split())
#: What reads a clock or rolls dice, under any name that a module can give it.
CLOCKS, DICE = frozenset(_CLOCKS.split()), frozenset(_DICE.split())

#: The modules of a service that may know generated code, by the last word of their name.
KNOW_THE_TREATY = {
    "wire": "messages into values and back",
    "rpc": "the gRPC door",
    "bus": "the NATS door",
    "http": "the HTTP door",
    "upstream": "reads the service before it",
    "render": "asks profile what a message says of a person",
    "service": "names the servicers that it puts together, and nothing else",
}
#: What every service has.
ANATOMY = (
    "__init__.py",
    "__main__.py",
    "service.py",
    "settings.py",
    "rpc.py",
    "wire.py",
    "app.py",
    "store.py",
    "queries.sql",
    "domain/__init__.py",
)


def test_pure_floors_import_values_only() -> None:
    faults = []
    for file in under(*PURE):
        own = file.module.split(".domain")[0] + ".domain" if ".domain" in file.module else ""
        for line, name in file.imports():
            inside = name.startswith("services.kernel") or (own and name.startswith(own))
            if not inside and name not in PURE_LIBRARY:
                faults.append(f"{file.path}:{line} imports {name}")
    assert not faults, told(faults, "the kernel and the domains stand on values alone")


def test_pure_floors_read_no_clock_and_roll_no_dice() -> None:
    faults = [
        f"{file.path}:{node.lineno} {node.attr}"
        for file in under(*PURE)
        for node in ast.walk(file.tree)
        if isinstance(node, ast.Attribute)
        and node.attr in CLOCKS | DICE
        and isinstance(node.value, ast.Name | ast.Attribute)
        and ast.unparse(node.value).split(".")[0] in _modules(file)
    ]
    assert not faults, told(faults, "`now` and new ids are arguments of a pure function")


def _modules(file: Source) -> set[str]:
    """The names under which a file knows modules and what it took from them."""
    return {
        (alias.asname or alias.name).split(".")[0]
        for node in ast.walk(file.tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }


def test_pure_floors_await_nothing() -> None:
    faults = [
        f"{file.path}:{node.lineno}"
        for file in under(*PURE)
        for node in ast.walk(file.tree)
        if isinstance(node, ast.AsyncFunctionDef | ast.Await)
        or (isinstance(node, ast.Call) and ast.unparse(node.func) in ("open", "print", "input"))
    ]
    assert not faults, told(faults, "a pure function waits for nothing and says nothing")


def test_only_doors_know_generated_code() -> None:
    faults = []
    for file in under(*(f"services/{name}" for name in SERVICES)):
        for line, name in file.imports():
            if name.split(".")[0] in ("onefold", "google") and not _may_know(file, name):
                faults.append(f"{file.path}:{line} imports {name}")
    assert not faults, told(faults, f"generated code is known to {', '.join(KNOW_THE_TREATY)}")


def _may_know(file: Source, name: str) -> bool:
    role = file.module.rpartition(".")[2].rpartition("_")[2]
    if role == "service":
        return name.endswith("_pb2_grpc")
    return role in KNOW_THE_TREATY


def test_only_the_chassis_knows_grpc() -> None:
    floors = [f"services/{name}" for name in (*SERVICES, "kernel")]
    faults = [
        f"{file.path}:{line} imports {name}"
        for file in under(*floors)
        for line, name in file.imports()
        if name.split(".")[0] in ("grpc", "grpc_status", "grpc_health", "grpc_reflection")
    ]
    assert not faults, told(faults, "statuses and channels of gRPC are the chassis's trade")


def test_settings_come_from_the_environment_in_one_place() -> None:
    faults = [
        f"{file.path}:{node.lineno}"
        for file in under(*(f"services/{name}" for name in (*SERVICES, "kernel")))
        for node in ast.walk(file.tree)
        if isinstance(node, ast.Attribute) and ast.unparse(node) in ("os.environ", "os.getenv")
    ]
    assert not faults, told(faults, "a service reads its environment through its settings only")


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_has_the_same_anatomy(service: str) -> None:
    missing = [part for part in ANATOMY if not (ROOT / "services" / service / part).is_file()]
    assert not missing, f"services/{service} has no {', '.join(missing)}"


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_tells_what_it_owns_hears_and_says(service: str) -> None:
    docstring = ast.get_docstring(source(f"services/{service}/__init__.py").tree) or ""
    missing = [word for word in ("Owns:", "Hears:", "Says:") if word not in docstring]
    assert not missing, f"services/{service}/__init__.py does not tell {', '.join(missing)}"


@pytest.mark.parametrize("service", SERVICES)
def test_one_word_one_thing(service: str) -> None:
    """A service's name is its proto package, its schema, its prefix, its folder of tests."""
    assert (ROOT / "protos/onefold" / service / "v1").is_dir()
    assert any((ROOT / "tests" / kind / service).is_dir() for kind in ("unit", "integration"))
    settings = source(f"services/{service}/settings.py").text
    assert f'service: ClassVar[str] = "{service}"' in settings


def test_no_room_is_a_drawer() -> None:
    words = ("utils", "util", "helpers", "helper", "common", "misc", "shared", "lib")
    faults = [s.path for s in under("services") if s.path.rpartition("/")[2][:-3] in words]
    assert not faults, told(faults, "a module is named after the one thing it is about")
