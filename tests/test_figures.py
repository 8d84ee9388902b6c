"""Pictures on machines whose matplotlib is set up in odd ways."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from launching import ROOT
from run_folders import write_run

from analysis.figures import new_figure, save, try_to_draw
from analysis.plot import draw_learning_curve

PLOT = """
import sys
from pathlib import Path
from analysis.figures import try_to_draw
from analysis.plot import draw_learning_curve

run = Path(sys.argv[1])
print(try_to_draw(lambda: draw_learning_curve(run, run / "curve.png")))
assert "matplotlib.pyplot" not in sys.modules
"""


def drawn_elsewhere(run: Path, **environment: str) -> str:
    """In a process of its own, because a settled matplotlib stays as it is: what it says."""
    process = subprocess.run(
        [sys.executable, "-c", PLOT, str(run)],
        capture_output=True, text=True, timeout=60, check=True, cwd=ROOT, env={**os.environ, **environment},
    )  # fmt: skip
    assert process.stderr == ""
    return process.stdout.strip()


@pytest.mark.parametrize("backend", ["module://matplotlib_inline.backend_inline", "nonsense", "TkAgg"])
def test_a_picture_is_drawn_whatever_backend_the_environment_names(tmp_path: Path, backend: str) -> None:
    run = write_run(tmp_path / "run", [9.0, 10.0])
    assert drawn_elsewhere(run, MPLBACKEND=backend) == "None"
    assert (run / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_a_picture_is_drawn_whatever_backend_a_matplotlibrc_names_and_without_a_folder_for_settings(
    tmp_path: Path,
) -> None:
    run = write_run(tmp_path / "run", [9.0, 10.0])
    (tmp_path / "matplotlibrc").write_text("backend: nonsense\n")
    assert drawn_elsewhere(run, MATPLOTLIBRC=str(tmp_path), MPLCONFIGDIR="/proc/nowhere") == "None"
    assert (run / "curve.png").exists()


def test_a_matplotlibrc_that_cannot_be_read_costs_the_picture_and_one_line(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", [9.0, 10.0])
    (tmp_path / "matplotlibrc").write_bytes(b"\xff\xfe")
    assert drawn_elsewhere(run, MATPLOTLIBRC=str(tmp_path)).startswith("UnicodeDecodeError: ")
    assert not (run / "curve.png").exists()


@pytest.mark.parametrize("path", ["gone/curve.png", "curve.unknown", "folder"])
def test_a_picture_that_cannot_be_drawn_is_a_reason_in_one_line(tmp_path: Path, path: str) -> None:
    (tmp_path / "folder").mkdir()
    reason = try_to_draw(lambda: save(new_figure(2, 2), tmp_path / path))
    assert reason
    assert len(reason.splitlines()) == 1
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["folder"]


def test_a_run_folder_that_is_gone_is_a_reason_too(tmp_path: Path) -> None:
    reason = try_to_draw(lambda: draw_learning_curve(tmp_path / "gone", tmp_path / "curve.png"))
    assert reason is not None
    assert "gone: no run folder" in reason


def test_an_older_picture_stays_where_a_new_one_cannot_be_drawn(tmp_path: Path) -> None:
    path = tmp_path / "curve.png"
    save(new_figure(2, 2), path)
    before = path.read_bytes()
    figure = new_figure(2, 2)
    figure.text(0.5, 0.5, "$\\no_such_command$")
    assert try_to_draw(lambda: save(figure, path)) is not None
    assert path.read_bytes() == before


def test_a_link_to_a_picture_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "newest.png").symlink_to(tmp_path / "curve.png")
    assert save(new_figure(2, 2), tmp_path / "newest.png") == tmp_path / "newest.png"
    assert (tmp_path / "newest.png").is_symlink()
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
