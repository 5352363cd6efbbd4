"""`onefold`: the command line."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from services.chassis.runtime import logs
from services.cli import explain, identity, matches, system
from services.cli import output as show
from services.cli.apply import apply_pack
from services.cli.context import DataDir, with_client
from services.cli.definitions import read_pack
from services.cli.endpoints import find_doors
from services.cli.supervisor import settings_given
from services.devstack.stack import ROOT, Stack
from services.kernel.time import parse_span, to_rfc3339

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Onefold: many sources, one fold, one customer.",
)
clock = typer.Typer(no_args_is_help=True, help="The log's clock (demo and test only).")
keys = typer.Typer(no_args_is_help=True, help="Keys of the workspace.")
quarantine = typer.Typer(no_args_is_help=True, help="What was refused, and its way back.")
app.add_typer(clock, name="clock")
app.add_typer(quarantine, name="quarantine")
app.add_typer(keys, name="keys")
app.add_typer(explain.app, name="explain")
app.add_typer(identity.app, name="identity")
app.add_typer(matches.app, name="matches")
app.command()(matches.match)


@app.command()
def up(
    data: DataDir,
    allow_clock: Annotated[
        bool, typer.Option("--allow-clock", help="Let `clock advance` move the clock.")
    ] = False,
) -> None:
    """Start PostgreSQL, NATS and the five services, and leave them running."""
    settings = {"ONEFOLD_CLOCK_ADVANCE": "allowed"} if allow_clock else {}
    with show.errors():
        started = system.up(data, settings)
        doors = find_doors(data)
    show.out.print("Onefold is running." if started else "Onefold was running already.")
    show.out.print(f"  events over HTTP   {doors.http['ingest']}/v1/batch")
    show.out.print(f"  events over gRPC   {doors.grpc['ingest']}")
    show.out.print(f"  NATS               {system.nats_place(data)}")
    show.out.print(f"  admin key          {data / 'admin.key'}")
    show.out.print("Next: `onefold status`, `onefold apply -f packs/education`, `onefold down`.")


@app.command()
def down(data: DataDir) -> None:
    """Stop what `up` started. The data stay."""
    stopped = show.run(system.down(data))
    show.out.print("Stopped." if stopped else f"Nothing runs over {data}.")


@app.command()
def status(data: DataDir) -> None:
    """Show services, lag by shard, and counts."""
    show.run(system.status(data))


@app.command()
def demo(
    data: Annotated[
        Path | None, typer.Option("--data", help="Keep the data in this folder.")
    ] = None,
    visitors: Annotated[int, typer.Option(help="Visitors of the school.", min=50)] = 3_000,
) -> None:
    """Run one month of an online school through the whole system, and prove the result."""
    with _folder(data) as folder:
        faults = show.run(_demo(folder, visitors))
    raise typer.Exit(1 if faults else 0)


async def _demo(folder: Path, visitors: int) -> list[str]:
    from services.cli.demo.receiver import Receiver
    from services.cli.demo.report import tell
    from services.cli.demo.scenario import Demo

    logs.configure("demo", "error")
    settings = settings_given(os.environ)
    settings |= {"ONEFOLD_CLOCK_ADVANCE": "allowed", "ONEFOLD_TICK_INTERVAL_S": "1"}
    stack = Stack(folder, settings=settings, progress=_say_step)
    async with Receiver() as receiver, stack:
        report = await Demo(stack, receiver, visitors=visitors).run()
    tell(report)
    return report.faults


def _say_step(name: str, done: bool) -> None:
    if done:
        show.err.print(f"  {name} is ready")


@contextmanager
def _folder(data: Path | None) -> Iterator[Path]:
    if data is not None:
        yield data
        return
    with tempfile.TemporaryDirectory(prefix="onefold-demo-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@app.command()
def apply(
    data: DataDir,
    file: Annotated[Path, typer.Option("-f", "--file", help="A pack: a folder or a YAML file.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would change.")
    ] = False,
    values: Annotated[
        list[str] | None, typer.Option("--set", help="NAME=VALUE for ${NAME} in the pack.")
    ] = None,
) -> None:
    """Define sources, the identity policy, tags, segments and destinations from files."""
    pairs = dict(pair.partition("=")[::2] for pair in values or ())
    with show.errors():
        pack = read_pack(file, {**os.environ, **pairs})
    applied = show.run(with_client(data, lambda c: apply_pack(c, pack, dry_run=dry_run)))
    word = "would change" if dry_run else "changed"
    rows = [(a.kind, a.id, a.version, word if a.changed else "is so already") for a in applied]
    show.table("", ("kind", "id", "version", ""), rows)


@app.command("import")
def import_(
    data: DataDir,
    file: Annotated[Path, typer.Argument(help="A .csv or .jsonl file.")],
    mapping: Annotated[Path, typer.Option(help="How its columns become events (YAML).")],
    key: Annotated[str, typer.Option(help="The source's write key.", envvar="ONEFOLD_WRITE_KEY")],
) -> None:
    """Import a file; lines that are refused are listed with their numbers."""
    from services.cli.importer import import_file

    with show.errors():
        doors = find_doors(data)
    with show.bars() as bars:
        task = bars.add_task(file.name, total=None)
        to = doors.grpc["ingest"]
        report = show.run(import_file(file, mapping, to, key, lambda n: bars.advance(task, n)))
    show.out.print(f"{report.accepted:,} new, {report.duplicates:,} known already")
    for line in report.refusals:
        show.out.print(f"line {line.line}: {line.reason} {line.message}")
    raise typer.Exit(1 if report.refused else 0)


@app.command()
def profile(
    data: DataDir,
    who: Annotated[str, typer.Argument(help="NAMESPACE:VALUE, or a profile id.")],
) -> None:
    """Show one person: identifiers, traits, tags, memberships, and the latest events."""
    from services.cli.people import show_person

    show.run(with_client(data, lambda client: show_person(client, who)))


@app.command()
def account(
    data: DataDir,
    who: Annotated[str, typer.Argument(help="A group id, account_NAMESPACE:VALUE, or profile:ID.")],
    tags: Annotated[
        list[str] | None, typer.Option("--tag", help="Evaluate a tag over all members together.")
    ] = None,
    children: Annotated[
        bool, typer.Option("--children", help="Count the members of accounts below it in.")
    ] = False,
) -> None:
    """Show one account: identifiers, traits, parent, children, members, and what they add up to."""
    from services.cli.accounts import show_account

    show.run(
        with_client(
            data, lambda client: show_account(client, who, tags or [], include_children=children)
        )
    )


@app.command()
def segments(data: DataDir) -> None:
    """List the segments and their sizes."""
    from services.cli.people import show_segments

    show.run(with_client(data, show_segments))


@app.command()
def verify(
    data: DataDir,
    shards: Annotated[int, typer.Option(help="Rebuild as if the log had this many shards.")] = 0,
) -> None:
    """Rebuild every projection from the log beside the live one, and compare their digests."""
    from services.cli.verify import verify_all

    if not show.run(with_client(data, lambda client: verify_all(client, shards), internal=data)):
        raise typer.Exit(1)


@app.command()
def rebuild(
    data: DataDir,
    service: Annotated[str, typer.Argument(help="identity, profile or segment.")],
    workers: Annotated[int, typer.Option(help="Workers that fold side by side.")] = 1,
    replace: Annotated[
        bool,
        typer.Option(
            "--replace",
            help="Whatever the comparison says: for a service that stands still (RANGE_EXPIRED).",
        ),
    ] = False,
) -> None:
    """Build the state of a service anew from the log, and put it in the place of the live one.

    Only if their digests are equal; with --replace in any case, and up to where the service before
    it is: what changed in between is then told to those after it.
    """
    from services.cli.verify import REBUILT, rebuild_one, replace_one

    if service not in REBUILT:
        show.fail(f"name one of {', '.join(REBUILT)}; activation keeps what was sent for ever")
    one = replace_one if replace else rebuild_one
    done = show.run(with_client(data, lambda c: one(c, service, workers), internal=data))
    raise typer.Exit(0 if done else 1)


@quarantine.command("list")
def quarantine_list(
    data: DataDir,
    limit: Annotated[int, typer.Option(help="At most this many.", min=1, max=1_000)] = 50,
) -> None:
    """List what was refused, newest first."""
    from services.cli.quarantine import show_quarantined

    show.run(with_client(data, lambda client: show_quarantined(client, limit)))


@quarantine.command("release")
def quarantine_release(
    data: DataDir,
    quarantine_id: Annotated[str, typer.Argument(help="An id out of the list.")],
    repaired: Annotated[
        Path | None, typer.Option("--repaired", help="The repaired event (JSON).")
    ] = None,
) -> None:
    """Release one refused event, repaired or as it was."""
    from services.cli.quarantine import release

    raw = repaired.read_bytes() if repaired else None
    show.run(with_client(data, lambda client: release(client, quarantine_id, raw)))


@clock.command("advance")
def clock_advance(data: DataDir, span: Annotated[str, typer.Argument(help="Such as 8d.")]) -> None:
    """Move the log's clock ahead."""
    from onefold.log.v1.log_service_pb2 import TickClockRequest

    try:
        advance_us = parse_span(span)
    except ValueError as error:
        show.fail(str(error))
    request = TickClockRequest(advance_us=advance_us)
    tick = show.run(with_client(data, lambda c: c.call(c.log.TickClock, request)))
    show.out.print(f"The log's clock stands at {to_rfc3339(tick.at_us)}.")


@keys.command("issue")
def keys_issue(
    data: DataDir,
    source: Annotated[str, typer.Option(help="A key that writes to this source.")] = "",
    role: Annotated[str, typer.Option(help="source, service or admin.")] = "source",
    title: Annotated[str, typer.Option(help="For people.")] = "",
) -> None:
    """Issue a key. It is shown once."""
    from onefold.ingest.v1 import admin_service_pb2

    if role not in _ROLES:
        show.fail(f"--role is one of {', '.join(_ROLES)}")
    request = admin_service_pb2.IssueKeyRequest(
        role=f"ROLE_{role.upper()}", source_id=source, title=title
    )
    issued = show.run(with_client(data, lambda c: c.call(c.admin.IssueKey, request)))
    show.out.print(issued.key)
    show.err.print(f"id {issued.key_id}; the key is shown this once")


_ROLES = ("source", "service", "admin")


@keys.command("list")
def keys_list(data: DataDir) -> None:
    """List the keys, without their secrets."""
    from onefold.ingest.v1 import admin_service_pb2, ingest_facts_pb2

    request = admin_service_pb2.ListKeysRequest()
    answer = show.run(with_client(data, lambda c: c.call(c.admin.ListKeys, request)))
    rows = [
        (
            k.key_id,
            ingest_facts_pb2.Role.Name(k.role).removeprefix("ROLE_").lower(),
            k.source_id,
            k.title,
            "disabled" if k.disabled else "",
        )
        for k in answer.keys
    ]
    show.table("", ("key", "role", "source", "title", ""), rows)


@keys.command("disable")
def keys_disable(data: DataDir, key_id: str) -> None:
    """Disable a key."""
    from onefold.ingest.v1 import admin_service_pb2

    request = admin_service_pb2.DisableKeyRequest(key_id=key_id)
    show.run(with_client(data, lambda c: c.call(c.admin.DisableKey, request)))
    show.out.print(f"{key_id} opens nothing any more.")


@app.command("test", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def suite(
    context: typer.Context,
    faults: Annotated[int, typer.Option(help="Only the fault tests, with this many seeds.")] = 0,
) -> None:
    """Run the whole test suite on the real engines; more arguments go to pytest."""
    from services.cli.run_tests import run_suite

    raise typer.Exit(run_suite(context.args, faults))


@app.command()
def bench(
    names: Annotated[
        list[str], typer.Argument(help="append, ingest, pipeline, rebuild, identity.")
    ],
) -> None:
    """Run benchmarks; print one JSON object each."""
    for name in names:
        if not (ROOT / "bench" / f"{name}.py").exists():
            show.fail(f"there is no benchmark {name!r}")
        code = subprocess.call([sys.executable, "-m", f"bench.{name}"], cwd=ROOT)
        if code:
            raise typer.Exit(code)


if __name__ == "__main__":
    app(prog_name="onefold")
