"""Several networks on the same number of environment steps: one chart and one table."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from analysis.figures import try_to_draw
from analysis.plot import draw_networks, read_curve
from common.config import BadInput, Config, NetworkConfig, RunConfig

TABLE = "compare.parquet"
CHART = "compare.png"
TrainOnce = Callable[[Config, Path], dict[str, Any]]  # -> the run's summary


class Entry(NamedTuple):
    """One training run of the comparison."""

    network: str
    seed: int
    path: Path
    config: Config


def parse_network(name: str) -> tuple[int, ...]:
    """`64x64` -> (64, 64). Raises BadInput on anything else."""
    try:
        hidden = tuple(int(size) for size in name.split("x"))
        return NetworkConfig(hidden=hidden).hidden
    except (ValueError, BadInput):
        raise BadInput(f"--networks {name}: must be layer sizes joined by x, such as 256 or 64x64") from None


def label(hidden: Sequence[int]) -> str:
    """(64, 64) -> `2x64`, the tutorial's name; sizes that differ are written out."""
    if len(set(hidden)) == 1:
        return f"{len(hidden)}x{hidden[0]}"
    return "-".join(str(size) for size in hidden)


def plan_entries(config: Config, networks: Sequence[str], seeds: int, folder: Path) -> list[Entry]:
    """Every run to make, seed by seed, so that a comparison cut short still has all networks. Raises BadInput."""
    if seeds < 1:
        raise BadInput(f"--seeds {seeds}: must be a whole number of at least 1")
    if not networks:
        raise BadInput("--networks: name at least one, such as 64x64")
    hidden = {label(parse_network(name)): parse_network(name) for name in networks}
    entries = []
    for seed in range(config.run.seed, config.run.seed + seeds):
        for name, sizes in hidden.items():
            path = folder / f"{name}-seed-{seed}"
            run: RunConfig = dataclasses.replace(config.run, seed=seed, run_dir=str(path))
            network = dataclasses.replace(config.network, hidden=sizes)
            entries.append(Entry(name, seed, path, dataclasses.replace(config, run=run, network=network)))
    return entries


def compare(
    entries: Sequence[Entry], folder: Path, train_once: TrainOnce, say: Callable[[str], object] = print
) -> list[dict[str, Any]]:
    """Trains every entry, and keeps table and chart up to date after each. Stops early when a run was stopped.

    A table or chart that cannot be written is told by `say`, each reason once, and costs no run.
    """
    rows: list[dict[str, Any]] = []
    told: set[str] = set()

    def tell(what: str, reason: str | None) -> None:
        if reason is not None and reason not in told:
            told.add(reason)
            say(f"{what} ({reason})")

    for entry in entries:
        summary = train_once(entry.config, entry.path)
        rows.append(_row(entry, summary))
        tell("the table could not be written", _write_table(rows, folder / TABLE))
        tell("the picture could not be drawn", try_to_draw(partial(_draw, entries[: len(rows)], folder / CHART)))
        if summary["stopped_by"] in ("interrupted", "terminated", "error"):
            break
    return rows


def _write_table(rows: Sequence[dict[str, Any]], path: Path) -> str | None:
    """Returns why it could not be written, or None; an older one stays until the new one is whole."""
    temporary = path.with_name(f".{path.name}")
    try:
        pq.write_table(pa.Table.from_pylist(list(rows)), temporary)
        temporary.replace(path)
    except OSError as error:
        return error.strerror or str(error)
    return None


def _draw(entries: Sequence[Entry], path: Path) -> None:
    networks = dict.fromkeys(entry.network for entry in entries)
    draw_networks(
        {
            network: [read_curve(entry.path, "env-steps") for entry in entries if entry.network == network]
            for network in networks
        },
        path,
    )


def print_table(rows: Sequence[dict[str, Any]], console: Console) -> None:
    """One line for each network: medians over its seeds, lowest and highest in brackets."""
    table = Table(title=escape("comparison: median [lowest, highest] over seeds"), box=SIMPLE, padding=(0, 0, 0, 1))
    table.add_column("network", no_wrap=True)
    for column in ("solved", "time, s", "env\nsteps", "learner\nsteps", "env steps\nto solve", "saved\nreturn"):
        table.add_column(column, justify="right", no_wrap=True)
    for network in dict.fromkeys(row["network"] for row in rows):
        group = [row for row in rows if row["network"] == network]
        table.add_row(
            network,
            f"{sum(row['solved'] for row in group)} of {len(group)}",
            _spread([row["seconds_total"] for row in group], ".0f"),
            f"{np.median([row['env_steps'] for row in group]):,.0f}",
            f"{np.median([row['learner_steps'] for row in group]):,.0f}",
            _spread([row["solved_env_steps"] for row in group], ",.0f", "not solved"),
            _spread([row["saved_return"] for row in group], ".0f"),
        )
    console.print(table)


def _row(entry: Entry, summary: dict[str, Any]) -> dict[str, Any]:
    kept = (
        "solved",
        "seconds_total",
        "seconds_to_solve",
        "solved_env_steps",
        "env_steps",
        "learner_steps",
        "stopped_by",
    )
    fresh = summary["confirmation_return"]
    return {
        "network": entry.network,
        "hidden": list(entry.config.network.hidden),
        "seed": entry.seed,
        **{name: summary[name] for name in kept},
        "final_return": summary["last_evaluation_return"],  # of the newest network
        "saved_return": summary["evaluation_return"] if fresh is None else fresh,
        "run": str(entry.path),
    }


def _spread(values: Sequence[float | None], form: str, missing: str = "unknown") -> str:
    """Median, range below it; `missing` where every run lacks the value, else those that lack it are counted.

    One value has no range.
    """
    known = [value for value in values if value is not None]
    if not known:
        return missing
    text = f"{np.median(known):{form}}"
    if len(known) > 1:
        text += f"\n[{min(known):{form}}, {max(known):{form}}]"
    return text if len(known) == len(values) else f"{text}\n{len(values) - len(known)} {missing}"
