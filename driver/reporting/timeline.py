"""timeline.json: what a run's processes did when, in the Chrome trace format, which https://ui.perfetto.dev opens.

For each role a track of its activities, and its calls as Ray recorded them; for the run its figures as counters. Times
are microseconds since the start that seconds_to_solve counts from.

A role switches between activities thousands of times a second, so their track tells how much time each took of about a
second, one after the other in the order of common/time_use.py. It is made of the rows of metrics.parquet, and so is
that of the actors, which are added up there.

The file is bounded, however long the run was: MOST_MOMENTS rows and the newest TIMELINE_CALLS calls are some 10 MB.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import ray

from common.return_text import return_text
from common.run_files import METRICS, TIMELINE
from common.time_use import ACTIVITIES, column
from driver.ray_environment import TIMELINE_CALLS

MOST_MOMENTS = 3000  # of a longer run every second row is drawn, or every third, ...
_COUNTERS = (
    "env_steps_per_second", "learner_steps_per_second", "recent_return", "evaluation_return", "samples_per_insert",
    "policy_lag_recent", "replay_fill", "actors_alive",
)  # fmt: skip
_CALL = "task::"  # before what Ray records of a call as a whole; it records its parts under other names
_RUN = "the run"
_ACTIVITIES_TRACK = 0  # the others are for calls: one, and more where some overlap

Event = dict[str, Any]


class Call(NamedTuple):
    """One call of a role's method; times in microseconds since the run's start."""

    role: str
    method: str
    start: float
    duration: float
    node: str


def draw_timeline(run: Path, began: float) -> None:
    """Of a run of this Ray session, from its metrics.parquet and what Ray recorded. `began`: as of time.time().

    Ray's workers report once a second, so the calls of the last second before their end may be missing.
    """
    import pyarrow.parquet  # here, because the start should not wait for it

    recorded = ray.timeline()
    calls = read_calls(recorded, ray.get_runtime_context().get_job_id(), began)
    write_timeline(run / TIMELINE, pyarrow.parquet.read_table(run / METRICS), calls)


def write_timeline(path: Path, metrics: Any, calls: Sequence[Call]) -> None:
    """`metrics`: a pyarrow Table as in metrics.parquet."""
    progress = _rows(metrics, ["progress"])
    looks = _rows(metrics, ["look", "second_look", "confirmation"])
    calls = sorted(calls, key=lambda call: call.start)[-TIMELINE_CALLS:]
    called = sorted({call.role for call in calls})
    names = [_RUN, *dict.fromkeys([*ACTIVITIES, *called])]
    numbers = {name: number for number, name in enumerate(names)}
    events = [
        *_names(numbers),
        *_counters(progress, numbers[_RUN]),
        *_looks(looks, numbers["evaluator"]),
        *(event for role in ACTIVITIES for event in _activities(progress, role, numbers[role])),
        *(event for role in called for event in _calls([call for call in calls if call.role == role], numbers[role])),
    ]
    temporary = path.with_name(f".{path.name}")
    temporary.write_text(json.dumps({"traceEvents": events}, separators=(",", ":")))
    temporary.rename(path)


def read_calls(recorded: Sequence[Event], job_id: str, began: float) -> list[Call]:
    """Of what `ray.timeline()` returns, the calls of this job since `began`, as of time.time().

    The name of a role's class is the role's own in such a run, see launch.py.
    """
    calls = []
    for event in recorded:
        start = event["ts"] - 1e6 * began
        if event["cat"].startswith(_CALL) and event["args"]["task_id"].endswith(job_id) and start >= 0:
            role = event["cat"].removeprefix(_CALL).split(".")[0].split(":")[0]
            calls.append(Call(role, event["name"], start, event["dur"], event["pid"]))
    return calls


def _rows(metrics: Any, kinds: Sequence[str]) -> list[dict[str, Any]]:
    """Of these kinds, evenly thinned. Columns of seconds are sums since the start: no time is lost with a row."""
    places = np.flatnonzero(np.isin(metrics["kind"].to_numpy(zero_copy_only=False), kinds))
    step = max(1, -(-len(places) // MOST_MOMENTS))
    rows: list[dict[str, Any]] = metrics.take(places[::step]).to_pylist()
    return rows


def _names(numbers: Mapping[str, int]) -> Iterator[Event]:
    for name, number in numbers.items():
        yield {"ph": "M", "name": "process_name", "pid": number, "args": {"name": name}}
        yield {"ph": "M", "name": "process_sort_index", "pid": number, "args": {"sort_index": number}}
        if name in ACTIVITIES:
            track = "activities, summed over about a second"
            yield _track(number, _ACTIVITIES_TRACK, track)


def _track(process: int, track: int, name: str) -> Event:
    return {"ph": "M", "name": "thread_name", "pid": process, "tid": track, "args": {"name": name}}


def _microseconds(seconds: float) -> float:
    return round(1e6 * seconds, 1)


def _counters(rows: Sequence[Mapping[str, Any]], process: int) -> Iterator[Event]:
    for row in rows:
        for name in _COUNTERS:
            if row[name] is not None:
                yield {
                    "ph": "C",
                    "name": name,
                    "pid": process,
                    "ts": _microseconds(row["seconds"]),
                    "args": {name: row[name]},
                }


def _looks(rows: Sequence[Mapping[str, Any]], process: int) -> Iterator[Event]:
    """A mark where the driver heard of each."""
    for row in rows:
        args = {name: row[name] for name in ("learner_steps", "env_steps", "evaluation_return", "evaluation_std")}
        name = f"{row['kind']} {return_text(row['evaluation_return'])}"
        mark = {"ph": "i", "s": "p", "pid": process, "tid": _ACTIVITIES_TRACK}
        yield {**mark, "name": name, "ts": _microseconds(row["seconds"]), "args": args}


def _activities(rows: Sequence[Mapping[str, Any]], role: str, process: int) -> Iterator[Event]:
    """The time from one row to the next in proportion; an activity is counted when it ends, which may take seconds."""
    since = rows[0]["seconds"] if rows else 0.0
    for before, after in pairwise(rows):
        names = {activity: column(role, activity) for activity in ACTIVITIES[role]}
        spent = {activity: after[name] - before[name] for activity, name in names.items()}
        total = sum(spent.values())
        if total <= 0:
            continue
        stretch = (after["seconds"] - since) / total  # of all actors together more than one second passes in one
        for activity, seconds in spent.items():
            if seconds > 0:
                width = seconds * stretch
                span = {"ph": "X", "name": activity, "pid": process, "tid": _ACTIVITIES_TRACK}
                times = {"ts": _microseconds(since), "dur": _microseconds(width)}
                yield {**span, **times, "args": {"seconds": round(seconds, 6)}}
                since += width
        since = after["seconds"]


def _calls(calls: Sequence[Call], process: int) -> Iterator[Event]:
    """In the order of their starts. A viewer draws only nested spans on one track, so those that overlap get others."""
    ends: list[float] = []  # of the last call on each track
    for call in calls:
        track = next((number for number, end in enumerate(ends) if end <= call.start), len(ends))
        if track == len(ends):
            ends.append(0.0)
            yield _track(process, track + 1, "calls")
        ends[track] = call.start + call.duration
        span = {"ph": "X", "name": call.method, "pid": process, "tid": track + 1}
        yield {**span, "ts": round(call.start, 1), "dur": round(call.duration, 1), "args": {"node": call.node}}
