"""`./onefold demo`, `test` and `bench`: try, test and measure the system."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

from services.chassis.runtime import logs
from services.chassis.runtime.cpu import usable_processors
from services.cli import output
from services.cli.commands.console import login_link
from services.cli.commands.system import start_system
from services.cli.context import run_with_client
from services.cli.endpoints import default_data_dir, settings_from
from services.devstack.folders import ROOT
from services.devstack.ports import FIRST_PORT_VARIABLE, resolve_ports

FAULT_SEEDS = "ONEFOLD_FAULT_SEEDS"
FAULT_MINUTES = "ONEFOLD_FAULT_MINUTES"
HYPOTHESIS_PROFILE = "ONEFOLD_HYPOTHESIS_PROFILE"
#: The most processes of tests: each has servers of its own.
_MOST_PROCESSES = 4
#: In the order of the files: the slow ones come first, and unit tests fill up the end.
_BY_FILE = ("--dist", "loadfile", "--no-loadscope-reorder")
#: They live through as many seeds as are requested.
_FAULT_TESTS = (
    *("tests/faults", "tests/fleet"),
    "tests/integration/activation/test_journey_seeds.py",
    "tests/integration/whole/test_erasure.py",
)
#: A test that fails once is a failure: no plugin may run it again.
_NO_RERUNS = ("-p", "no:rerunfailures", "-p", "no:flaky")


class DemoPack(StrEnum):
    """The packs with a demo."""

    EDUCATION = "education"
    RETAIL = "retail"
    SAAS = "saas"


def demo(
    pack: Annotated[DemoPack, Argument(help="The pack to run.")] = DemoPack.EDUCATION,
    data: Annotated[Path | None, Option("--data", help="Keep the data in this folder.")] = None,
    visitors: Annotated[int, Option(help="Visitors or customers.", min=50)] = 3_000,
    keep: Annotated[
        bool, Option("--keep", help="Leave the system running, and print a link to its console.")
    ] = False,
) -> None:
    """Run one month of an online school through the whole system, and check every figure.

    `retail` and `saas` run customers of a shop, or users of a product, whose segments and stages
    are known beforehand. With `--keep` little time passes after the month, so that its people are
    in their segments and journeys; the data is in the folder `data-demo` unless `--data` names
    another one.
    """
    if keep:
        _keep_demo(
            data or default_data_dir().with_name(f"{default_data_dir().name}-demo"), pack, visitors
        )
        return
    with _folder(data) as folder:
        failures = output.run(_demo(folder, pack, visitors))
    raise typer.Exit(1 if failures else 0)


def _keep_demo(folder: Path, pack: DemoPack, visitors: int) -> None:
    """Run the demo unless its data are there, leave the system running, and print a link to it."""
    if (folder / "admin.key").exists():
        output.out.print(f"The data of a demo are in {folder} already.", soft_wrap=True)
    elif output.run(_demo(folder, pack, visitors, keep=True)):
        raise typer.Exit(1)
    with output.exit_on_error():
        start_system(folder, {})
        link = run_with_client(folder, login_link)
    end = f"./onefold down --data {shlex.quote(str(folder))}"
    output.out.print(f"Look at its people: {link}", soft_wrap=True)
    output.out.print(f"The link works once; `{end}` ends the system.", soft_wrap=True)


def suite(
    context: typer.Context,
    faults: Annotated[
        int, Option(help="Run only the fault and fleet tests, with this many seeds.", min=0)
    ] = 0,
    minutes: Annotated[
        int, Option(help="With --faults: let faults go on for so long in one more test.", min=0)
    ] = 0,
    deep: Annotated[
        bool, Option("--deep", help="Run property tests with many more examples.")
    ] = False,
) -> None:
    """Run the whole test suite on real servers; further arguments are those of pytest.

    It fails if any test fails, as no test is retried.
    """
    code = run_tests(context.args, fault_seeds=faults, fault_minutes=minutes, deep=deep)
    raise typer.Exit(code)


def run_tests(
    arguments: Sequence[str], *, fault_seeds: int = 0, fault_minutes: int = 0, deep: bool = False
) -> int:
    """Run pytest over tests/, and return its exit code: 0 only where every test passed.

    `fault_seeds`: run only the tests of faults and of a fleet, with this many seeds, and with
    faults that go on for `fault_minutes`. `deep`: run property tests with many more examples. The
    whole suite runs in parallel; tests named in `arguments` run in one process.
    """
    environ = dict(os.environ)
    # Each of some hundred processes would compile all modules.
    environ.pop("PYTHONDONTWRITEBYTECODE", None)
    if deep:
        environ[HYPOTHESIS_PROFILE] = "deep"
    options = [*_NO_RERUNS, *arguments]
    if fault_seeds:
        environ |= {FAULT_SEEDS: str(fault_seeds), FAULT_MINUTES: str(fault_minutes)}
        options = [*_FAULT_TESTS, "--timeout", "7200", *options]
    elif not any((ROOT / argument.partition("::")[0]).exists() for argument in arguments):
        # One more than processors: about a third of the time of a slow test is waiting.
        processes = min(usable_processors() + 1, _MOST_PROCESSES)
        options = ["-n", str(processes), *_BY_FILE, *options]
    return subprocess.call([sys.executable, "-m", "pytest", *options], cwd=ROOT, env=environ)


def bench(
    names: Annotated[
        list[str],
        Argument(
            metavar="NAME",
            help="append, ingest, pipeline, rebuild, fairness, floods, segments, journeys, "
            "decisions, identity, console, startup.",
        ),
    ],
) -> None:
    """Run benchmarks; each prints one JSON object."""
    for name in names:
        if not (ROOT / "bench" / f"{name}.py").exists():
            output.fail(f"there is no benchmark {name!r}: bench/README.md lists them")
        code = subprocess.call([sys.executable, "-m", f"bench.{name}"], cwd=ROOT)
        if code:
            raise typer.Exit(code)


async def _demo(folder: Path, pack: DemoPack, visitors: int, *, keep: bool = False) -> list[str]:
    # Imported here, as it needs packages and time that other commands do not.
    from services.cli.demo.mailbox import Mailbox
    from services.cli.demo.planted import CHECKS_DAYS
    from services.cli.demo.planted_run import PlantedDemo, print_planted
    from services.cli.demo.receiver import WebhookReceiver
    from services.cli.demo.report import print_report
    from services.cli.demo.scenario import CHECKS_US, Demo
    from services.cli.supervisor import process_settings
    from services.devstack.stack import Stack

    logs.configure("demo", "error")
    first_port = os.environ.get(FIRST_PORT_VARIABLE) if keep else "0"
    settings, ports = resolve_ports(settings_from(os.environ), first_port)
    settings = dict(settings) | {"ONEFOLD_CLOCK_ADVANCE": "allowed", "ONEFOLD_TICK_INTERVAL_S": "1"}
    async with WebhookReceiver() as receiver, Mailbox() as mailbox:
        # They are allowed, and nothing else on this machine is.
        allowed = f"{receiver.target},{mailbox.target}"
        settings |= {"ONEFOLD_ACTIVATION_PRIVATE_TARGETS": allowed}
        if keep:
            # As in the system that is left running: it could not listen on the ports of one process
            # until the connections of the demo have timed out.
            settings |= process_settings()
        stack = Stack(
            folder, settings=settings, default_ports=ports, progress=_print_step, console=keep
        )
        async with stack:
            if pack is DemoPack.EDUCATION:
                checks_us = CHECKS_US[:1] if keep else CHECKS_US
                demo = Demo(stack, receiver, mailbox, visitors=visitors, checks_us=checks_us)
                report = await demo.run()
                print_report(report)
                return report.failures
            checks_days = CHECKS_DAYS[:1] if keep else CHECKS_DAYS
            planted = await PlantedDemo(
                stack, pack.value, customers=visitors, checks_days=checks_days
            ).run()
            print_planted(planted)
            return planted.failures


def _print_step(name: str, done: bool) -> None:
    if done:
        output.err.print(f"  {name} is ready")


@contextmanager
def _folder(data: Path | None) -> Iterator[Path]:
    if data is not None:
        yield data
        return
    folder = Path(tempfile.mkdtemp(prefix="onefold-demo-"))
    failed = False
    try:
        yield folder
    except SystemExit as ended:
        failed = ended.code == 1  # its error may name a log in the folder
        raise
    finally:
        if not failed:
            shutil.rmtree(folder, ignore_errors=True)
