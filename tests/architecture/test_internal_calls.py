"""Every rpc that a service calls may be called by services."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator

from architecture.source_tree import ROOT, SERVICES, Source, message, under

from services.chassis.access.principal import Role
from services.chassis.access.rights import roles_of

FOLDERS = ("services/chassis", *(f"services/{name}" for name in SERVICES))


def roles_by_name() -> dict[str, list[frozenset[Role]]]:
    """Return who may call each rpc, by its name; several services may have one of that name."""
    found: dict[str, list[frozenset[Role]]] = {}
    for path in sorted((ROOT / "gen").rglob("*_service_pb2.py")):
        module = importlib.import_module(
            ".".join(path.relative_to(ROOT / "gen").with_suffix("").parts)
        )
        for service in module.DESCRIPTOR.services_by_name.values():
            for rpc in service.methods:
                found.setdefault(rpc.name, []).append(roles_of(rpc))
    return found


def calls(file: Source) -> Iterator[tuple[int, str]]:
    """Yield line and name of what a file that has stubs calls by a name like that of an rpc."""
    if "_pb2_grpc" not in file.text or "Stub" not in file.text:
        return
    for node in ast.walk(file.tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            yield node.lineno, node.func.attr


def refused(file: Source) -> list[str]:
    """Return the rpcs that a file calls and that no service of that name lets services call."""
    known = roles_by_name()
    return [
        f"{file.path}:{line}: {name}"
        for line, name in calls(file)
        if name in known and not any(Role.INTERNAL in roles for roles in known[name])
    ]


def test_services_call_what_services_may_call() -> None:
    found = [each for file in under(*FOLDERS) for each in refused(file)]
    assert not found, message(found, "add RIGHT_INTERNAL to the rights of these rpcs")


def test_call_of_what_services_may_not_call_is_found() -> None:
    text = "from a.b_pb2_grpc import SegmentServiceStub\nawait stub.ListSnapshots(request)\n"
    planted = Source("services/activation/planted.py", text.replace("await ", ""))
    assert refused(planted) == ["services/activation/planted.py:2: ListSnapshots"]
    allowed = text.replace("ListSnapshots", "Judge").replace("await ", "")
    assert refused(Source("services/activation/planted.py", allowed)) == []
