"""What is kept of what a process prints and warns of."""

from __future__ import annotations

import io
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout

from common.hearing import Hearing, listening


@contextmanager
def written() -> Iterator[io.StringIO]:
    """Both streams together."""
    streams = io.StringIO()
    with redirect_stdout(streams), redirect_stderr(streams):
        yield streams


def test_lines_are_kept_once_and_pass_on() -> None:
    hearing = Hearing()
    with written() as streams, listening(hearing):
        for _ in range(3):
            print("a", "line", end="")
            print()
        print("\x1b[33mWARN: coloured\x1b[0m\n\n", file=sys.stderr)
        print("no end", end="")
    assert hearing.lines == ("a line", "WARN: coloured")
    assert streams.getvalue().startswith("a line\na line\na line\n\x1b[33mWARN: coloured")


def test_a_warning_is_one_line_with_its_place_and_kept_though_much_is_printed() -> None:
    hearing = Hearing()
    with written() as streams, listening(hearing):
        for number in range(100):
            print(number)
        # What Python does with a warning; pytest keeps them for itself.
        print(warnings.formatwarning(UserWarning("of two\nlines"), UserWarning, __file__, 7), end="", file=sys.stderr)
    *printed, warning = hearing.lines
    assert printed == ["0", "1", "2", "3", "4"]
    assert warning.startswith("UserWarning: of two lines (")
    assert "test_hearing.py:7)" in warning
    assert "\0" not in streams.getvalue()


def test_threads_may_print_together() -> None:
    hearing = Hearing()
    together = threading.Barrier(4)

    def print_many() -> None:
        together.wait(timeout=20)
        for _ in range(1000):
            hearing.take("the same")

    threads = [threading.Thread(target=print_many) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)
    assert hearing.lines == ("the same",)
