"""What do the defaults reach on other people's environments? `--env` and limits only, several seeds, saved networks."""

from __future__ import annotations

import difflib
import json
import shlex
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple, cast

import gymnasium
import numpy as np
import pyarrow.parquet as pq
import torch
from tyro.conf import UseAppendAction

from benchmarks.exact import StatedModel, mean_return, optimum, stated_model
from benchmarks.launching import ROOT, RunFailed, launch, markdown, new_folder
from benchmarks.playing import Played, greedy_actions, play, read_network
from common.config import BadInput
from common.return_text import return_text
from common.run_files import CONFIG, METRICS, Q_NETWORK

_EPISODES = 100
_ROUNDING = 1e-6


class Entry(NamedTuple):
    """An environment, how long it is trained, and what the saved network should reach."""

    name: str
    env: str
    max_env_steps: int
    bar: float | None = None  # mean return of the saved network, on each seed
    mean_bar: float | None = None  # the same, mean over the seeds
    below_optimum: float | None = None  # the bar is the optimum less this, where the environment states its model
    options: tuple[str, ...] = ()
    preset: str | None = None  # of presets/
    wrapper: str | None = None  # MODULE:FUNCTION
    to_register: str | None = None  # MODULE:FUNCTION that has to be called before gymnasium knows the id


ENTRIES = (
    Entry("CartPole-v1", "CartPole-v1", 500_000, bar=475),
    Entry("LunarLander-v3", "LunarLander-v3", 300_000, bar=200, mean_bar=240),
    # The same past the solve, which is confirmed at 200: what the rest of the steps is good for.
    Entry("LunarLander-v3-all", "LunarLander-v3", 300_000, 200, 240, options=("--no-stop-when-solved",)),
    Entry("Acrobot-v1", "Acrobot-v1", 100_000, bar=-80),
    Entry("Acrobot-v1-all", "Acrobot-v1", 100_000, bar=-80, options=("--no-stop-when-solved",)),
    Entry("MountainCar-v0", "MountainCar-v0", 120_000, bar=-110, preset="mountain_car"),
    Entry("Taxi-v4", "Taxi-v4", 150_000, bar=7.5),
    Entry("FrozenLake-v1", "FrozenLake-v1", 500_000, below_optimum=0.05),
    Entry("FrozenLake8x8-v1", "FrozenLake8x8-v1", 250_000, below_optimum=0.05),
    Entry("CliffWalking-v1", "CliffWalking-v1", 100_000, below_optimum=0.0),
    # 5 steps are the fewest, each costs 0.9 / 100: 0.955 is the optimum.
    Entry(
        "MiniGrid-Empty-5x5",
        "minigrid:MiniGrid-Empty-5x5-v0",
        100_000,
        bar=0.9 * 0.955,
        wrapper="minigrid.wrappers:ImgObsWrapper",
    ),
    Entry("bsuite-catch", "shimmy:bsuite/catch-v0", 100_000, bar=0.9),
    # The return, where "score" is the pipes passed: 0.1 for each step alive and 1 for a pipe make some 4 without a
    # pipe, 7 with one, 11 with two, and 4.2 more with each further one.
    Entry("FlappyBird-v0", "flappy_bird_gymnasium:FlappyBird-v0", 500_000, bar=10),
    Entry(
        "MinAtar-Breakout-v1",
        "minatar:MinAtar/Breakout-v1",
        400_000,
        bar=7.5,
        to_register="minatar.gym:register_envs",
    ),
    Entry("Tetris", "tetris_gymnasium.envs:tetris_gymnasium/Tetris", 50_000),
    Entry("Snake-v1", "gymnasium_snake_game:Snake-v1", 200_000),
    Entry("MiniGrid-FourRooms", "minigrid:MiniGrid-FourRooms-v0", 300_000, wrapper="minigrid.wrappers:ImgObsWrapper"),
    Entry("stocks-v0", "gym_anytrading:stocks-v0", 200_000),
)


@dataclass(frozen=True)
class Environments:
    """Trains each environment of the table with every seed, then plays 100 fresh episodes of each saved network."""

    only: tuple[str, ...] = ()
    """Names of the table's entries [all]."""
    seeds: int = 5
    """Number of seeds."""
    first_seed: int = 0
    """The first of them; the others follow."""
    option: UseAppendAction[tuple[str, ...]] = ()
    """A further option of launch.py, such as --option=--n-step=1; repeatable."""
    together: int = 1
    """Runs at a time."""
    build: Path = ROOT
    """Folder of the build that trains: a checkout, as `git worktree add FOLDER COMMIT` makes it."""
    runs: Path | None = None
    """Folder for the runs [a temporary one]; what has finished there with the same options is not run again."""


class Task(NamedTuple):
    """One run: where it goes, and what it is asked."""

    entry: Entry
    variant: str
    seed: int
    options: tuple[str, ...]  # beyond the entry's own
    build: Path
    folder: Path  # of this variant and entry


def measure_environments(settings: Environments) -> list[dict[str, Any]]:
    """One row for each environment and seed."""
    entries = chosen(settings.only)
    check_build(settings.build)
    folder = new_folder(settings.runs)
    seeds = range(settings.first_seed, settings.first_seed + settings.seeds)
    options = tuple(word for option in settings.option for word in shlex.split(option))
    rows = run_all(
        [
            Task(entry, "", seed, options, settings.build.resolve(), folder / entry.name)
            for entry in entries
            for seed in seeds
        ],
        settings.together,
    )
    report(rows)
    return rows


def chosen(names: Sequence[str]) -> list[Entry]:
    """The entries of these names, or all. Raises BadInput on an unknown one."""
    by_name = {entry.name: entry for entry in ENTRIES}
    for name in names:
        if name not in by_name:
            near = difflib.get_close_matches(name, by_name, n=1, cutoff=0.0)[0]
            raise BadInput(f"--only {name}: no such entry; the nearest is {near}, and all are {', '.join(by_name)}")
    return [by_name[name] for name in names] if names else list(ENTRIES)


def check_build(build: Path) -> None:
    """Raises BadInput where there is nothing to run."""
    if not (build / "launch.py").exists():
        raise BadInput(f"--build {build}: has no launch.py; name a checkout of a build")


def run_all(tasks: Sequence[Task], together: int) -> list[dict[str, Any]]:
    """A row for each task, in their order; a run that fails is a row too. Learning does not depend on speed."""
    if together < 1:
        raise BadInput(f"--together {together}: must be a whole number of at least 1")
    torch.set_num_threads(1)  # small batches, beside runs that want the cores
    with ThreadPoolExecutor(together) as pool:
        return list(pool.map(_row_of, tasks))


def _row_of(task: Task) -> dict[str, Any]:
    """As kept from before, or anew."""
    entry = task.entry
    preset = [] if entry.preset is None else ["--config", str(task.build / "presets" / f"{entry.preset}.toml")]
    wrapper = [] if entry.wrapper is None else ["--env-wrapper", entry.wrapper]
    options = ["--max-env-steps", str(entry.max_env_steps), *preset, *wrapper, *entry.options, *task.options]
    asked = {"environment": entry.name, "env": entry.env, "seed": task.seed, "options": options}
    kept = task.folder / f"seed-{task.seed}.json"
    row = _kept(kept, asked | {"build": str(task.build)})
    if row is None:
        row = asked | {"build": str(task.build), **_trained(task, options)}
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps(row, indent=2) + "\n")
        came = ""
    else:
        came = f" (from before, commit {str(row.get('git_commit'))[:9]})"
    row |= {"variant": task.variant, "variant_options": task.options}
    print(f"{' '.join([task.variant, entry.name]).strip()}, seed {task.seed}: {shown(row)}{came}", flush=True)
    return row


def _kept(path: Path, asked: dict[str, Any]) -> dict[str, Any] | None:
    """A finished row that was asked the same; none of a run that failed."""
    if not path.exists():
        return None
    row: dict[str, Any] = json.loads(path.read_text())
    same = all(row.get(name) == value for name, value in asked.items())
    return row if same and row["failed"] is None else None


def _trained(task: Task, options: Sequence[str]) -> dict[str, Any]:
    """What came of one run; `failed` says why nothing did."""
    run = _free(task.folder / f"seed-{task.seed}")
    arguments = ["--env", task.entry.env, "--seed", str(task.seed), "--no-dashboard", *options]
    try:
        summary = launch(arguments, run, task.build)
    except RunFailed as error:
        return {"run": str(run), "failed": error.reason}
    try:
        checked = _checked(task.entry, run)
    except Exception as error:  # the environment is other people's code and may raise anything
        return {"run": str(run), "failed": f"playing the saved network: {type(error).__name__}: {error}"}
    names = ("solved", "seconds_to_solve", "solved_env_steps", "stopped_by", "env_steps", "learner_steps")
    known = {name: summary[name] for name in (*names, "last_evaluation_return", "process_seconds")}
    commit = json.loads((run / CONFIG).read_text())["git_commit"]
    return {"run": str(run), "failed": None, "git_commit": commit, **known, **checked}


def _free(path: Path) -> Path:
    """This folder, or the next that is not there: what an earlier attempt has left stays."""
    attempts = (path if number == 0 else path.with_name(f"{path.name}-again-{number}") for number in range(10_000))
    return next(attempt for attempt in attempts if not attempt.exists())


def _checked(entry: Entry, run: Path) -> dict[str, Any]:
    """The saved network on start states of its own, and when a look first reached the bar."""
    network = read_network(run / Q_NETWORK)
    played: Played = play(network, lambda: make(entry), _EPISODES)
    model = stated_model(entry.env)
    exact = None if model is None else _exact(network, model)
    best = None if model is None else optimum(model)
    bar = best - entry.below_optimum if best is not None and entry.below_optimum is not None else entry.bar
    mean = float(played.returns.mean())
    looks = [row for row in pq.read_table(run / METRICS).to_pylist() if row["kind"] == "look"]
    reached = next((row for row in looks if bar is not None and row["evaluation_return"] >= bar - _ROUNDING), None)
    return {
        "return": mean,
        "std": float(played.returns.std(ddof=1)),
        "unended": played.unended,
        "score": played.score,
        "exact": exact,
        "optimum": best,
        "bar": bar,
        "met": None if bar is None else (mean if exact is None else exact) >= bar - _ROUNDING,
        "bar_seconds": reached and reached["seconds"],
        "bar_env_steps": reached and reached["env_steps"],
        "looks": len(looks),
        "best_look": max((row["evaluation_return"] for row in looks), default=None),
    }


def make(entry: Entry) -> gymnasium.Env[Any, Any]:
    """The environment as its package has it, wrapped."""
    if entry.to_register is not None and entry.env.rpartition(":")[2] not in gymnasium.registry:
        _named(entry.to_register)()
    env: gymnasium.Env[Any, Any] = gymnasium.make(entry.env, disable_env_checker=True)
    return env if entry.wrapper is None else cast("gymnasium.Env[Any, Any]", _named(entry.wrapper)(env))


def _named(name: str) -> Callable[..., Any]:
    module, _, function = name.partition(":")
    named: Callable[..., Any] = getattr(import_module(module), function)
    return named


def _exact(network: torch.nn.Sequential, model: StatedModel) -> float:
    return mean_return(model, greedy_actions(network, list(np.eye(len(model.starts)))))


def shown(row: dict[str, Any]) -> str:
    """One line on one run."""
    if row["failed"] is not None:
        return f"failed: {row['failed']}"
    exact = "" if row["exact"] is None else f", exactly {row['exact']:.3f} of {row['optimum']:.3f}"
    met = "" if row["met"] is None else f", {'met' if row['met'] else 'NOT met'} ({row['bar']:g})"
    return (
        f"{number(row['return'])}{exact}{met}; best look {number(row['best_look'])}; {row['env_steps']:,} env steps, "
        f"{row['learner_steps']:,} learner steps, {row['process_seconds']:.0f} s, {row['stopped_by']}"
    )


def report(rows: list[dict[str, Any]]) -> None:
    """A line for each environment, with every seed in it."""
    table = [_line(of_one) for of_one in grouped(rows, lambda row: row["environment"]).values()]
    header = (
        "environment", "bar", "saved network, each seed", "median", "lowest", "mean", "met", "best looks",
        "solved", "env steps", "seconds", "env steps to the bar", "seconds to the bar", "ended by",
    )  # fmt: skip
    print(markdown(header, table))
    for row in rows:
        if row["failed"] is not None:
            print(f"{row['environment']}, seed {row['seed']}: {row['failed']}")


def _line(rows: list[dict[str, Any]]) -> list[str]:
    """Of one environment. Where a model is stated, the exact mean return is behind each seed's 100 episodes."""
    name = rows[0]["environment"]
    good = [row for row in rows if row["failed"] is None]
    if not good:
        return [name, *["-"] * 5, f"0 of {len(rows)}", *["-"] * 6, "failed"]
    returns = [row["return"] for row in good]
    bar, mean_bar = good[0]["bar"], next((entry.mean_bar for entry in ENTRIES if entry.name == name), None)
    bars = [number(bar), *([] if mean_bar is None else [f"mean {number(mean_bar)}"])]
    met = "-" if bar is None else f"{sum(row['met'] for row in good)} of {len(rows)}"
    if mean_bar is not None:
        met += f", mean {'met' if np.mean(returns) >= mean_bar else 'not met'}"
    return [
        name,
        "-" if bar is None else ", ".join(bars),
        ", ".join(map(_result, rows)),
        number(float(np.median(returns))),
        number(min(returns)),
        number(float(np.mean(returns))),
        met,
        ", ".join(number(row["best_look"]) for row in good),
        f"{sum(row['solved'] for row in good)} of {len(rows)}",
        ", ".join(f"{row['env_steps']:,}" for row in good),
        ", ".join(f"{row['process_seconds']:.0f}" for row in good),
        ", ".join("-" if row["bar_env_steps"] is None else f"{row['bar_env_steps']:,}" for row in good),
        ", ".join("-" if row["bar_seconds"] is None else f"{row['bar_seconds']:.0f}" for row in good),
        ", ".join(dict.fromkeys(row["stopped_by"] for row in good)),
    ]


def _result(row: dict[str, Any]) -> str:
    if row["failed"] is not None:
        return "failed"
    about = [
        *([] if row["exact"] is None else [f"exactly {number(row['exact'])}"]),
        *([] if row["score"] is None else [f"score {number(row['score'])}"]),
        *([f"{row['unended']} cut off"] if row["unended"] else []),
    ]
    return number(row["return"]) + (f" ({', '.join(about)})" if about else "")


def number(value: float | None) -> str:
    """A return, or that there is none."""
    return "-" if value is None else return_text(value)


def grouped(rows: Iterable[dict[str, Any]], key: Callable[[dict[str, Any]], Any]) -> dict[Any, list[dict[str, Any]]]:
    """Rows by their key, in the order in which keys first appear."""
    groups: dict[Any, list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups
