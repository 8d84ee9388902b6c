"""Where folders with sockets go."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from common.config import BadInput
from driver.short_folder import Place, place_for_sockets

BELOW = "ray/session/sockets/raylet"


def test_the_folder_that_is_named_is_taken_and_made(tmp_path: Path) -> None:
    short = Path(f"/tmp/{tmp_path.name[:20]}-{os.getpid()}")
    assert place_for_sockets(BELOW, {"TMPDIR": str(short)}) == Place(str(short), None)
    assert short.is_dir()
    short.rmdir()


def test_ray_tmpdir_wins_over_tmpdir_and_an_empty_one_counts_as_none() -> None:
    assert place_for_sockets(BELOW, {"RAY_TMPDIR": "/tmp", "TMPDIR": "/proc/nowhere"}) == Place("/tmp", None)
    assert place_for_sockets(BELOW, {"RAY_TMPDIR": "", "TMPDIR": ""}) == Place("/tmp", None)
    assert place_for_sockets(BELOW, {}) == Place("/tmp", None)


def test_a_relative_folder_is_meant_from_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/tmp")
    assert place_for_sockets(BELOW, {"TMPDIR": "."}) == Place("/tmp", None)


@pytest.mark.parametrize(
    ("named", "fault"),
    [
        ("/tmp/" + "x" * 100, "cannot hold Ray's sockets, whose paths may have 107 bytes"),
        ("/tmp/" + "ü" * 40, "cannot hold Ray's sockets, whose paths may have 107 bytes"),  # of two bytes each
        ("/tmp/ü", "cannot hold Ray's files, whose paths must be ASCII"),
        ("/proc/nowhere", "cannot be made (No such file or directory)"),
        ("/proc/version", "cannot be made (File exists)"),
    ],
)
def test_one_that_will_not_do_is_named_and_a_short_one_taken(named: str, fault: str) -> None:
    assert place_for_sockets(BELOW, {"TMPDIR": named}) == Place("/tmp", f"TMPDIR {named} {fault}")
    assert not Path(named).is_dir()


def test_where_no_folder_will_do_the_variable_and_the_limit_are_told() -> None:
    with pytest.raises(BadInput, match="at most 3 bytes in RAY_TMPDIR"):
        place_for_sockets("x" * 103, {"RAY_TMPDIR": "/tmp/" + "y" * 40})
