"""Standard streams that go away, each in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from launching import ROOT

_PROGRAM = """
import sys
sys.path.insert(0, {root!r})
from driver.output import finish_output, guard_output, open_closed_streams
open_closed_streams()
guard_output()
{wait}
for _ in range(3):
    print("a line", flush=True)
open({proof!r}, "w").write("went on")
finish_output()
"""
_UNTIL_NOBODY_READS = "import select; pipe = select.poll(); pipe.register(1, 0); pipe.poll(20_000)"


def run(shell: str, proof: Path, wait: str = "") -> subprocess.CompletedProcess[str]:
    """The program in this shell line, as `$P`."""
    program = _PROGRAM.format(root=str(ROOT), proof=str(proof), wait=wait)
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", shell],
        env={"P": program, "PYTHON": sys.executable},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.mark.parametrize(
    ("shell", "wait", "why"),
    [
        ('"$PYTHON" -c "$P" > /dev/full', "", "No space left on device"),
        ('"$PYTHON" -c "$P" | true', _UNTIL_NOBODY_READS, "Broken pipe"),
    ],
)
def test_a_stream_that_fails_is_told_of_once_and_nothing_ends(tmp_path: Path, shell: str, wait: str, why: str) -> None:
    done = run(shell, tmp_path / "proof", wait)
    assert done.stderr == f"stdout cannot be written any more ({why}); the run goes on\n"
    assert done.returncode == 0
    assert (tmp_path / "proof").read_text() == "went on"


def test_both_streams_may_fail(tmp_path: Path) -> None:
    done = run('"$PYTHON" -c "$P" > /dev/full 2>&1', tmp_path / "proof")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (tmp_path / "proof").read_text() == "went on"


def test_streams_may_be_closed_from_the_beginning_and_are_open_in_what_is_started(tmp_path: Path) -> None:
    """What is opened first must not take their place: the proof would have the output in it."""
    child = '[sys.executable, "-c", "import os; [os.fstat(number) for number in (0, 1, 2)]"]'
    done = run(
        '"$PYTHON" -c "$P" <&- >&- 2>&-', tmp_path / "proof", wait=f"import subprocess; subprocess.check_call({child})"
    )
    assert done.returncode == 0
    assert (tmp_path / "proof").read_text() == "went on"


def test_what_the_encoding_lacks_becomes_a_question_mark() -> None:
    program = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); from driver.output import finish_output, guard_output; "
        r"guard_output(); print('2 \u00d7 3'); finish_output()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "2 ? 3\n")


def test_a_command_that_is_asked_something_ends_where_nobody_can_hear_it(tmp_path: Path) -> None:
    done = run(f'"$PYTHON" {ROOT}/launch.py --help > /dev/full', tmp_path / "proof")
    assert done.stderr == "error: the output cannot be written (No space left on device)\n"
    assert done.returncode == 1


def test_a_reader_that_takes_nothing_holds_up_nobody(tmp_path: Path) -> None:
    """As a terminal does that was stopped with Ctrl-S: a pipe that nobody reads is full after 64 KiB."""
    program = _PROGRAM.format(root=str(ROOT), proof=str(tmp_path / "proof"), wait="print('much' * 100_000)")
    reader, writer = os.pipe()
    try:
        done = subprocess.run(
            [sys.executable, "-c", program],
            stdout=writer,
            timeout=60,
            check=False,
        )
    finally:
        os.close(reader)
        os.close(writer)
    assert done.returncode == 0
    assert (tmp_path / "proof").read_text() == "went on"
