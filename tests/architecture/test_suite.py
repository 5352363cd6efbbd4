"""Counts the slow tests, so that the whole suite stays within its time whatever is added.

A test that starts a whole system or several services takes 5 to 60 seconds. Each lies in one of
these folders, and the folder has a budget. A new scenario joins a system that another one starts,
or raises the budget in the same change, with the time of the suite in its message.
"""

from __future__ import annotations

import ast
import re

from architecture.source_tree import Source, functions, message, under

#: The most tests of each folder or file that starts a whole system or several services.
BUDGET = {
    # One of them runs only where Spark and Java are installed.
    "tests/scenarios/": 6,
    # A log that was restored alone is met in two ways: by running services, and by later ones.
    # Journeys have a system whose processes are killed; so have erasures, which shows what is on
    # disk as well: 30 seconds. The other kills are one run, not two. Faults that go on for an hour
    # are no part of the suite.
    "tests/faults/": 13,
    "tests/fleet/": 1,
    "tests/contract/readme/": 3,
    "tests/laws/test_whole_system.py": 6,
    "tests/laws/test_three_systems.py": 1,
    # One customer of several systems, and changes of tiers, need the pack in all services; journeys
    # run in two systems, and their copies and audiences in a third, beside fakes of networks. The
    # ways in and out share one, and the exports of a person another one: 20 seconds. Two are
    # erased while services lag, in the system of the other erasures: 15 seconds.
    "tests/integration/whole/": 30,
    "tests/security/test_key_roles.py": 1,
    "tests/security/test_keyed_ids.py": 3,
    "tests/security/test_rpc_matrix.py": 3,
    "tests/security/test_destinations.py": 2,
    "tests/security/test_source_trust.py": 2,
    "tests/security/test_rule_limits.py": 2,
    "tests/security/test_command_output.py": 5,
    "tests/integration/identity/test_identity_decisions.py": 14,
    "tests/integration/identity/test_identity_policy.py": 12,
    "tests/security/test_tenant_isolation.py": 3,
    "tests/integration/deploy/": 23,
    "tests/integration/devstack/": 45,
    # The tests of the browser and of the description of the API share one system and one browser.
    # They show all screens in turn in two languages, and do by keyboard what each of them changes;
    # people, rules and addresses are random there. One file has what each role gets and how
    # sessions end, one has processes that are killed, and one a slow network that fails.
    "tests/integration/console/": 57,
}
#: Calls that wait, and the seconds that they may not name: a shorter time is to be over.
WAITS = re.compile(r"\b(wait_until|asyncio\.(timeout|wait_for)|mark\.timeout)$")
TOO_SHORT_S = range(1, 60)
#: A test that starts all services names one of these.
WHOLE_SYSTEM = re.compile(r"\bStack\(|\bfaults\.running_system\b|\bwhole_system import\b")


def count_tests(file: Source) -> int:
    """Return the number of test functions of a file; a parametrised one counts once."""
    return sum(f.name.startswith("test_") for f in functions(file))


def over_budget(files: list[Source]) -> list[str]:
    found = []
    for place, most in BUDGET.items():
        number = sum(count_tests(file) for file in files if file.path.startswith(place))
        if number > most:
            found.append(f"{place} has {number} tests, at most {most}")
    return found


def outside_the_budget(files: list[Source]) -> list[str]:
    return [
        file.path
        for file in files
        if any(isinstance(node, ast.Call | ast.ImportFrom) for node in ast.walk(file.tree))
        and WHOLE_SYSTEM.search(file.text)
        and count_tests(file)
        and not file.path.startswith((*BUDGET, "tests/architecture/"))
    ]


def short_waits(file: Source) -> list[str]:
    """Return the waits of tests that a busy machine may not live up to, with their places."""
    return [
        f"{file.path}:{node.lineno} {ast.unparse(node)}"
        for node in ast.walk(file.tree)
        if isinstance(node, ast.Call) and WAITS.search(ast.unparse(node.func))
        for argument in (*node.args, *(keyword.value for keyword in node.keywords))
        if isinstance(argument, ast.Constant)
        and isinstance(argument.value, int | float)
        and int(argument.value) in TOO_SHORT_S
    ]


def test_waits_of_tests_are_long_enough_for_a_busy_machine() -> None:
    found = [wait for file in under("tests") for wait in short_waits(file)]
    assert not found, message(found, "a wait is a guard against hanging: service_fixtures.HANG_S")


def test_planted_short_waits_are_found() -> None:
    for wait in ("wait_until(f, 5.0)", "asyncio.timeout(10)", "asyncio.wait_for(x(), timeout=1)"):
        assert short_waits(Source("tests/test_x.py", wait)), wait
        assert not short_waits(Source("tests/test_x.py", re.sub(r"[0-9.]+", "HANG_S", wait)))


def fixtures_of_packages(file: Source) -> list[str]:
    """Return the fixtures that last until the session ends: no folder of tests is a package."""
    return [
        f"{file.path}:{node.lineno} {ast.unparse(node)}"
        for node in ast.walk(file.tree)
        if isinstance(node, ast.keyword) and node.arg == "scope" and "package" in ast.unparse(node)
    ]


def test_fixtures_end_with_their_file_or_are_of_the_session() -> None:
    found = [each for file in under("tests") for each in fixtures_of_packages(file)]
    assert not found, message(found, "it would work beside all later tests: scope it to a module")
    planted = Source("tests/test_x.py", '@pytest.fixture(scope="package")\ndef x() -> None: ...')
    assert fixtures_of_packages(planted)


def test_slow_tests_stay_within_their_budget() -> None:
    found = over_budget(under("tests"))
    assert not found, message(found, "share a running system, or raise the budget with a reason")


def test_whole_systems_are_started_by_budgeted_tests_only() -> None:
    found = outside_the_budget(under("tests"))
    assert not found, message(found, "a test that starts a whole system lies in a counted folder")


def test_planted_slow_tests_are_found() -> None:
    most = BUDGET["tests/scenarios/"]
    many = "\n".join(f"def test_x{n}() -> None: ..." for n in range(most + 1))
    assert over_budget([Source("tests/scenarios/test_x.py", many)])
    planted = "from whole.whole_system import start\ndef test_x() -> None: ..."
    assert outside_the_budget([Source("tests/integration/profile/test_x.py", planted)])
    assert not outside_the_budget([Source("tests/scenarios/test_x.py", planted)])
