"""What is each choice among the defaults worth? Each is switched off, on several environments, with several seeds."""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.environments import Task, check_build, chosen, grouped, number, run_all
from benchmarks.launching import ROOT, markdown, new_folder, spread
from common.config import BadInput

DEFAULTS = "defaults"
VARIANTS = {
    DEFAULTS: "",
    "raw observations": "--observation-scaling raw",
    "raw returns": "--return-scaling raw --huber-delta 5",
    "clipped double stays": "--clip-fade-learner-steps 1000000000",
    "plain double DQN": "--no-clipped-double",
    "Huber's delta stays": "--huber-delta-rise-learner-steps 1000000000",
    "silent units stay": "--no-recycle-units",
    "Adam's beta2 0.999": "--adam-beta2 0.999",
    "half the learning rate": "--learning-rate 2e-3",
    "n steps uncut": "--no-n-step-cut",
    "one step": "--n-step 1",
    "epsilon 0.2 everywhere": "--epsilon-end 0.2 --epsilon-spread 0",
    "random actions of one step": "--epsilon-hold-share 0",
    "a decay that never waits": "--epsilon-wait-terminations 0",
    "a ring of 50,000": "--replay-capacity-transitions 50000",
}


@dataclass(frozen=True)
class Ablation:
    """Trains each variant on each environment with every seed; one table of variants and environments, in Markdown."""

    variants: tuple[str, ...] = tuple(VARIANTS)
    """Names of the file's variants, or NAME=OPTIONS for one's own, such as "slow=--learning-rate 1e-3"."""
    only: tuple[str, ...] = ("CartPole-v1", "LunarLander-v3", "Taxi-v4", "MiniGrid-Empty-5x5")
    """Names of entries of `environments`."""
    seeds: int = 5
    """Number of seeds."""
    first_seed: int = 0
    """The first of them; the others follow."""
    together: int = 1
    """Runs at a time."""
    build: Path = ROOT
    """Folder of the build that trains: a checkout, as `git worktree add FOLDER COMMIT` makes it."""
    runs: Path | None = None
    """Folder for the runs [a temporary one]; what has finished there with the same options is not run again."""


def measure_ablation(settings: Ablation) -> list[dict[str, Any]]:
    """One row for each variant, environment and seed."""
    variants = named_variants(settings.variants)
    entries = chosen(settings.only)
    check_build(settings.build)
    folder = new_folder(settings.runs)
    rows = run_all(
        [
            Task(entry, name, seed, options, settings.build.resolve(), folder / name.replace("/", "-") / entry.name)
            for entry in entries
            for name, options in variants.items()
            for seed in range(settings.first_seed, settings.first_seed + settings.seeds)
        ],
        settings.together,
    )
    report(rows)
    return rows


def named_variants(asked: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Options of launch.py by name. Raises BadInput on a name that nobody knows, and on one that comes twice."""
    found: dict[str, tuple[str, ...]] = {}
    for variant in asked:
        name, equals, options = variant.partition("=")
        if not equals:
            if name not in VARIANTS:
                near = difflib.get_close_matches(name, VARIANTS, n=1, cutoff=0.0)[0]
                raise BadInput(f"--variants {name}: no such variant; the nearest is {near!r}, or write NAME=OPTIONS")
            options = VARIANTS[name]
        if not name.strip() or name in found:
            raise BadInput(f"--variants {variant}: needs a name of its own; write NAME=OPTIONS")
        try:
            found[name] = tuple(shlex.split(options))
        except ValueError as error:
            raise BadInput(f"--variants {variant}: {error}; quote options as a shell wants them") from None
    return found


def report(rows: list[dict[str, Any]]) -> None:
    """The table, and what failed."""
    environments = list(dict.fromkeys(row["environment"] for row in rows))
    table = []
    for name, of_variant in grouped(rows, lambda row: row["variant"]).items():
        cells = grouped(of_variant, lambda row: row["environment"])
        options = shlex.join(of_variant[0]["variant_options"])
        table.append([name, f"`{options}`" if options else "-", *(_cell(cells[env]) for env in environments)])
    print(
        "saved networks, 100 fresh episodes: median [lowest, highest] over the seeds; runs whose looks reached the bar"
    )
    print(markdown(("variant", "options", *environments), table))
    for row in rows:
        if row["failed"] is not None:
            print(f"{row['variant']}, {row['environment']}, seed {row['seed']}: {row['failed']}")


def _cell(rows: list[dict[str, Any]]) -> str:
    """Of one variant on one environment; the exact mean return where the environment states its model."""
    good = [row for row in rows if row["failed"] is None]
    if not good:
        return f"{len(rows)} failed"
    returns = [row["return"] if row["exact"] is None else row["exact"] for row in good]
    shown = f"{number(float(np.median(returns)))} [{number(min(returns))}, {number(max(returns))}]"
    if good[0]["bar"] is not None:
        steps = [row["bar_env_steps"] for row in good if row["bar_env_steps"] is not None]
        after = f" after {spread(steps)} env steps" if steps else ""
        shown += f"; {len(steps)} of {len(rows)}{after}"
    failed = len(rows) - len(good)
    return f"{shown}; {failed} failed" if failed else shown
