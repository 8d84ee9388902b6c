"""Learning curves: one run in full, or median and range of several."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from analysis.figures import new_figure, save, try_to_draw
from analysis.saved_run import read_config, read_table
from common.config import BadInput
from common.run_files import CURVE, EPISODES, METRICS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Axis = Literal["episodes", "env-steps"]
Float64 = NDArray[np.float64]

WINDOW_EPISODES = 100
WINDOW_LOOKS = 10
AXIS_LABELS: dict[Axis, str] = {"episodes": "episode", "env-steps": "environment steps (all actors)"}
_GRID_POINTS = 300
_MOST_TITLE = 150  # characters


class Curve(NamedTuple):
    """What a learning curve shows of one run."""

    name: str
    env: str
    solved_return: float | None
    episode_x: Float64
    episode_return: Float64
    look_x: Float64
    look_mean: Float64
    look_std: Float64
    solved_x: float | None


def plot_runs(runs: list[Path], x: Axis, output: Path | None) -> None:
    """`launch.py plot`: writes a picture and says where. Raises BadInput on a run or an output that cannot be used."""
    path = output or (runs[0] / CURVE if len(runs) == 1 else Path("plot.png"))
    curves = [read_curve(run, x) for run in runs]
    written: list[Path] = []

    def draw() -> None:
        written.append(draw_curve(curves[0], path, x) if len(runs) == 1 else draw_median_and_range(curves, path, x))

    if (reason := try_to_draw(draw)) is not None:
        raise BadInput(
            f"--output {path}: cannot be written ({reason}); name a .png file in a folder that can, or look at "
            "matplotlib's settings"
        )
    print(written[0])


def read_curve(run: Path, x: Axis) -> Curve:
    """Raises BadInput on a missing or damaged run."""
    config = read_config(run, "plot")
    episodes = read_table(run, EPISODES, "plot", {"env_steps": "float64", "episode_return": "float64"})
    metrics = read_table(
        run,
        METRICS,
        "plot",
        {
            "kind": "string",
            "env_steps": "float64",
            "evaluation_return": "float64",
            "evaluation_std": "float64",
            "solved": "bool",
        },
    )
    return _curve(run, config, episodes, metrics, x)


def _curve(run: Path, config: dict[str, Any], episodes: Any, metrics: Any, x: Axis) -> Curve:
    env_steps = _column(episodes, "env_steps")
    kinds = np.array(metrics["kind"].to_pylist(), dtype=object)
    looks = kinds == "look"
    look_steps = _column(metrics, "env_steps")[looks]
    solved_steps = _column(metrics, "env_steps")[
        np.array([bool(flag) for flag in metrics["solved"].to_pylist()], dtype=np.bool_)
    ]

    def place(steps: Float64) -> Float64:
        """Environment steps -> position on the axis."""
        return steps if x == "env-steps" else np.searchsorted(env_steps, steps, side="right").astype(np.float64)

    return Curve(
        name=run.name,
        env=str(config["settings"]["env"]),
        solved_return=config["environment"]["solved_return"],
        episode_x=env_steps if x == "env-steps" else np.arange(1, len(env_steps) + 1, dtype=np.float64),
        episode_return=_column(episodes, "episode_return"),
        look_x=place(look_steps),
        look_mean=_column(metrics, "evaluation_return")[looks],
        look_std=_column(metrics, "evaluation_std")[looks],
        solved_x=float(place(solved_steps[:1])[0]) if solved_steps.size else None,
    )


def draw_learning_curve(run: Path, path: Path, x: Axis = "episodes") -> Path:
    """`draw_curve` of a run. Returns the file written. Raises BadInput on a missing or damaged run."""
    return draw_curve(read_curve(run, x), path, x)


def draw_curve(curve: Curve, path: Path, x: Axis) -> Path:
    """Episodes' returns, their running mean, looks with their spread, and the solved line."""
    figure = new_figure(9, 5)
    axes = figure.subplots()
    axes.scatter(curve.episode_x, curve.episode_return, s=4, color="0.75", linewidths=0, label="training episode")
    if curve.episode_return.size >= 2:
        axes.plot(
            curve.episode_x,
            running_mean(curve.episode_return, WINDOW_EPISODES),
            color="tab:blue",
            label=f"training, mean of the last {WINDOW_EPISODES} episodes",
        )
    if curve.look_x.size:
        axes.errorbar(
            curve.look_x,
            curve.look_mean,
            yerr=curve.look_std,
            color="tab:orange",
            marker="o",
            markersize=3,
            linewidth=1.2,
            elinewidth=0.5,
            label="evaluation (greedy), mean and std of its episodes",
        )
    _mark_solved(axes, curve)
    axes.set_title(f"{curve.env}: {curve.name}"[:_MOST_TITLE], parse_math=False)
    _finish(axes, x)
    return save(figure, path)


def draw_median_and_range(curves: list[Curve], path: Path, x: Axis) -> Path:
    """Median and range over runs of the running mean of the training returns, as far as all runs reach."""
    figure = new_figure(9, 5)
    axes = figure.subplots()
    draw_group(axes, curves, f"{len(curves)} runs", "tab:blue")
    for env in sorted({curve.env for curve in curves}):
        goal = next((curve.solved_return for curve in curves if curve.env == env), None)
        if goal is not None:
            axes.axhline(goal, color="tab:green", linestyle="--", linewidth=1, label=f"{env} solved at {goal:g}")
    envs = ", ".join(sorted({curve.env for curve in curves}))
    axes.set_title(f"{envs[:_MOST_TITLE]}: median and range of {len(curves)} runs", parse_math=False)
    _finish(axes, x)
    return save(figure, path)


def draw_networks(groups: dict[str, list[Curve]], path: Path) -> Path:
    """The comparison: greedy evaluations over environment steps, median and range of each network's seeds."""
    figure = new_figure(9, 5)
    axes = figure.subplots()
    for index, (network, curves) in enumerate(groups.items()):
        looks = [curve._replace(episode_x=curve.look_x, episode_return=curve.look_mean) for curve in curves]
        draw_group(
            axes,
            looks,
            f"{network} ({len(curves)} seed{'s' if len(curves) > 1 else ''})",
            f"C{index}",
            window=WINDOW_LOOKS,
        )
    goal = next((curve.solved_return for curves in groups.values() for curve in curves), None)
    if goal is not None:
        axes.axhline(goal, color="0.3", linestyle="--", linewidth=1, label=f"solved at {goal:g}")
    axes.set_title("networks compared: median and range over seeds")
    _finish(axes, "env-steps")
    axes.set_ylabel(f"greedy evaluation return, mean of {WINDOW_LOOKS} looks")
    return save(figure, path)


def draw_group(axes: Axes, curves: list[Curve], label: str, color: str, window: int = WINDOW_EPISODES) -> None:
    """One line with its band: median and range over the runs of a group; runs without points are left out."""
    curves = [curve for curve in curves if curve.episode_return.size]
    if not curves:
        return
    end = min(curve.episode_x[-1] for curve in curves)
    grid = np.linspace(0, end, _GRID_POINTS)
    lines = np.stack([np.interp(grid, curve.episode_x, running_mean(curve.episode_return, window)) for curve in curves])
    axes.plot(grid, np.median(lines, axis=0), color=color, label=f"{label}: median")
    axes.fill_between(grid, lines.min(axis=0), lines.max(axis=0), color=color, alpha=0.2, linewidth=0)


def running_mean(values: Float64, window: int) -> Float64:
    """`[N]`: mean of the last `window` values, of fewer at the beginning; of those that are finite."""
    finite = np.isfinite(values)
    total = np.concatenate([[0.0], np.cumsum(np.where(finite, values, 0.0))])
    number = np.concatenate([[0], np.cumsum(finite)])
    index = np.arange(1, len(values) + 1)
    first = np.maximum(0, index - window)
    count = (number[index] - number[first]).astype(np.float64)
    mean: Float64 = (total[index] - total[first]) / np.where(count > 0, count, np.nan)
    return mean


def _mark_solved(axes: Axes, curve: Curve) -> None:
    if curve.solved_return is not None:
        axes.axhline(
            curve.solved_return, color="tab:green", linestyle="--", linewidth=1,
            label=f"solved at {curve.solved_return:g}",
        )  # fmt: skip
    if curve.solved_x is not None:
        axes.axvline(curve.solved_x, color="tab:green", linewidth=1, label="params that solved it")


def _finish(axes: Axes, x: Axis) -> None:
    axes.set_xlabel(AXIS_LABELS[x])
    axes.set_ylabel("return of an episode (sum of rewards)")
    axes.grid(alpha=0.3)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="best", fontsize="small")


def _column(table: Any, name: str) -> Float64:
    values: Float64 = table[name].to_numpy(zero_copy_only=False).astype(np.float64)
    return values
