"""One entry for all measurements."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import tyro
from tyro.conf import subcommand

from benchmarks.epsilon import Epsilon, measure_epsilon
from benchmarks.samples_per_insert import SamplesPerInsert, measure_samples_per_insert
from benchmarks.solve import Solve, measure_solve
from benchmarks.stability import Stability, measure_stability

Benchmark = (
    Annotated[Solve, subcommand("solve")]
    | Annotated[Stability, subcommand("stability")]
    | Annotated[SamplesPerInsert, subcommand("samples-per-insert")]
    | Annotated[Epsilon, subcommand("epsilon")]
)


def main(benchmark: Benchmark, json_file: Annotated[Path | None, tyro.conf.arg(name="json")] = None) -> None:
    """Runs one measurement, prints its table, and writes its rows with --json FILE."""
    match benchmark:
        case Solve():
            rows = measure_solve(benchmark)
        case Stability():
            rows = measure_stability(benchmark)
        case SamplesPerInsert():
            rows = measure_samples_per_insert(benchmark)
        case Epsilon():
            rows = measure_epsilon(benchmark)
    if json_file is not None:
        json_file.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    tyro.cli(
        main, config=(tyro.conf.OmitArgPrefixes, tyro.conf.OmitSubcommandPrefixes, tyro.conf.CascadeSubcommandArgs)
    )
