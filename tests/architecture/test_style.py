"""Checks the style of the code: its sizes, its log lines, waits in tests, and mentions."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from ipaddress import ip_address

from architecture.source_tree import Source, functions, message, tracked, under

FILE_LINES, TEST_FILE_LINES, FUNCTION_LINES = 450, 650, 60
#: Exceptions, each with its reason.
LONGER_FILES: dict[str, str] = {}
LONGER_FUNCTIONS: dict[str, str] = {}
#: Tests that may sleep, each with its reason; every other test waits with `wait_until`.
SLEEPS: dict[str, str] = {
    "tests/service_fixtures.py": "wait_until pauses between two checks",
    "tests/integration/devstack/test_postgres_server.py": "a task that runs until it is cancelled",
    "tests/integration/ingest/log/test_log_append.py": "connections die at random moments",
    "tests/faults/running_system.py": "faults strike at random moments; clients pause to retry",
    "tests/faults/test_journey_faults.py": "faults strike at random moments, and last a while",
    "tests/faults/test_outages.py": "an outage begins at a random moment, and lasts a while",
    "tests/contract/gateway/conformance_server.py": "the suite asks for responses with a delay",
    "tests/integration/activation/test_player_looks.py": "persons come one after another",
    "tests/integration/activation/test_worker.py": "effects come one after another",
    "tests/fleet/test_fleet.py": "faults strike at random moments, and last a while",
}

LEVELS = frozenset(["debug", "info", "warning", "error", "exception", "critical", "msg"])
EVENT = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)+")
_HOSTS = """
    github.com www.apache.org www.standardwebhooks.com segment.com www.w3.org onefold.dev x.exa
    json-schema.org
    api.push.apple.com api.sandbox.push.apple.com api.e.qq.com open.fxiaoke.com
    dysmsapi.aliyuncs.com sms.tencentcloudapi.com api.twilio.com oapi.dingtalk.com
    qyapi.weixin.qq.com open.feishu.cn api.weixin.qq.com fcm.googleapis.com www.googleapis.com
    oauth2.googleapis.com restapi.getui.com graph.facebook.com datamanager.googleapis.com
    api.hubapi.com connectrpc.com
"""
#: The folder of the console's built files.
BUILT = "services/console/dist/"
#: Hosts that a file may name, beside examples, addresses and names without a dot.
HOSTS = frozenset(_HOSTS.split())
EXAMPLE_HOST = re.compile(r"(^|\.)(example|test|invalid|local)$|(^|\.)example\.(com|org|net|cn)$")
URL = re.compile(r"\b[a-z][a-z0-9+.-]*://(?:[^\s/@'\"`<>]*@)?([A-Za-z0-9_.-]+)")

CODE = ("services", "bench", "protos", "docs")


def test_files_stay_within_their_length() -> None:
    bounds = [(s, FILE_LINES) for s in under(*CODE)]
    bounds += [(s, TEST_FILE_LINES) for s in under("tests")]
    found = [
        f"{s.path} has {len(s.lines)} lines, at most {most}"
        for s, most in bounds
        if len(s.lines) > most and s.path not in LONGER_FILES
    ]
    assert not found, message(found, "a file is about one thing")


def test_functions_stay_within_their_length() -> None:
    found = [
        f"{s.path}:{f.lineno} {f.name} has {f.end_lineno - f.lineno + 1} lines"
        for s in under(*CODE, "tests")
        for f in functions(s)
        if f.end_lineno
        and f.end_lineno - f.lineno + 1 > FUNCTION_LINES
        and f"{s.path} {f.name}" not in LONGER_FUNCTIONS
    ]
    assert not found, message(found, f"a function has at most {FUNCTION_LINES} lines")


def test_code_holds_no_mark_of_unfinished_work() -> None:
    marks = re.compile("|".join((r"\bTO" + "DO", r"\bFIX" + "ME", r"\bX" + "XX", r"\bHA" + "CK")))
    found = [
        f"{s.path}:{number} {line.strip()[:80]}"
        for s in tracked()
        if not is_lock(s)
        for number, line in enumerate(s.lines, 1)
        if marks.search(line)
    ]
    assert not found, message(found, "the README lists the gaps; the code holds no marks")


def test_suppressed_linter_rule_has_its_reason() -> None:
    codes = r"[A-Z]+\d+(,\s*[A-Z]+\d+)*"
    bare = re.compile(rf"#\s*(noqa(:\s*{codes})?|type:\s*ignore(\[[\w,-]+\])?)\s*$")
    found = [
        f"{s.path}:{number} {line.strip()[-60:]}"
        for s in under(*CODE)
        for number, line in enumerate(s.lines, 1)
        if bare.search(line)
    ]
    assert not found, message(found, "a suppressed rule has its reason on the same line")


def test_tests_never_sleep() -> None:
    found = [
        f"{s.path}:{node.lineno} {ast.unparse(node)}"
        for s in under("tests")
        if s.path not in SLEEPS
        for node in ast.walk(s.tree)
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) in ("asyncio.sleep", "time.sleep", "sleep")
        and [ast.unparse(a) for a in node.args] != ["0"]  # yields to other tasks
    ]
    assert not found, message(found, "a test waits for a condition with wait_until")


def log_calls(file: Source) -> Iterator[ast.Call]:
    for node in ast.walk(file.tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            holder = ast.unparse(node.func.value).rpartition(".")[2].strip("_")
            if node.func.attr in LEVELS and holder in ("log", "logger"):
                yield node


def test_log_events_are_constant_and_snake_case() -> None:
    found = []
    for file in under("services"):
        for call in log_calls(file):
            event = call.args[0] if call.args else None
            constant = isinstance(event, ast.Constant) and isinstance(event.value, str)
            if not constant or not EVENT.fullmatch(event.value):
                found.append(f"{file.path}:{call.lineno} {ast.unparse(call)[:90]}")
            elif len(call.args) > 1:
                found.append(f"{file.path}:{call.lineno} values are named: {event.value}")
    assert not found, message(found, "a log line is a constant snake_case event and named values")


def test_log_values_are_never_personal() -> None:
    personal = re.compile(r"value|email|phone|trait|propert|payload|body|identifier$|raw|name$")
    found = [
        f"{file.path}:{call.lineno} {keyword.arg}"
        for file in under(*(f"services/{name}" for name in ("ingest", "identity", "profile")))
        for call in log_calls(file)
        for keyword in call.keywords
        if keyword.arg and personal.search(keyword.arg)
    ]
    assert not found, message(found, "log lines hold no personal data")


def test_services_do_not_print() -> None:
    found = [
        f"{file.path}:{node.lineno}"
        for file in under("services")
        if not file.path.startswith(("services/cli/", "services/devstack/venv.py"))
        for node in ast.walk(file.tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "print"
    ]
    assert not found, message(found, "a service writes to its log")


def test_files_name_no_foreign_host() -> None:
    found = [
        f"{s.path}:{number} {host}"
        for s in tracked()
        # What the libraries of the console name in their errors; a browser test sees each request.
        if s.path != "LICENSE" and not is_lock(s) and not s.path.startswith(BUILT)
        for number, line in enumerate(s.lines, 1)
        for host in URL.findall(line)
        if not _is_allowed_host(host.rstrip(".-_").lower())
    ]
    assert not found, message(found, "a host is listed in this test or is an example")


def _is_allowed_host(host: str) -> bool:
    is_example = "." not in host or EXAMPLE_HOST.search(host)
    return bool(is_example) or host in HOSTS or _is_address(host)


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def is_lock(file: Source) -> bool:
    return file.path.endswith((".lock", "package-lock.json"))


def test_files_name_no_path_of_one_machine() -> None:
    place = re.compile(r"(?<![\w.$}/-])/(?:work|root|home|Users)/")
    number = re.compile(r"\b(?:issue|ticket|PR) ?#?\d+\b", re.IGNORECASE)
    found = [
        f"{s.path}:{at} {line.strip()[:80]}"
        for s in tracked()
        if not s.path.startswith("tests/architecture/") and not is_lock(s)
        for at, line in enumerate(s.lines, 1)
        if place.search(line) or number.search(line)
    ]
    assert not found, message(found, "files mention the project alone")


def test_locks_name_no_index() -> None:
    index = re.compile(r"^-|^[^#]*://(?!.*#)|\"resolved\"")
    found = [
        f"{s.path}:{at} {line}"
        for s in tracked()
        if is_lock(s)
        for at, line in enumerate(s.lines, 1)
        if index.search(line) and '"url"' not in line  # funding links
    ]
    assert not found, message(found, "a lock names no package index")


def test_every_package_of_a_lock_has_a_hash() -> None:
    pinned = re.compile(r"^[A-Za-z0-9][\w.-]*(\[[\w,-]+\])?==[^ ]+( ;.*)? ?\\?$")
    found = []
    for file in (s for s in tracked() if s.path.endswith(".lock")):
        for at, line in enumerate(file.lines[:-1]):
            if pinned.match(line) and "--hash=sha256:" not in file.lines[at + 1]:
                found.append(f"{file.path}:{at + 1} {line}")
    assert not found, message(found, "every locked package has a hash")


def test_declared_metrics_are_measured() -> None:
    telemetry = next(s for s in under("services/chassis") if s.path.endswith("/telemetry.py"))
    declared = [
        f.name
        for f in functions(telemetry)
        if any(ast.unparse(d) == "cached_property" for d in f.decorator_list)
    ]
    others = "\n".join(s.text for s in under("services") if s is not telemetry)
    found = [name for name in declared if not re.search(rf"\b_?metrics\.{name}\b", others)]
    assert declared
    assert not found, message(found, "a metric that is never measured hides a fault")
