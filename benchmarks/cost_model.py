"""What does each piece of work cost, and what do these costs say of sizes that were not measured?

The rate limiter ties everything to the learner step: each needs batch_size / samples_per_insert new transitions. So a
run is as fast as the first part that has no time left, and a part's time is a sum of pieces of work x their cost.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from scipy.optimize import nnls

from benchmarks.scaling import CURVES, FOR_THE_MODEL, Point, by_point, on_curve
from common.config import ActorConfig, BadInput, LearnerConfig
from common.messages import minibatches_per_call
from common.params import layer_shapes
from driver import ray_environment

BAR = 0.25  # of a prediction's error
_OBSERVATION, _ACTIONS = 4, 2  # CartPole's
_SYNC = LearnerConfig().target_sync_learner_steps
Work = dict[str, float]  # piece of work -> how much of it
Cost = dict[str, float]  # piece of work -> CPU seconds each


@dataclass(frozen=True)
class CostModel:
    """Fits the costs on every other point of `python -m benchmarks scaling --json FILE` and predicts the rest."""

    rows: Path
    """What scaling wrote with --json."""
    cluster_actors: int = 256
    """Actors of a cluster where every role has a core of its own."""


class Costs(NamedTuple):
    """CPU seconds of each piece of work, by the part that does it."""

    learner: Cost
    replay: Cost
    actor: Cost
    others: Cost


def measure_cost_model(settings: CostModel) -> list[dict[str, Any]]:
    """Rows of three kinds: the costs, every point predicted, and the limits of the cluster."""
    ray_environment.prepare(embedded=True)  # it decides how many minibatches a reply carries
    rows = read_rows(settings.rows)
    points = by_point(rows)
    fitted = fitted_points(rows)
    costs = fit_costs({point: points[point] for point in fitted})
    result: list[dict[str, Any]] = [
        {"kind": "cost", "part": part, "work": work, "seconds": seconds}
        for part, cost in costs._asdict().items()
        for work, seconds in cost.items()
    ]
    for point, repetitions in points.items():
        result.append({"fitted": point in fitted, **describe_prediction(point, repetitions, costs)})
    chunk_rows = ActorConfig(actors=settings.cluster_actors).rows_per_chunk
    cluster = Point(actors=settings.cluster_actors, chunk_rows=chunk_rows)
    for part, steps in limits(cluster, costs, cores=math.inf).items():
        result.append(
            {
                "kind": "cluster",
                "part": part,
                "learner_steps_per_second": steps,
                "env_steps_per_second": steps * transitions(cluster),
            }
        )
    report(result, settings)
    return result


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Raises BadInput on a file that scaling did not write."""
    try:
        rows = json.loads(path.read_text())
        known = isinstance(rows, list) and bool(rows) and all({"curves", "cpu"} <= row.keys() for row in rows)
    except (OSError, ValueError, AttributeError):
        known = False
    if not known:
        raise BadInput(f"--rows {path}: must be the file of `python -m benchmarks scaling --json FILE`")
    return list(rows)


def fitted_points(rows: list[dict[str, Any]]) -> list[Point]:
    """Every other point of each curve, from its first on, and all that were measured for the model alone."""
    chosen = [point for curve in CURVES for point in list(on_curve(rows, curve))[::2]]
    chosen += [point for curve in FOR_THE_MODEL for point in on_curve(rows, curve)]
    return list(dict.fromkeys(chosen))


# How much work there is


def transitions(point: Point) -> float:
    """Inserted for each learner step, by the limiter's law; as many environment steps are played."""
    return point.batch_size / point.samples_per_insert


def sample_calls(point: Point) -> float:
    """For each learner step."""
    return 1 / minibatches_per_call(point.batch_size, _OBSERVATION, point.samples_per_insert)


def insert_calls(point: Point) -> float:
    """For each learner step. All environments step together, so a chunk is a whole number of such steps."""
    return transitions(point) / (math.ceil(point.chunk_rows / point.envs_per_actor) * point.envs_per_actor)


def params_messages(point: Point) -> float:
    """For each learner step: after a sync, one to every actor with its next ack; the learner sends two, always."""
    return point.actors / _SYNC


def weights(point: Point) -> float:
    """Of the network, in millions; a row's forward pass is twice as many floating-point operations."""
    shapes = layer_shapes(_OBSERVATION, (point.hidden, point.hidden), _ACTIONS).values()
    return sum(math.prod(shape) for shape in shapes) / 1e6


def learner_work(point: Point) -> Work:
    """Of one learner step."""
    return {
        "step": 1.0,  # starting the operations, whatever their size
        "row": point.batch_size,  # copying it, its errors
        "unit of a row": 2 * point.batch_size * point.hidden,  # what is done with every activation
        "Mflop": 10 * point.batch_size * weights(point),  # forward 2 rows online, 1 target; backward twice a forward
        "sample call": sample_calls(point),
    }


def replay_work(point: Point) -> Work:
    """Of the replay server for one learner step."""
    return {
        "transition inserted": transitions(point),
        "row sampled": point.batch_size,
        "call": insert_calls(point) + sample_calls(point),
        "params message": params_messages(point),
    }


def actor_work(point: Point) -> Work:
    """Of all actors for one learner step."""
    return {
        "vector step": transitions(point) / point.envs_per_actor,  # what numpy costs whatever the number of rows
        "transition": transitions(point),
        "Mflop": 2 * transitions(point) * weights(point),
        "chunk": insert_calls(point),
        "params message": params_messages(point),
    }


def others_work(point: Point, learner_steps: float) -> Work:
    """Of driver, evaluator and Ray's own processes in one second."""
    return {"second": 1.0, "call": learner_steps * (insert_calls(point) + sample_calls(point))}


# What it costs, and what follows


def fit_costs(points: dict[Point, list[dict[str, Any]]]) -> Costs:
    """From the medians of each point's repetitions."""
    steps = {point: _median(rows, "learner_steps_per_second") for point, rows in points.items()}
    cpu = {point: {part: _median_cpu(rows, part) for part in rows[0]["cpu"]} for point, rows in points.items()}
    return Costs(
        learner=_fit([(learner_work(point), cpu[point]["learner"] / steps[point]) for point in points]),
        replay=_fit([(replay_work(point), cpu[point]["replay server"] / steps[point]) for point in points]),
        actor=_fit([(actor_work(point), cpu[point]["actors"] / steps[point]) for point in points]),
        others=_fit([(others_work(point, steps[point]), cpu[point]["others"]) for point in points]),
    )


def _fit(measured: list[tuple[Work, float]]) -> Cost:
    """Costs of at least 0 that miss the CPU seconds measured least, every miss as a share of them."""
    works = list(measured[0][0])
    if len(measured) < len(works):
        raise BadInput(f"--rows: {len(measured)} points to fit and {len(works)} unknown costs; measure more points")
    shares = np.array([[work[name] / seconds for name in works] for work, seconds in measured])
    scale = shares.max(axis=0)  # pieces differ by orders of magnitude
    cost, _ = nnls(shares / scale, np.ones(len(measured)))
    return dict(zip(works, (cost / scale).tolist(), strict=True))


def limits(point: Point, costs: Costs, cores: float) -> dict[str, float]:
    """Learner steps per second at which each part has no time left; what the cores share, only where they are few."""
    learner, replay, actor = (
        _seconds(learner_work(point), costs.learner),
        _seconds(replay_work(point), costs.replay),
        _seconds(actor_work(point), costs.actor),
    )
    inserts = transitions(point) * costs.replay["transition inserted"] + insert_calls(point) * costs.replay["call"]
    found = {
        "learner": 1 / learner,
        "replay server": 1 / replay,
        "actors": point.actors / (actor + inserts),  # an actor waits while the server takes its chunk
    }
    if math.isfinite(cores):
        idle = others_work(point, 0.0)
        calls = _seconds(others_work(point, 1.0), costs.others) - _seconds(idle, costs.others)
        found["all cores"] = (cores - _seconds(idle, costs.others)) / (learner + replay + actor + calls)
    return found


def describe_prediction(point: Point, repetitions: list[dict[str, Any]], costs: Costs) -> dict[str, Any]:
    """Measured and predicted rates of one point, and the part that limits it."""
    found = limits(point, costs, repetitions[0]["cores"])
    part = min(found, key=lambda name: found[name])
    predicted = {
        "learner_steps_per_second": found[part],
        "env_steps_per_second": found[part] * transitions(point),
    }
    row = {"kind": "prediction", "curves": repetitions[0]["curves"], **point._asdict(), "limits": found, "limit": part}
    for rate, value in predicted.items():
        measured = _median(repetitions, rate)
        row[rate] = {"measured": measured, "predicted": value, "error": value / measured - 1}
    return row


def _seconds(work: Work, cost: Cost) -> float:
    return sum(amount * cost[name] for name, amount in work.items())


def _median(rows: list[dict[str, Any]], rate: str) -> float:
    return float(np.median([row[rate] for row in rows]))


def _median_cpu(rows: list[dict[str, Any]], part: str) -> float:
    return float(np.median([row["cpu"][part] for row in rows]))


# Tables


def report(rows: list[dict[str, Any]], settings: CostModel) -> None:
    """Costs, predictions and the cluster."""
    costs = Table(title="costs, microseconds of CPU time each", box=SIMPLE, title_justify="left")
    for column in ("part", "piece of work"):
        costs.add_column(column)
    costs.add_column("µs", justify="right")
    for row in rows:
        if row["kind"] == "cost":
            costs.add_row(row["part"], row["work"], f"{1e6 * row['seconds']:,.4g}")
    Console().print(costs)
    predictions = [row for row in rows if row["kind"] == "prediction"]
    held_out = [row for row in predictions if not row["fitted"]]
    _report_predictions("fitted", [row for row in predictions if row["fitted"]])
    _report_predictions("held out", held_out)
    errors = [
        abs(row[rate]["error"]) for row in held_out for rate in ("learner_steps_per_second", "env_steps_per_second")
    ]
    if errors:
        within = sum(error <= BAR for error in errors)
        print(
            f"held out: {within} of {len(errors)} rates within {100 * BAR:.0f} %; "
            f"error {100 * np.median(errors):.0f} % in the median, {100 * max(errors):.0f} % at most"
        )
    cluster = sorted(
        (row for row in rows if row["kind"] == "cluster"), key=lambda row: float(row["learner_steps_per_second"])
    )
    print(f"{settings.cluster_actors} actors, every role on a core of its own; what gives way, first to last:")
    for row in cluster:
        print(
            f"  {row['part']}: at {row['learner_steps_per_second']:,.0f} learner steps/s, "
            f"{row['env_steps_per_second']:,.0f} environment steps/s"
        )


def _report_predictions(title: str, rows: list[dict[str, Any]]) -> None:
    table = Table(title=title, box=SIMPLE, title_justify="left", pad_edge=False)
    table.add_column("point")
    for column in ("learner\nsteps/s", "predicted", "error", "env\nsteps/s", "error"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("limit")
    for row in rows:
        learner, env = row["learner_steps_per_second"], row["env_steps_per_second"]
        table.add_row(
            _label(row),
            f"{learner['measured']:,.0f}",
            f"{learner['predicted']:,.0f}",
            f"{100 * learner['error']:+.0f} %",
            f"{env['measured']:,.0f}",
            f"{100 * env['error']:+.0f} %",
            row["limit"],
        )
    Console().print(table)


def _label(row: dict[str, Any]) -> str:
    moved = [name for name, default in Point()._asdict().items() if row[name] != default]
    return ", ".join(f"{name.replace('_', ' ')} {row[name]:g}" for name in moved) or "the defaults"
