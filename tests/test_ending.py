"""What the driver does about the last looks of a run."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any, cast

import pytest
import ray

from driver.reporting.observer import Observer
from driver.supervision.ending import Ending
from driver.supervision.topology import Role, Roles


class Called(Role):
    """A role that is not there: it notes what it is called for."""

    def __init__(self, name: str) -> None:
        super().__init__(name, create=lambda: None)
        self.calls: list[tuple[Any, ...]] = []

    def call(self, method: str, *args: Any, group: str | None = None) -> None:
        self.calls.append((method, *args))


class Looking:
    """An evaluator in its last look."""

    def look(self) -> None:
        """Without an end."""
        threading.Event().wait()


@pytest.fixture
def looking(ray_session: None) -> Iterator[Any]:
    handle = ray.remote(num_cpus=0)(Looking).remote()
    yield handle
    ray.kill(handle)


def told(last_look: Any, hurry_at: int) -> tuple[list[tuple[Any, ...]], int]:
    """What the evaluator was called for, and how often the driver asked whether to hurry."""
    evaluator = Called("evaluator")
    roles = Roles(replay=Called("replay server"), shards=(), learner=Called("learner"), evaluator=evaluator, actors=())
    asked: list[None] = []

    def hurry() -> bool:
        asked.append(None)
        return len(asked) >= hurry_at

    Ending(roles, cast("Observer", None)).stop([], last_look, run_seconds=1.0, hurry=hurry)
    return evaluator.calls, len(asked)


def test_the_last_looks_end_when_a_signal_comes(looking: Any) -> None:
    assert told(looking.look.remote(), hurry_at=3) == ([("stop", True), ("stop", False)], 3)


def test_a_signal_before_the_last_looks_leaves_no_time_for_them(looking: Any) -> None:
    assert told(looking.look.remote(), hurry_at=1) == ([("stop", True), ("stop", False)], 1)


def test_without_last_looks_the_evaluator_is_only_stopped() -> None:
    assert told(None, hurry_at=1) == ([("stop", False)], 0)
