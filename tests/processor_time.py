"""Measures the processor time of each file of tests, with that of the processes that it starts.

With `--durations=N` the N files that take most are listed at the end of a run.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Generator
from pathlib import Path

import pytest

#: The property of the last test of a file: the seconds of that file.
_PROPERTY = "processor_s"
_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


def processor_time(pid: int) -> float:
    """Return the processor time of a process and of all its descendants, also ended ones; seconds.

    0 where the process has ended meanwhile, or where the system has no /proc.
    """
    try:
        # The name of the program, in parentheses, may have blanks.
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        children = [
            int(child)
            for file in Path(f"/proc/{pid}/task").glob("*/children")
            for child in file.read_text(encoding="utf-8").split()
        ]
    except OSError:
        return 0.0
    return sum(map(int, stat[11:15])) / _TICKS_A_SECOND + sum(map(processor_time, children))


class ProcessorTimes:
    """A plugin of pytest, in each process of tests and in the one that reports."""

    def __init__(self) -> None:
        self._before = processor_time(os.getpid())
        self._files: Counter[str] = Counter()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_teardown(
        self, item: pytest.Item, nextitem: pytest.Item | None
    ) -> Generator[None, object, object]:
        """Note the time of a file with the report of its last test."""
        result = yield
        if nextitem is None or nextitem.path != item.path:
            now = processor_time(os.getpid())
            item.user_properties.append((_PROPERTY, round(now - self._before, 2)))
            self._before = now
        return result

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Collect the times of files."""
        if report.when == "teardown":
            for name, value in report.user_properties:
                if name == _PROPERTY:
                    self._files[report.nodeid.partition("::")[0]] += value  # type: ignore[assignment]  # of floats

    def pytest_terminal_summary(
        self, terminalreporter: pytest.TerminalReporter, config: pytest.Config
    ) -> None:
        """List the files that take most, where the slowest tests are listed."""
        if config.getoption("durations") is None:
            return
        total = sum(self._files.values())
        terminalreporter.section(f"processor time of the files of tests: {total:.0f} s")
        for file, seconds in self._files.most_common(config.getoption("durations") or None):
            terminalreporter.write_line(f"{seconds:7.1f}s {file}")


def pytest_configure(config: pytest.Config) -> None:
    """Register the plugin."""
    config.pluginmanager.register(ProcessorTimes(), "processor_times")
