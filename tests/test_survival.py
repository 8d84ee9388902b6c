"""Runs whose surroundings break: what they keep, what they say, and how they end."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import torch
from launching import END_SECONDS, LONG, assert_all_gone, launched, read_until, read_until_all_play, wait_until
from test_run_folder import fill, small_disk

__all__ = ["small_disk"]  # a fixture


def test_without_a_reader_and_on_a_full_disk_a_run_goes_on_and_leaves_its_network(small_disk: Path) -> None:
    """As `launch.py | head -2` on a disk that fills up, and then the terminal is closed."""
    run = small_disk / "run"
    options = ("--hidden", "32", "--run-dir", str(run), "--tensorboard")
    with launched(run, *LONG, *options) as process:
        assert process.stdout is not None
        read_until(process, "run folder")
        process.stdout.close()
        wait_until((run / "config.json").exists, "the folder is in use")
        fill(small_disk)
        wait_until((run / "q_network.pth").exists, "a network is saved in spite of it")
        family = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGHUP)
        process.wait(timeout=END_SECONDS)
    assert_all_gone(family)
    summary = json.loads((run / "summary.json").read_text())
    assert summary["stopped_by"] == "terminated"
    assert summary["saved_learner_steps"] > 0
    assert process.returncode == (1 if summary["missing_files"] else 143)  # as far as the last rows found room
    state = torch.load(run / "q_network.pth", weights_only=True)
    assert [tuple(tensor.shape) for tensor in state.values()] == [(32, 4), (32,), (2, 32), (2,)]


def test_a_run_folder_that_is_deleted_comes_back_with_the_network(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with launched(run, *LONG) as process:
        read_until(process, "env steps")
        wait_until((run / "metrics.parquet").exists, "a table")
        for path in sorted(run.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        run.rmdir()
        process.send_signal(signal.SIGTERM)
        output = process.communicate(timeout=END_SECONDS)[0]
    assert process.returncode == 1, output
    assert {"config.json", "summary.json", "q_network.pth", "last_q_network.pth"} <= {
        path.name for path in run.iterdir()
    }
    assert "Traceback" not in output
    assert output.count("error: not written, or not whole") == 1
    assert pq.read_table(run / "metrics.parquet").num_rows > 0


def test_roles_that_do_not_answer_in_the_end_do_not_cost_the_network(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with launched(run, *LONG) as process:
        read_until_all_play(process)
        wait_until((run / "q_network.pth").exists, "the driver has a network")
        family = psutil.Process(process.pid).children(recursive=True)
        for child in family:
            if child.name() in ("ray::learner", "ray::evaluator"):
                child.suspend()
        process.send_signal(signal.SIGTERM)
        output = process.communicate(timeout=END_SECONDS)[0]
        assert process.returncode == 143, output
    assert_all_gone(family)
    summary = json.loads((run / "summary.json").read_text())
    assert summary["saved_learner_steps"] > 0
    assert f"learner step {summary['saved_learner_steps']:,}" in output.partition("files: ")[2].splitlines()[0]
    assert len(torch.load(run / "q_network.pth", weights_only=True)) == 4


def test_no_setting_of_matplotlib_decides_how_a_run_ends(tmp_path: Path) -> None:
    """A notebook's backend, which is passed over, and a file that cannot be read, of which a line tells."""
    (tmp_path / "matplotlibrc").write_bytes(b"\xff\xfe")
    environment = {"MPLBACKEND": "module://matplotlib_inline.backend_inline", "MATPLOTLIBRC": str(tmp_path)}
    options = ("--actors", "2", "--hidden", "16", "--max-env-steps", "3000")
    with launched(tmp_path / "run", *options, environment=environment) as process:
        output = process.communicate(timeout=END_SECONDS)[0]
    assert process.returncode == 0, output
    assert "Traceback" not in output
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["stopped_by"] == "max_env_steps"
    assert output.count("the picture could not be drawn (UnicodeDecodeError: ") == 1
