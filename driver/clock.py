"""Time since the process started, imports included."""

from __future__ import annotations

import os
import sys
import time

from common.process import start_seconds


def process_age_seconds() -> float:
    """Exact to a clock tick on Linux; elsewhere as exact as psutil is."""
    started = start_seconds(os.getpid())
    assert started is not None
    return (time.clock_gettime(time.CLOCK_BOOTTIME) if sys.platform == "linux" else time.time()) - started
