"""timeline.json of --timeline, out of rows and recorded calls made by hand."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from common.time_use import ACTIVITIES, columns
from driver.ray_environment import TIMELINE_CALLS
from driver.reporting.run_folder import metrics_schema
from driver.reporting.timeline import MOST_MOMENTS, Call, read_calls, write_timeline

JOB = "01000000"


def metrics(*rows: dict[str, Any]) -> Any:
    """The table of metrics.parquet; of a moment what is not named is 0."""
    zero = {"kind": "progress", "env_steps_per_second": 0.0, **dict.fromkeys(columns(), 0.0)}
    return pa.Table.from_pylist([row if "kind" in row else {**zero, **row} for row in rows], schema=metrics_schema())


def drawn(path: Path, table: Any, *calls: Call) -> list[dict[str, Any]]:
    write_timeline(path, table, calls)
    events: list[dict[str, Any]] = json.loads(path.read_text())["traceEvents"]
    return events


def spans(events: list[dict[str, Any]], process: str) -> list[tuple[str, float, float]]:
    """Name, start and duration in seconds of the spans of a role, in the file's order."""
    (number,) = (event["pid"] for event in events if event["ph"] == "M" and event["args"] == {"name": process})
    return [
        (event["name"], event["ts"] / 1e6, event["dur"] / 1e6)
        for event in events
        if event["ph"] == "X" and event["pid"] == number
    ]


def recorded(cat: str, start: float, job: str = JOB, name: str = "add") -> dict[str, Any]:
    """As ray.timeline() has it; `start` in seconds."""
    ids = {"name": name, "task_id": "ab" * 20 + job}
    return {
        "cat": cat,
        "name": name,
        "pid": "10.0.0.7",
        "tid": "worker:x",
        "ts": 1e6 * start,
        "dur": 250.0,
        "args": ids,
    }


def test_calls_are_those_of_this_run_with_the_role_that_did_them() -> None:
    events = [
        recorded("task::replay-1.add", 102.0),
        recorded("task::actor-3:actor-3.__init__", 101.0, name="__init__"),
        recorded("task::replay-1.add", 99.0),  # of the run before it in the same session
        recorded("task::replay-1.add", 103.0, job="02000000"),  # of somebody else on the cluster
        {**recorded("task:execute", 102.0), "args": {}},  # a part of the first
    ]
    assert read_calls(events, JOB, began=100.0) == [
        Call("replay-1", "add", pytest.approx(2e6), 250.0, "10.0.0.7"),
        Call("actor-3", "__init__", pytest.approx(1e6), 250.0, "10.0.0.7"),
    ]


def test_activities_fill_the_time_between_rows_in_proportion(tmp_path: Path) -> None:
    table = metrics(
        {"seconds": 10.0},
        {"seconds": 11.0, "learner_sampling_seconds": 0.25, "learner_updating_seconds": 0.75},
        {"seconds": 12.0, "learner_sampling_seconds": 0.25, "learner_updating_seconds": 1.75},
    )
    assert spans(drawn(tmp_path / "t.json", table), "learner") == [
        ("sampling", 10.0, 0.25),
        ("updating", 10.25, 0.75),
        ("updating", 11.0, 1.0),
    ]


def test_an_activity_that_took_longer_than_a_row_covers_all_its_time(tmp_path: Path) -> None:
    """It is counted when it ends."""
    table = metrics(
        {"seconds": 1.0},
        {"seconds": 2.0},
        {"seconds": 3.0},
        {"seconds": 4.0, "evaluator_waiting_seconds": 3.0},
    )
    assert spans(drawn(tmp_path / "t.json", table), "evaluator") == [("waiting", 1.0, 3.0)]


def test_the_actors_together_take_no_more_than_the_time_that_passes(tmp_path: Path) -> None:
    table = metrics({"seconds": 1.0}, {"seconds": 2.0, "actors_acting_seconds": 2.0, "actors_waiting_seconds": 6.0})
    events = drawn(tmp_path / "t.json", table)
    assert spans(events, "actors") == [("acting", 1.0, 0.25), ("waiting", 1.25, 0.75)]
    assert [event["args"]["seconds"] for event in events if event["ph"] == "X"] == [2.0, 6.0]


def test_calls_that_overlap_are_on_tracks_of_their_own(tmp_path: Path) -> None:
    """A viewer drops spans that overlap on one track without one being inside the other."""
    times = [(0, 10), (5, 10), (12, 2), (14, 6), (15, 1)]
    calls = [Call("replay", "add", 1e6 * start, 1e6 * duration, "10.0.0.7") for start, duration in times]
    events = [event for event in drawn(tmp_path / "t.json", metrics(), *calls) if event["ph"] == "X"]
    ends: dict[int, float] = defaultdict(float)
    for event in sorted(events, key=lambda event: event["ts"]):
        assert event["ts"] >= ends[event["tid"]]
        ends[event["tid"]] = event["ts"] + event["dur"]
    assert len(events) == len(times)
    assert sorted(ends) == [1, 2]


def test_looks_are_marked_and_figures_are_counters(tmp_path: Path) -> None:
    look = {"kind": "look", "seconds": 5.5, "env_steps": 900, "learner_steps": 400, "evaluation_return": 321.04}
    table = metrics({"seconds": 5.0, "env_steps_per_second": 4000.0}, look)
    events = drawn(tmp_path / "t.json", table)
    (mark,) = (event for event in events if event["ph"] == "i")
    assert (mark["name"], mark["ts"], mark["args"]["learner_steps"]) == ("look 321.0", 5.5e6, 400)
    counters = {event["name"]: event["args"] for event in events if event["ph"] == "C"}
    assert counters == {"env_steps_per_second": {"env_steps_per_second": 4000.0}}  # the others have no value yet


def test_processes_and_tracks_are_whole_numbers_with_names(tmp_path: Path) -> None:
    """As the format has it; Ray's own file has texts there."""
    events = drawn(tmp_path / "t.json", metrics(), Call("actor-0", "run", 0.0, 1.0, "10.0.0.7"))
    named = {event["pid"]: event["args"]["name"] for event in events if event["name"] == "process_name"}
    assert list(named.values()) == ["the run", *ACTIVITIES, "actor-0"]
    for event in events:
        assert event["pid"] in named
        assert isinstance(event.get("tid", 0), int)


def test_the_file_of_a_long_run_is_bounded_and_loses_no_activity(tmp_path: Path) -> None:
    count = 5 * MOST_MOMENTS
    seconds = np.arange(float(count))
    table = pa.table({name: np.zeros(count) for name in columns()})
    table = table.set_column(0, columns()[0], pa.array(0.5 * seconds))  # of the actors
    for name in metrics_schema().names:
        if name not in table.column_names:
            table = table.append_column(name, pa.nulls(count))
    table = table.set_column(table.column_names.index("seconds"), "seconds", pa.array(seconds))
    table = table.set_column(table.column_names.index("kind"), "kind", pa.array(["progress"] * count))
    calls = [Call("replay", "add", 1e3 * start, 900.0, "10.0.0.7") for start in range(TIMELINE_CALLS + 10)]
    events = drawn(tmp_path / "t.json", table, *calls)
    activities = [event for event in events if event["ph"] == "X" and event["tid"] == 0]
    drawn_calls = [event for event in events if event["ph"] == "X" and event["tid"] > 0]
    assert len(activities) == MOST_MOMENTS - 1
    assert sum(event["args"]["seconds"] for event in activities) == 0.5 * 5 * (MOST_MOMENTS - 1)
    assert len(drawn_calls) == TIMELINE_CALLS
    assert drawn_calls[-1]["ts"] == 1e3 * (TIMELINE_CALLS + 9)  # the newest


def test_a_run_that_measured_nothing_has_a_timeline_too(tmp_path: Path) -> None:
    events = drawn(tmp_path / "t.json", metrics())
    assert {event["ph"] for event in events} == {"M"}
