"""The plugin that measures the processor time of files counts the processes that they start."""

from __future__ import annotations

import os
import subprocess
import sys

from processor_time import processor_time

BUSY = "import time\nwhile time.process_time() < 0.3: pass"


def test_processor_time_of_a_process_has_that_of_its_ended_children() -> None:
    before = processor_time(os.getpid())
    subprocess.run([sys.executable, "-I", "-S", "-c", BUSY], check=True)
    assert processor_time(os.getpid()) - before >= 0.25


def test_processor_time_of_no_process_is_zero() -> None:
    assert processor_time(2**22 + 1) == 0
