"""One entry for all measurements."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import tyro
from tyro.conf import subcommand

from benchmarks.ablation import Ablation, measure_ablation
from benchmarks.builds import Builds, measure_builds
from benchmarks.cold import Cold, measure_cold
from benchmarks.collection import Collection, measure_collection
from benchmarks.cost_model import CostModel, measure_cost_model
from benchmarks.environments import Environments, measure_environments
from benchmarks.epsilon import Epsilon, measure_epsilon
from benchmarks.learning import Learning, measure_learning
from benchmarks.many_actors import ManyActors, measure_many_actors
from benchmarks.memory import Memory, measure_memory
from benchmarks.monitoring import Monitoring, measure_monitoring
from benchmarks.on_cluster import OnCluster, measure_on_cluster
from benchmarks.one_process import OneProcess, measure_one_process
from benchmarks.pictures import Pictures, take_pictures
from benchmarks.replay_core import ReplayCore, measure_replay_core
from benchmarks.replay_shards import ReplayShards, measure_replay_shards
from benchmarks.samples_per_insert import SamplesPerInsert, measure_samples_per_insert
from benchmarks.scaling import Scaling, measure_scaling
from benchmarks.solve import Solve, measure_solve
from benchmarks.stability import Stability, measure_stability
from benchmarks.startup import Startup, measure_startup
from benchmarks.step_parts import StepParts, measure_step_parts
from common.config import BadInput

Benchmark = (
    Annotated[Solve, subcommand("solve")]
    | Annotated[OneProcess, subcommand("one-process")]
    | Annotated[Stability, subcommand("stability")]
    | Annotated[Environments, subcommand("environments")]
    | Annotated[Ablation, subcommand("ablation")]
    | Annotated[SamplesPerInsert, subcommand("samples-per-insert")]
    | Annotated[Epsilon, subcommand("epsilon")]
    | Annotated[Cold, subcommand("cold")]
    | Annotated[Startup, subcommand("startup")]
    | Annotated[Builds, subcommand("builds")]
    | Annotated[Collection, subcommand("collection")]
    | Annotated[Learning, subcommand("learning")]
    | Annotated[StepParts, subcommand("step-parts")]
    | Annotated[ReplayCore, subcommand("replay-core")]
    | Annotated[ReplayShards, subcommand("replay-shards")]
    | Annotated[Memory, subcommand("memory")]
    | Annotated[ManyActors, subcommand("many-actors")]
    | Annotated[Scaling, subcommand("scaling")]
    | Annotated[CostModel, subcommand("cost-model")]
    | Annotated[Monitoring, subcommand("monitoring")]
    | Annotated[OnCluster, subcommand("on-cluster")]
    | Annotated[Pictures, subcommand("pictures")]
)
_MEASURES: dict[type, Callable[[Any], list[dict[str, Any]]]] = {
    Solve: measure_solve,
    OneProcess: measure_one_process,
    Stability: measure_stability,
    Environments: measure_environments,
    Ablation: measure_ablation,
    SamplesPerInsert: measure_samples_per_insert,
    Epsilon: measure_epsilon,
    Cold: measure_cold,
    Startup: measure_startup,
    Builds: measure_builds,
    Collection: measure_collection,
    Learning: measure_learning,
    StepParts: measure_step_parts,
    ReplayCore: measure_replay_core,
    ReplayShards: measure_replay_shards,
    Memory: measure_memory,
    ManyActors: measure_many_actors,
    Scaling: measure_scaling,
    CostModel: measure_cost_model,
    Monitoring: measure_monitoring,
    OnCluster: measure_on_cluster,
    Pictures: take_pictures,
}


def main(benchmark: Benchmark, json_file: Annotated[Path | None, tyro.conf.arg(name="json")] = None) -> int:
    """Runs one measurement, prints its table, and writes its rows with --json FILE. Returns the exit code."""
    try:
        rows = _MEASURES[type(benchmark)](benchmark)
    except BadInput as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if json_file is not None:
        json_file.write_text(json.dumps(rows, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    flat = (tyro.conf.OmitArgPrefixes, tyro.conf.OmitSubcommandPrefixes, tyro.conf.CascadeSubcommandArgs)
    sys.exit(tyro.cli(main, config=flat))
