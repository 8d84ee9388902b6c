"""plot and compare on run folders made by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from rich.console import Console
from run_folders import write_run

from analysis.compare import compare, label, parse_network, plan_entries, print_table
from analysis.plot import plot_runs, read_curve, running_mean
from common.config import BadInput, Config


def test_a_running_mean_covers_fewer_values_at_the_beginning() -> None:
    assert running_mean(np.array([1.0, 3.0, 5.0, 7.0]), 2).tolist() == [1.0, 2.0, 4.0, 6.0]


def test_a_running_mean_passes_over_what_is_no_number() -> None:
    values = np.array([1.0, np.inf, 3.0, np.nan, np.nan, 5.0])
    np.testing.assert_array_equal(running_mean(values, 2), [1.0, 1.0, 3.0, 3.0, np.nan, 5.0])


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


@pytest.mark.parametrize(
    "returns", [[np.nan] * 3, [np.inf, 1.0, -np.inf], [1e300, -1e300], [5.0]], ids=["nan", "inf", "huge", "one"]
)
def test_plot_draws_what_can_be_drawn_of_odd_returns_and_says_nothing(
    tmp_path: Path, returns: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    run = write_run(tmp_path / "run", returns)
    plot_runs([run], "episodes", tmp_path / "out.png")
    plot_runs([run, run], "env-steps", tmp_path / "several.png")
    assert capsys.readouterr().err == ""
    assert (tmp_path / "several.png").read_bytes().startswith(b"\x89PNG")


def test_a_folders_name_is_no_formula(tmp_path: Path) -> None:
    run = write_run(tmp_path / r"a$\frac$b", [1.0])
    plot_runs([run], "episodes", None)
    assert (run / "learning_curve.png").exists()


def test_a_picture_without_an_ending_is_a_png_and_named_as_it_was_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plot_runs([write_run(tmp_path / "run", [1.0])], "episodes", tmp_path / "curve")
    assert capsys.readouterr().out == f"{tmp_path / 'curve.png'}\n"
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_plot_works_without_any_episode(tmp_path: Path) -> None:
    plot_runs([write_run(tmp_path / "run", [])], "episodes", tmp_path / "out.png")
    assert (tmp_path / "out.png").exists()


@pytest.mark.parametrize("name", ["config.json", "episodes.parquet/part-00000.parquet"])
def test_a_damaged_run_is_named(tmp_path: Path, name: str) -> None:
    run = write_run(tmp_path / "run", [1.0])
    (run / name).write_bytes(b"not what it was")
    with pytest.raises(BadInput, match=r"run: its .* is damaged"):
        plot_runs([run], "episodes", tmp_path / "out.png")


@pytest.mark.parametrize(
    ("name", "column"), [("episodes.parquet", "episode_return"), ("metrics.parquet", "evaluation_std")]
)
def test_a_part_of_another_schema_is_named_by_its_missing_column(tmp_path: Path, name: str, column: str) -> None:
    run = write_run(tmp_path / "run", [1.0])
    part = run / name / "part-00001.parquet"
    pq.write_table(pq.read_table(run / name / "part-00000.parquet").drop_columns([column]), part)
    with pytest.raises(BadInput, match=f"its {name}/part-00001.parquet has no column '{column}'"):
        plot_runs([run], "episodes", tmp_path / "out.png")


def test_a_run_of_before_episodes_were_bounded_is_still_drawn(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", [1.0])
    part = run / "metrics.parquet" / "part-00000.parquet"
    pq.write_table(pq.read_table(part).drop_columns(["evaluation_unended"]), part)
    plot_runs([run], "episodes", tmp_path / "out.png")
    assert (tmp_path / "out.png").exists()


def test_networks_are_named_as_in_the_tutorial() -> None:
    names = [label(parse_network(name)) for name in ("64", "256", "64x64", "256x256", "64x32")]
    assert names == ["1x64", "1x256", "2x64", "2x256", "64-32"]


@pytest.mark.parametrize("name", ["64y", "", "0", "64x-1"])
def test_a_network_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(BadInput, match="--networks"):
        parse_network(name)


def summary(**values: Any) -> dict[str, Any]:
    base = {"solved": False, "seconds_total": 9.0, "seconds_to_solve": None, "solved_env_steps": None, "env_steps": 100}
    looks = {"last_evaluation_return": 5.0, "evaluation_return": 20.0, "confirmation_return": None}
    return {**base, "learner_steps": 10, "stopped_by": "max_env_steps", **looks, **values}


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
            evaluation_return=500.0,
            confirmation_return=499.2,
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


def test_compare_goes_on_without_its_table_and_its_picture_and_says_each_reason_once(tmp_path: Path) -> None:
    """Something else is where they should be; and one run has lost its metrics."""
    (tmp_path / "compare.parquet").mkdir()
    (tmp_path / "compare.png").mkdir()
    said: list[str] = []
    rows = compare(plan_entries(Config(), ["64"], 3, tmp_path), tmp_path, train_and_write, said.append)
    assert len(rows) == 3
    assert len(said) == 2
    assert said[0].startswith("the table could not be written (")
    assert said[1].startswith("the picture could not be drawn (")


def test_compare_goes_on_where_a_run_cannot_be_read_back(tmp_path: Path) -> None:
    def train_once(config: Config, path: Path) -> dict[str, Any]:
        if config.run.seed == 0:
            path.mkdir(parents=True)
            return summary()
        return train_and_write(config, path)

    said: list[str] = []
    rows = compare(plan_entries(Config(), ["64"], 2, tmp_path), tmp_path, train_once, said.append)
    assert len(rows) == 2
    assert len(said) == 1
    assert "no run folder" in said[0]


def train_and_write(config: Config, path: Path) -> dict[str, Any]:
    write_run(path, [5.0])
    return summary()


def test_the_comparison_of_one_seed_shows_no_spread(tmp_path: Path) -> None:
    rows = compare(plan_entries(Config(), ["64"], 1, tmp_path), tmp_path, train_and_write)
    console = Console(record=True, width=80)
    print_table(rows, console)
    figures = console.export_text().split("1x64")[1]
    assert "20" in figures
    assert "[" not in figures
