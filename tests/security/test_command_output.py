"""Whatever customers and sources write, no command hands it to the terminal as something to do."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import stat
import subprocess
import sys
import unicodedata
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from onefold.identity.v1 import identity_facts_pb2 as facts_pb
from onefold.identity.v1.identity_service_pb2 import AssessMatchesRequest
from onefold.ingest.v1.admin_service_pb2 import ListKeysRequest, ListRefusedCallsRequest
from onefold.log.v1.log_service_pb2 import TickClockRequest
from service_fixtures import wait_until
from typer.main import get_command
from typer.testing import CliRunner

from services.cli import output
from services.cli.__main__ import app
from services.cli.endpoints import find_endpoints
from services.client.client import Client
from services.client.text import parse_identifier
from services.devstack.folders import ROOT, load_internal_key
from services.devstack.ports import FIRST_PORT_VARIABLE
from services.kernel.errors import NotAllowed

#: Writes to the clipboard, clears the screen, sets colours, reverses and hides text, adds a line.
HOSTILE = (
    "A\x1b]52;c;cm0gLXJm\x07\x1b[2J\x9b31m\u202egpj\u2066\u200b\u2028\r\nerror: x\t"
    "[/x][bold red][link=http://evil.example]:bomb:"
)
#: What is left of it where only characters that can be printed are accepted.
MARKUP = "A[/x][bold red][link=http://evil.example]:bomb:"
#: A part of both as it must be shown.
SHOWN = "[/x][bold red][link=http://evil.example]:bomb:"
HIDDEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
WHO, OTHER = f"user_id:{MARKUP}", f"user_id:{MARKUP}3"


@dataclass
class Case:
    """The arguments of a command, and whether it prints planted text."""

    arguments: list[str]
    shows: bool = True
    fails: bool = False
    environment: dict[str, str] = field(default_factory=dict)


@dataclass
class System:
    """A running system with hostile text in it."""

    data: Path
    files: Path
    key: str = ""
    printed: dict[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        return {"ONEFOLD_DATA": str(self.data), FIRST_PORT_VARIABLE: "0", "COLUMNS": "600"}

    def run(self, *arguments: str, environment: Mapping[str, str] | None = None) -> Any:
        """Run a command in this process."""
        own = {**self.environment, **(environment or {})}
        # A console may have been made for a narrow terminal, by an earlier test of this process.
        for terminal in (output.out, output.err):
            terminal.console.width = 600
        return CliRunner().invoke(app, list(arguments), env=own)

    def process(self, *arguments: str) -> str:
        """Run a command in a process of its own, and return what it prints."""
        done = subprocess.run(
            [sys.executable, "-m", "services.cli", *arguments],
            cwd=ROOT,
            env=os.environ | self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def must(self, *arguments: str) -> str:
        result = self.run(*arguments)
        assert result.exit_code == 0, result.output
        return str(result.stdout)

    def write(self, name: str, text: str) -> str:
        path = self.files / name
        path.write_text(text, encoding="utf-8")
        return str(path)

    def send(self, *calls: dict[str, Any]) -> dict[str, Any]:
        url = f"{find_endpoints(self.data).events_url}/v1/batch"
        headers = {"Authorization": f"Bearer {self.key}"}
        body = json.dumps({"batch": calls}).encode()
        with urllib.request.urlopen(urllib.request.Request(url, body, headers)) as response:
            return dict(json.load(response))


def quoted(text: str) -> str:
    """Return a text in double quotes of YAML."""
    return json.dumps(text)


TEXT = quoted(HOSTILE)
RULE = f"{{count: {{event: {TEXT}, at_least: 1}}}}"
OUT = "file: {name: out.ndjson}, segments: [seen], on: [entered]"
PACK = f"""
sources: [{{id: web, title: {TEXT}, channel: web, trust: server}}]
settings: {{orders: {{payments: {{event: paid, order_id: id, amount: amount}}}}}}
tags:
  - {{id: keen, title: {TEXT}, rule: {RULE}}}
  - id: scored
    title: Scored
    rfm: {{quantiles: 2, period: month, values: [{{value: {TEXT}, monetary: 2}}]}}
segments: [{{id: seen, title: {TEXT}, rule: {RULE}}}]
templates:
  - id: hello
    title: {TEXT}
    sample: {{person: {{name: {TEXT}}}}}
    locales: {{zh: {{text: "{{{{ person.name }}}}"}}}}
destinations: [{{id: out, title: {TEXT}, {OUT}}}]
coupon_pools: [{{id: half, title: {TEXT}}}]
queues: [{{id: desk, title: {TEXT}}}]
dashboards:
  - {{id: all, title: {TEXT}, tiles: [{{id: a, title: {TEXT}, data: tickets, chart: bars}}]}}
journeys: [{{id: waits, title: {TEXT}, enter: {{segment: {{id: seen}}}}, steps: [{{wait: 1d}}]}}]
"""
POLICY = f"""
identity_policy:
  namespaces: [{{name: user_id, limit: 1}}, {{name: phone}}]
  blocked: [{{namespace: device_id, pattern: {quoted(MARKUP + "*")}}}]
"""
#: It standardises a trait with a hostile name.
TRAITS = f"settings: {{cleaners: {{{TEXT}: number, name: person_name}}}}\n"
#: It blocks an identifier, and so splits its profile.
STRICT = POLICY.replace("namespace: device_id", "namespace: user_id")
PULL = f"name: rows\nurl: 'mysql://h/d'\ntable: {TEXT}\ncursor: {TEXT}\nkey: id\nmapping: 1\n"
MAPPING = "event: x\nidentifiers: {user_id: {column: id}}\n"


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    folder = tmp_path_factory.mktemp("output")
    made = System(folder / "data", folder)
    leave_open(made.data)
    before = os.umask(0)
    try:
        made.printed["up"] = made.process("up", "--allow-clock")
        plant(made)
        yield made
    finally:
        os.umask(before)
        made.printed["down"] = made.process("down")


def leave_open(data: Path) -> None:
    """Make files as an older version with an open umask has left them."""
    for name in ("stack.json", "ports.json", "supervisor.log", "logs/ingest.log", "run/old.json"):
        path = data / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        path.chmod(0o666)
        path.parent.chmod(0o777)


def plant(system: System) -> None:
    system.must("apply", "-f", system.write("pack.yaml", PACK))
    system.must("apply", "-f", system.write("policy.yaml", POLICY))
    system.key = system.must("keys", "issue", "--source", "web", "--title", HOSTILE).strip()
    traits = {"name": HOSTILE, HOSTILE: [HOSTILE, {HOSTILE: HOSTILE}], "phone": "13800000001"}
    common = {
        "userId": MARKUP,
        "anonymousId": "device-1",
        "context": {"page": {"url": HOSTILE}},
        "channel": "web",
    }
    group = {"plan": HOSTILE, HOSTILE: 1, "parent_account_id": MARKUP}
    taken = system.send(
        {"type": "track", "event": HOSTILE, "properties": {HOSTILE: HOSTILE}, **common},
        {"type": "identify", "traits": traits, **common},
        {"type": "group", "groupId": f"{MARKUP}2", "traits": group, **common},
        {"type": "identify", "userId": f"{MARKUP}3", "traits": {"phone": "13800000001"}},
        {"type": "track", "event": HOSTILE, "messageId": HOSTILE},
        {"type": HOSTILE, "userId": HOSTILE},
        {"type": "track", "event": HOSTILE, "userId": HOSTILE, "properties": HOSTILE},
    )
    assert (taken["accepted"], len(taken["rejections"])) == (4, 3), taken
    asyncio.run(plant_refused_call(system))
    asyncio.run(plant_matches(system.data))


async def plant_refused_call(system: System) -> None:
    """Have a call refused to the key with the hostile title, and wait until that is a fact."""
    endpoints = find_endpoints(system.data)
    async with Client(replace(endpoints, key=system.key)) as source, Client(endpoints) as admin:
        with pytest.raises(NotAllowed):
            await source.admin.ListKeys(ListKeysRequest())

        async def is_listed() -> bool:
            return bool((await admin.admin.ListRefusedCalls(ListRefusedCallsRequest())).calls)

        await wait_until(is_listed)


async def plant_matches(data: Path) -> None:
    weight = facts_pb.MatchWeight(comparison=MARKUP, outcome=MARKUP, log2_bayes_factor=1.0)
    match = facts_pb.MatchAssessed(
        a=parse_identifier(WHO),
        b=parse_identifier("user_id:third"),
        assessment="ASSESSMENT_TO_REVIEW",
        probability=0.5,
        model_version=MARKUP,
        weights=[weight],
    )
    async with Client(find_endpoints(data)) as client:
        await client.identity.AssessMatches(AssessMatchesRequest(matches=[match]))
    endpoints = replace(find_endpoints(data), key=load_internal_key(data))
    async with Client(endpoints) as client:
        for _ in range(3):  # what one service publishes is folded by the next
            tick = await client.log.TickClock(TickClockRequest())
            await client.await_token(tick.token)


def key_id(system: System) -> str:
    rows = (line.split() for line in system.must("keys", "list").splitlines())
    return next(row[0] for row in rows if row[1:2] == ["source"])


def quarantined(system: System) -> str:
    return system.must("quarantine", "list").splitlines()[1].split()[0]


def hostile_file(system: System) -> str:
    return system.write("\x1b[2J[bold]\u202e.csv", f"id,{HOSTILE!r}\x1b[2J\u202e[/x]\nx,1\n")


#: The arguments of every command that prints, by its path.
CASES: dict[str, Callable[[System], Case]] = {
    "status": lambda _: Case([], shows=False),
    "apply": lambda s: Case(["-f", s.write("p.yaml", PACK), "--dry-run"], shows=False),
    "export definitions": lambda _: Case([]),
    "export segment": lambda s: Case(
        ["seen", str(s.files / "seen.csv"), "--identifier", MARKUP, "--trait", HOSTILE], shows=False
    ),
    "export person": lambda s: Case([WHO, str(s.files / "person.json")], shows=False),
    "export log": lambda s: Case([str(s.files / "log")], shows=False),
    "console": lambda _: Case([], shows=False),
    "rules schema": lambda _: Case([], shows=False),
    "rules check": lambda s: Case(["-f", s.write("rule.yaml", PACK)]),
    "profile": lambda _: Case([WHO]),
    "correct": lambda _: Case([WHO, HOSTILE, HOSTILE, "--reason", HOSTILE]),
    "traits": lambda s: Case(["-f", s.write("traits.yaml", TRAITS)]),
    "account": lambda _: Case([f"{MARKUP}2", "--tag", "keen", "--children"]),
    "scores import": lambda s: Case(
        [hostile_file(s), "--model", HOSTILE, "--version", HOSTILE], shows=False, fails=True
    ),
    "segments list": lambda _: Case([]),
    "segments preview": lambda s: Case(["-f", s.write("preview.yaml", PACK)]),
    "segments overlap": lambda _: Case(["seen", MARKUP], shows=False, fails=True),
    "segments members": lambda _: Case(["seen"], shows=False),
    "segments snapshot": lambda _: Case([HOSTILE, "--of", "seen"], shows=False, fails=True),
    "journeys list": lambda _: Case([]),
    "journeys show": lambda _: Case(["waits"], shows=False),
    "journeys results": lambda _: Case(["waits"], shows=False),
    "journeys runs": lambda _: Case([], shows=False),
    "journeys run": lambda _: Case([HOSTILE], shows=False, fails=True),
    "journeys why": lambda _: Case(["waits", WHO], shows=False),
    "journeys coupon-pools": lambda _: Case([]),
    "journeys load-coupons": lambda _: Case([HOSTILE, HOSTILE], shows=False, fails=True),
    "journeys audit": lambda _: Case([], shows=False),
    "journeys verify": lambda _: Case([], shows=False),
    "journeys try": lambda _: Case([HOSTILE], shows=False, fails=True),
    "journeys backtest": lambda _: Case(["waits", "--from", "2026-01-01"], shows=False),
    "journeys regrets": lambda _: Case(["waits"], shows=False),
    "journeys pause": lambda _: Case(["waits"], shows=False),
    "journeys resume": lambda _: Case(["waits", "--overdue", "skip"], shows=False),
    "journeys stop": lambda _: Case(["waits"], shows=False),
    "tickets open": lambda _: Case(["desk", WHO, HOSTILE, "--kind", HOSTILE], shows=False),
    "tickets list": lambda _: Case([], shows=False),
    "tickets board": lambda _: Case([]),
    **{
        f"tickets {name}": lambda _, more=more: Case([HOSTILE, *more], shows=False, fails=True)
        for name, more in {
            **dict.fromkeys(("show", "answer", "wait", "resolve", "reopen"), ()),
            "assign": (HOSTILE,),
            "rate": ("3",),
        }.items()
    },
    "tags fit": lambda _: Case(["scored"]),
    "mirror show": lambda _: Case([HOSTILE], shows=False, fails=True),
    "mirror reconcile": lambda _: Case([HOSTILE], shows=False, fails=True),
    "templates list": lambda _: Case([]),
    "recommendations fit": lambda _: Case([HOSTILE], shows=False, fails=True),
    "recommendations show": lambda _: Case([HOSTILE, WHO], shows=False),
    "templates preview": lambda _: Case(["hello"]),
    "match": lambda s: Case(["--config", s.write("\x1b[2J.yaml", "a: [")], shows=False, fails=True),
    "verify": lambda _: Case([], shows=False),
    "rebuild": lambda _: Case(["segment"], shows=False),
    "import": lambda s: Case(
        [
            hostile_file(s),
            "--mapping",
            s.write("m.yaml", MAPPING.replace("id}", "no}")),
            "--key",
            "-",
        ],
        shows=False,
        fails=True,
    ),
    "pull": lambda s: Case([s.write("pull.yaml", PULL), "--key", "-"], shows=False, fails=True),
    "identity policy": lambda _: Case([]),
    "identity preview": lambda s: Case(["-f", s.write("p2.yaml", STRICT)]),
    "identity lookup": lambda _: Case([WHO]),
    "identity list": lambda _: Case([WHO]),
    "identity held": lambda _: Case([]),
    "identity link": lambda _: Case([WHO, OTHER, "--reason", HOSTILE]),
    "identity separate": lambda _: Case([WHO, "user_id:u-405", "--reason", HOSTILE]),
    "identity withdraw": lambda _: Case([WHO, "user_id:u-405", "--reason", HOSTILE]),
    "identity merges": lambda _: Case(["--from", "0"], shows=False),
    "explain match": lambda _: Case([WHO, OTHER]),
    "explain segment": lambda _: Case([WHO, "seen"]),
    "explain tag": lambda _: Case([WHO, "keen", "--language", "zh"]),
    "explain stage": lambda _: Case([WHO, f"{MARKUP}=x"], shows=False, fails=True),
    "matches list": lambda _: Case(["--assessment", "all"]),
    "matches accept": lambda _: Case([WHO, "user_id:third", "--purpose", MARKUP], shows=False),
    "matches reject": lambda _: Case([WHO, "user_id:fourth"], shows=False),
    "quarantine list": lambda _: Case([], shows=False),
    "quarantine release": lambda s: Case([quarantined(s)], shows=False, fails=True),
    "campaign": lambda _: Case([MARKUP], shows=False),
    "sources duplicates": lambda _: Case([], shows=False),
    "sources list": lambda _: Case([]),
    "keys issue": lambda _: Case(["--source", "web", "--title", HOSTILE], shows=False),
    "keys list": lambda _: Case([]),
    "audit list": lambda _: Case([], shows=False),
    "audit verify": lambda _: Case([], shows=False),
    "erasures list": lambda _: Case([], shows=False),
    "erasures request": lambda _: Case([WHO, "--ground", "GDPR 17"]),
    "fields list": lambda _: Case([], shows=False),
    "fields set": lambda _: Case(["course_no=none"], shows=False),
    "keys refused": lambda _: Case([], shows=False),
    "keys rotate": lambda s: Case([key_id(s)], shows=False),
    "keys disable": lambda s: Case([key_id(s)], shows=False),
    "nats credentials": lambda _: Case(["--source", MARKUP], shows=False, fails=True),
    "database roles": lambda _: Case(
        [], shows=False, environment={"ONEFOLD_POSTGRES_DSN": "postgresql://a\x1b\u202e:p@h/d"}
    ),
    "facts list": lambda _: Case([], shows=False),
    "facts retry": lambda _: Case(["--service", "profile"], shows=False),
    "facts park": lambda _: Case(
        ["0:0", "--service", "profile", "--reason", HOSTILE], shows=False, fails=True
    ),
    "facts unpark": lambda _: Case(
        [f"0:{MARKUP}", "--service", "profile", "--reason", "x"], shows=False, fails=True
    ),
    "clock advance": lambda _: Case(["1s"], shows=False),
}
#: Commands that the fixture runs, or that print texts of their own only.
ELSEWHERE = {
    "up": "the fixture",
    "down": "the fixture",
    "demo": "its own events, in its own system",
    "test": "the output of pytest",
    "bench": "its own figures",
}


def commands(command: Any, path: str = "") -> list[str]:
    inner = getattr(command, "commands", None)
    if inner is None:
        return [path.strip()]
    return [found for name, each in inner.items() for found in commands(each, f"{path} {name}")]


def assert_harmless(result: Any) -> None:
    for text in (result.stdout, result.stderr):
        left = {c for c in text if unicodedata.category(c) in HIDDEN} - {"\n"}
        assert not left, (left, text)
        assert "Traceback" not in text
        assert "\nerror: x" not in text, "a text has added a line"
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception


def test_every_command_has_a_case() -> None:
    assert set(commands(get_command(app))) == CASES.keys() | ELSEWHERE.keys()


def test_no_command_prints_hostile_text_but_as_text(system: System) -> None:
    for path, make in CASES.items():
        case = make(system)
        result = system.run(*path.split(), *case.arguments, environment=case.environment)
        assert (result.exit_code != 0) is case.fails, (path, result.output)
        assert_harmless(result)
        assert not case.shows or SHOWN in result.output, (path, result.output)
        system.printed[path] = result.output
    assert "\\x1b]52;c;cm0gLXJm\\x07\\x1b[2J\\x9b31m\\u202egpj" in system.printed["profile"]
    assert "\\x1b" in system.printed["segments list"]
    assert "Onefold is running" in system.printed["up"]


def test_json_of_commands_is_valid_and_harmless(system: System) -> None:
    preview = system.write("p3.yaml", STRICT)
    for arguments in (
        ["explain", "match", WHO, OTHER, "--json"],
        ["identity", "preview", "-f", preview, "--json"],
    ):
        result = system.run(*arguments)
        assert_harmless(result)
        assert json.loads(result.stdout), result.output


def test_terminal_gets_no_sequence_but_those_of_styles(system: System) -> None:
    own = {"ONEFOLD_DATA": str(system.data), "TERM": "xterm-256color", "COLUMNS": "600"}
    shown = on_a_terminal(["profile", WHO], os.environ | own)
    assert SHOWN in shown
    for sequence in ("\x1b]52", "\x1b[2J", "\x9b", "\u202e", "\x1b]8"):
        assert sequence not in shown
    refused = on_a_terminal(["profile", "a", "b\x1b[2J\u202e"], os.environ | own)
    assert "\\x1b[2J\\u202e" in refused
    assert "\x1b[2J" not in refused


def on_a_terminal(arguments: list[str], environment: dict[str, str]) -> str:
    """Return what a command writes to a terminal."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "services.cli", *arguments],
        cwd=ROOT,
        env=environment,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    ):
        os.close(theirs)
        written = b""
        try:
            while part := os.read(ours, 65_536):
                written += part
        except OSError:  # the other end is closed
            pass
    os.close(ours)
    return written.decode()


def test_files_of_the_data_folder_are_for_their_owner_alone(system: System) -> None:
    system.run("status")
    checked = 0
    for path in system.data.rglob("*"):
        status = path.lstat()
        if "cluster" in path.parts or status.st_uid != os.geteuid() or path.is_symlink():
            continue
        checked += 1
        mode = stat.S_IMODE(status.st_mode)
        passable = path.parent == system.data and path.is_dir() and mode == 0o711
        assert not mode & 0o077 or passable, f"{path} has mode {mode:o}"
    names = {path.name for path in system.data.rglob("*.*")}
    assert {"stack.json", "supervisor.log", "ingest.json", "ingest.log", "admin.key"} <= names
    assert checked > 20
