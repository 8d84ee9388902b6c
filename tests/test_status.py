"""`launch.py status` on run folders of every state, and following one to its end."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from fakes import environment_spec
from moments import progress
from rich.console import Console

from analysis.status import newest_run, show_status
from common.config import BadInput, Config
from common.run_files import CONFIG, METRICS, SUMMARY
from driver.reporting.display import Display
from driver.reporting.progress import Progress
from driver.reporting.run_folder import RunFolder

NOW = 2_000_000_000.0
SUMMARY_VALUES = {
    "solved": False,
    "seconds_to_solve": None,
    "solved_env_steps": None,
    "solved_learner_steps": None,
    "seconds_total": 20.5,
    "env_steps": 30_000,
    "learner_steps": 7_000,
    "episodes": 412,
    "evaluation_return": None,
    "confirmation_return": None,
    "confirmation_interval": None,
    "last_evaluation_return": 321.0,
    "samples_per_insert": 31.9,
    "policy_lag_mean": 81.4,
    "policy_lag_max": 1200,
    "actor_restarts": 2,
    "stopped_by": "max_env_steps",
    "error": None,
}
SOLVED_VALUES = {
    "solved": True,
    "seconds_to_solve": 7.9,
    "solved_env_steps": 17_109,
    "solved_learner_steps": 3_600,
    "evaluation_return": 499.0,
    "confirmation_return": 498.5,
    "confirmation_interval": [497.0, 500.0],
    "stopped_by": "solved",
}
BEST_VALUES = {
    "saved_as": "best",
    "saved_learner_steps": 300,
    "evaluation_return": 195.0,
    "confirmation_return": 181.0,
    "confirmation_interval": [171.0, 191.0],
}
NO_SECOND_LOOK = {"confirmation_return": None, "confirmation_interval": None}
A_MOMENT = progress(
    seconds=8.0, env_steps=17_000, learner_steps=3_800, env_steps_per_second=4632.0, recent_return=54.9, actors_alive=8
)


def running(path: Path, *moments: Progress, **process: Any) -> RunFolder:
    """The folder of a run of this process, or as `process` has it; 12 s ago it wrote the moments."""
    path.mkdir(parents=True)
    folder = RunFolder(path)
    folder.write_config(Config(), environment_spec("CartPole-v1"), 475.0)
    if process:
        config = json.loads((path / CONFIG).read_text())
        (path / CONFIG).write_text(json.dumps({**config, "process": {**config["process"], **process}}))
    for moment in moments:
        folder.add_progress(moment)
    if moments:
        folder.flush()
        (part,) = (path / METRICS).iterdir()
        os.utime(part, (NOW - 12, NOW - 12))
    return folder


def status(*runs: Path, follow: bool = False, wait: Callable[[float], None] | None = None, width: int = 0) -> str:
    """What it prints, into a pipe or with a `width` on a terminal."""
    output = io.StringIO()
    console = Console(file=output, force_terminal=width > 0, width=width or None, soft_wrap=True, color_system=None)
    show_status(runs, follow, console, wait or no_waiting, lambda: NOW)
    return output.getvalue()


def no_waiting(seconds: float) -> None:
    raise AssertionError("it would wait for ever")


def test_a_running_run_shows_its_figures_and_how_old_they_are(tmp_path: Path) -> None:
    running(tmp_path / "run", progress(), A_MOMENT)
    head, figures = status(tmp_path / "run").splitlines()
    assert head == (
        f"{tmp_path / 'run'}: CartPole-v1, running as process {os.getpid()}; "
        "figures of 12 s ago, new ones come every 5 s"
    )
    assert figures.startswith("  8.0 s | 17,000 env steps (4,632/s) | 3,800 learner steps")
    assert "return 54.9" in figures


def test_on_a_terminal_a_running_run_looks_like_the_live_display(tmp_path: Path) -> None:
    running(tmp_path / "run", A_MOMENT)
    picture = status(tmp_path / "run", width=100).split("\n", 1)[1]
    output = io.StringIO()
    with Display(Config(), 475.0, Console(file=output, force_terminal=True, width=100, color_system=None)) as live:
        live.show(A_MOMENT)
    assert "8 of 8 actors" in picture
    assert "none yet / 475" in picture
    for row in picture.splitlines():
        assert row in output.getvalue()


def test_an_environment_whose_name_looks_like_markup_is_shown_as_it_is(tmp_path: Path) -> None:
    running(tmp_path / "run", A_MOMENT)
    config = json.loads((tmp_path / "run" / CONFIG).read_text())
    config["settings"]["env"] = "odd[/red]:Env-v0"
    (tmp_path / "run" / CONFIG).write_text(json.dumps(config))
    assert "odd[/red]:Env-v0, 8 of 8 actors" in status(tmp_path / "run", width=120)


def test_what_a_terminal_would_act_on_or_cannot_show_is_replaced(tmp_path: Path) -> None:
    values = {"stopped_by": "error", "error": "actor-0: \x1b[31mred\x07 \ud800"}
    running(tmp_path / "run", A_MOMENT).write_summary({**SUMMARY_VALUES, **values})
    assert "error: actor-0: ?[31mred? ?\n" in status(tmp_path / "run")


def test_a_part_whose_file_is_gone_is_passed_over(tmp_path: Path) -> None:
    """As a link to nowhere, or one that goes between two looks."""
    running(tmp_path / "run", A_MOMENT)
    (tmp_path / "run" / METRICS / "part-00001.parquet").symlink_to(tmp_path / "nowhere")
    assert "17,000 env steps" in status(tmp_path / "run")


@pytest.mark.parametrize(("unended", "expected"), [(87, "321.0, 87 of its episodes did not end\n"), (0, "321.0\n")])
def test_episodes_of_the_last_look_that_did_not_end_are_told(tmp_path: Path, unended: int, expected: str) -> None:
    running(tmp_path / "run", A_MOMENT).write_summary({**SUMMARY_VALUES, "evaluation_unended": unended})
    assert f"last evaluation {expected}" in status(tmp_path / "run")


def test_a_run_whose_process_is_gone_was_killed(tmp_path: Path) -> None:
    running(tmp_path / "run", A_MOMENT, started=1.0)
    assert "killed: no summary was written; figures of 12 s ago\n" in status(tmp_path / "run")


def test_of_a_run_on_another_host_is_said_when_it_was_last_heard_of(tmp_path: Path) -> None:
    running(tmp_path / "run", A_MOMENT, host="node-7")
    assert "not finished, on host node-7, last heard of 12 s ago\n" in status(tmp_path / "run")


def test_a_run_that_has_measured_nothing_yet_says_so(tmp_path: Path) -> None:
    running(tmp_path / "run")
    assert status(tmp_path / "run").endswith("no figures yet, new ones come every 5 s\n")


def test_an_older_run_that_does_not_name_its_process_is_only_not_finished(tmp_path: Path) -> None:
    running(tmp_path / "run", A_MOMENT)
    config = json.loads((tmp_path / "run" / CONFIG).read_text())
    del config["process"]
    (tmp_path / "run" / CONFIG).write_text(json.dumps(config))
    assert "CartPole-v1, not finished; figures of 12 s ago\n" in status(tmp_path / "run")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, "ended: max_env_steps"),
        ({}, "  not solved, which begins at 475; last evaluation 321.0\n"),
        ({"last_evaluation_return": None}, "no evaluation was finished\n"),
        ({}, "  30,000 environment steps, 7,000 learner steps and 412 episodes in 20.5 s\n"),
        ({}, "  samples per insert 31.9, 32 wanted; policy lag 81 learner steps, at most 1,200; 2 actors replaced\n"),
        ({"samples_per_insert": None, "policy_lag_mean": None}, "  2 actors replaced\n"),
        (BEST_VALUES, "  saved: the best network seen, of learner step 300, 181.0 [171.0, 191.0] on fresh episodes\n"),
        (BEST_VALUES | NO_SECOND_LOOK, "  saved: the best network seen, of learner step 300, 195.0 in its only look\n"),
        ({"saved_as": "newest"}, "last evaluation 321.0\n  30,000 environment steps"),
        (SOLVED_VALUES, "  solved in 7.9 s, after 3,600 learner steps and 17,109 environment steps\n"),
        (SOLVED_VALUES, "  evaluation 499.0, confirmed with 498.5 [497.0, 500.0]\n"),
        (
            {**SOLVED_VALUES, "saved_as": "confirmed", "saved_learner_steps": 3_600},
            "\n  evaluation 499.0, confirmed with 498.5 [497.0, 500.0]\n",
        ),
        (
            {**SOLVED_VALUES, "saved_as": "confirmed", "saved_learner_steps": 9_000},
            "  saved: the best confirmed, of learner step 9,000; "
            "evaluation 499.0, confirmed with 498.5 [497.0, 500.0]\n",
        ),
        ({"stopped_by": "error", "error": "learner: it broke\nTraceback"}, "  error: learner: it broke\n"),
    ],
)
def test_a_finished_run_tells_how_it_ended(tmp_path: Path, values: dict[str, Any], expected: str) -> None:
    running(tmp_path / "run", A_MOMENT).write_summary({**SUMMARY_VALUES, **values})
    shown = status(tmp_path / "run")
    assert expected in shown
    assert "Traceback" not in shown
    assert "running" not in shown


def test_only_the_newest_part_is_read(tmp_path: Path) -> None:
    """Of a run of a day there are thousands."""
    folder = running(tmp_path / "run", progress(env_steps=1))
    folder.add_progress(A_MOMENT)
    folder.flush()
    (tmp_path / "run" / METRICS / "part-00000.parquet").write_bytes(b"not what it was")
    assert "17,000 env steps" in status(tmp_path / "run")


def test_figures_of_another_version_are_refused_by_the_missing_column(tmp_path: Path) -> None:
    running(tmp_path / "run", A_MOMENT)
    part = tmp_path / "run" / METRICS / "part-00000.parquet"
    pq.write_table(pq.read_table(part).drop_columns(["epsilon"]), part)
    with pytest.raises(BadInput, match=r"run: its metrics.parquet/part-00000.parquet has no column 'epsilon'"):
        status(tmp_path / "run")


def test_a_damaged_config_is_named(tmp_path: Path) -> None:
    running(tmp_path / "run", pid="none")
    with pytest.raises(BadInput, match=r'run: its config.json is damaged \(process.pid is "none", no int\)'):
        status(tmp_path / "run")


def test_without_a_name_the_run_that_began_last_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for number, name in enumerate(["20260101-a", "20260103-compare/2x64-0", "20260102-b"]):
        running(Path("runs") / name)
        age = [300, 100, 200][number]
        os.utime(Path("runs") / name / CONFIG, (NOW - age, NOW - age))
    (Path("runs") / "20260104-still-starting").mkdir()
    assert newest_run(Path("runs")) == Path("runs/20260103-compare/2x64-0")
    assert status().startswith("runs/20260103-compare/2x64-0: CartPole-v1, running")


def test_following_into_a_pipe_prints_each_new_moment_once_and_the_end(tmp_path: Path) -> None:
    run = tmp_path / "run"
    folder = running(run, progress(seconds=1.0))

    def nothing_new() -> None:
        pass

    def a_new_moment() -> None:
        folder.add_progress(A_MOMENT)
        folder.flush()

    def the_end() -> None:
        folder.write_summary(SUMMARY_VALUES)

    happens = iter([nothing_new, a_new_moment, nothing_new, the_end])
    lines = status(run, follow=True, wait=lambda seconds: next(happens)()).splitlines()
    assert "running as process" in lines[0]
    assert lines[1].startswith("  1.0 s | 0 env steps")
    assert lines[2].startswith(f"{run}: 8.0 s | 17,000 env steps")
    assert lines[3] == f"{run}: CartPole-v1, ended: max_env_steps"
    assert lines[4].startswith("  not solved")
    assert list(happens) == []


def test_following_ends_where_the_process_is_killed(tmp_path: Path) -> None:
    run = tmp_path / "run"
    running(run, A_MOMENT)

    def killed() -> None:
        config = json.loads((run / CONFIG).read_text())
        (run / CONFIG).write_text(json.dumps({**config, "process": {**config["process"], "started": 1.0}}))

    happens = iter([killed])
    shown = status(run, follow=True, wait=lambda seconds: next(happens)())
    assert "killed: no summary was written" in shown.splitlines()[2]


def test_following_on_a_terminal_leaves_the_end_on_it(tmp_path: Path) -> None:
    run = tmp_path / "run"
    folder = running(run, A_MOMENT)
    other = running(tmp_path / "other", A_MOMENT)
    other.write_summary({**SUMMARY_VALUES, **SOLVED_VALUES})
    shown = status(
        run, tmp_path / "other", follow=True, wait=lambda seconds: folder.write_summary(SUMMARY_VALUES), width=120
    )
    assert "running as process" in shown
    assert shown.rfind("ended: max_env_steps") > shown.rfind("running as process")
    assert "ended: solved" in shown[shown.rfind("ended: max_env_steps") :]
    assert (run / SUMMARY).exists()
