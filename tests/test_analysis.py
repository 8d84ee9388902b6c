"""plot and compare on run folders made by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from analysis.compare import compare, label, parse_network, plan_entries, print_table
from analysis.plot import plot_runs, read_curve, running_mean
from common.config import BadInput, Config
from common.types import Episodes, Look
from driver.reporting.run_folder import RunFolder
from replay_server.episode_log import EpisodeRows


def write_run(path: Path, returns: list[float], solved: bool = True) -> Path:
    """A run folder with episodes of 10 environment steps each and two looks."""
    path.mkdir(parents=True)
    folder = RunFolder(path)
    config = {"settings": {"env": "CartPole-v1"}, "environment": {"solved_return": 475.0}}
    (path / "config.json").write_text(json.dumps(config))
    for number, value in enumerate(returns):
        episodes = Episodes(np.array([value]), np.array([10]), np.array([0.1], dtype=np.float32), np.array([100]))
        folder.add_episodes([EpisodeRows(episodes, 0, 0, 10 * (number + 1), 100)], number, float(number))
    for version, confirmation in ((100, False), (200, False), (200, True)):
        mean = 500.0 if version == 200 else 20.0
        folder.add_look(
            Look(
                version,
                version // 10,
                confirmation,
                7,
                np.full(100, mean),
                0,
                500,
                mean,
                0.0,
                mean,
                mean,
                confirmation and solved,
            ),
            seconds=1.0,
        )
    folder.flush()
    return path


def test_a_running_mean_covers_fewer_values_at_the_beginning() -> None:
    assert running_mean(np.array([1.0, 3.0, 5.0, 7.0]), 2).tolist() == [1.0, 2.0, 4.0, 6.0]


def test_a_curve_places_episodes_and_looks_on_either_axis(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", [9.0, 10.0, 11.0])
    by_steps = read_curve(run, "env-steps")
    assert by_steps.episode_x.tolist() == [10.0, 20.0, 30.0]
    assert by_steps.look_x.tolist() == [10.0, 20.0]
    assert by_steps.solved_x == 20.0
    by_episode = read_curve(run, "episodes")
    assert by_episode.episode_x.tolist() == [1.0, 2.0, 3.0]
    assert by_episode.look_x.tolist() == [1.0, 2.0]
    assert by_episode.look_mean.tolist() == [20.0, 500.0]


@pytest.mark.parametrize("x", ["episodes", "env-steps"])
@pytest.mark.parametrize("count", [1, 3])
def test_plot_writes_a_picture_for_one_run_and_for_several(tmp_path: Path, x: Any, count: int) -> None:
    runs = [write_run(tmp_path / str(index), [10.0 * index] * 150, solved=index > 0) for index in range(count)]
    plot_runs(runs, x, tmp_path / "out.png")
    assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", ["nowhere/curve.png", "curve.unknown"])
def test_a_picture_that_cannot_be_written_is_named(tmp_path: Path, name: str) -> None:
    run = write_run(tmp_path / "run", [9.0, 10.0])
    with pytest.raises(BadInput, match=f"--output .*{name}: cannot be written"):
        plot_runs([run], "episodes", tmp_path / name)


def test_plot_works_without_any_episode(tmp_path: Path) -> None:
    plot_runs([write_run(tmp_path / "run", [])], "episodes", tmp_path / "out.png")
    assert (tmp_path / "out.png").exists()


@pytest.mark.parametrize("name", ["config.json", "episodes.parquet/part-00000.parquet"])
def test_a_damaged_run_is_named(tmp_path: Path, name: str) -> None:
    run = write_run(tmp_path / "run", [1.0])
    (run / name).write_bytes(b"not what it was")
    with pytest.raises(BadInput, match=r"run: its .* is damaged"):
        plot_runs([run], "episodes", tmp_path / "out.png")


def test_networks_are_named_as_in_the_tutorial() -> None:
    names = [label(parse_network(name)) for name in ("64", "256", "64x64", "256x256", "64x32")]
    assert names == ["1x64", "1x256", "2x64", "2x256", "64-32"]


@pytest.mark.parametrize("name", ["64y", "", "0", "64x-1"])
def test_a_network_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(BadInput, match="--networks"):
        parse_network(name)


def summary(**values: Any) -> dict[str, Any]:
    base = {"solved": False, "seconds_total": 9.0, "seconds_to_solve": None, "solved_env_steps": None, "env_steps": 100}
    return {**base, "learner_steps": 10, "stopped_by": "max_env_steps", "last_evaluation_return": 20.0, **values}


def test_compare_trains_every_network_with_every_seed_and_counts_what_is_not_solved(tmp_path: Path) -> None:
    entries = plan_entries(Config(), ["64", "64x64"], 2, tmp_path)
    trained = []

    def train_once(config: Config, path: Path) -> dict[str, Any]:
        trained.append((config.network.hidden, config.run.seed))
        write_run(path, [5.0])
        solved = config.network.hidden == (64, 64) and config.run.seed == 0
        return summary(solved=solved, solved_env_steps=80 if solved else None)

    rows = compare(entries, tmp_path, train_once)
    assert trained == [((64,), 0), ((64, 64), 0), ((64,), 1), ((64, 64), 1)]
    table = pq.read_table(tmp_path / "compare.parquet").to_pylist()
    assert [(row["network"], row["seed"], row["solved"]) for row in table] == [
        ("1x64", 0, False),
        ("2x64", 0, True),
        ("1x64", 1, False),
        ("2x64", 1, False),
    ]
    assert (tmp_path / "compare.png").exists()
    console = Console(record=True, width=80)
    print_table(rows, console)
    text = console.export_text()
    assert "median [lowest, highest]" in text
    assert "0 of 2" in text
    assert "1 of 2" in text
    assert "1 not solved" in text
    assert "80" in text.split()
    assert "[80, 80]" not in text  # one number has no spread


def test_the_comparison_table_cuts_no_figure_off_at_80_columns(tmp_path: Path) -> None:
    def train_once(config: Config, path: Path) -> dict[str, Any]:
        write_run(path, [5.0])
        steps = 14_140 + 70_000 * config.run.seed
        return summary(
            solved=True,
            seconds_total=41.6 + steps / 2000,
            solved_env_steps=steps,
            env_steps=100_254,
            learner_steps=24_610,
            last_evaluation_return=499.2,
        )

    rows = compare(plan_entries(Config(), ["64x64"], 2, tmp_path), tmp_path, train_once)
    console = Console(record=True, width=80)
    print_table(rows, console)
    text = console.export_text()
    for figure in ("2 of 2", "66", "[49, 84]", "100,254", "24,610", "49,140", "[14,140, 84,140]", "[499, 499]"):
        assert figure in text
    assert "…" not in text


def test_compare_stops_after_an_interrupted_run_and_keeps_its_table(tmp_path: Path) -> None:
    def train_once(config: Config, path: Path) -> dict[str, Any]:
        write_run(path, [5.0])
        return summary(stopped_by="interrupted")

    rows = compare(plan_entries(Config(), ["64"], 3, tmp_path), tmp_path, train_once)
    assert len(rows) == 1
    assert pq.read_table(tmp_path / "compare.parquet").num_rows == 1
