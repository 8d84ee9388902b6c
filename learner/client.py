"""Clients of the params: the learner's broadcaster, and the reader with which an actor fetches them at its start."""

from __future__ import annotations

import time
from collections import deque
from contextlib import suppress
from typing import Any

import ray
from ray.actor import ActorHandle
from ray.exceptions import GetTimeoutError, RayActorError

from common.params import encode
from common.types import Params

CONTROL_GROUP = "control"  # the concurrency group beside a role's `run`
_CALLS_IN_FLIGHT = 2  # of the evaluator: further behind it gets a newer version later
_READY_DEADLINE_S = 120.0


class ParamsBroadcaster:
    """Hands each version to the evaluator and to the replay server, which passes it on with its acks to all actors.

    So a sync costs the learner two calls, however many actors there are. Small params go by value inside the calls,
    larger ones as one object that each node pulls once.
    """

    def __init__(self, replay: ActorHandle[Any], evaluator: ActorHandle[Any], by_value_bytes: int) -> None:
        """`by_value_bytes`: the largest message that goes by value."""
        self._by_value_bytes = by_value_bytes
        self._publish = replay.publish
        self._evaluate = evaluator.take.options(concurrency_group=CONTROL_GROUP)
        self._publications: deque[Any] = deque()
        self._evaluations: deque[Any] = deque()

    def publish(self, params: Params) -> None:
        """Returns at once. Raises what a receiver raised on an earlier version; the dead are passed over."""
        message: Any = encode(params)
        content: Any = message
        if len(message) > self._by_value_bytes:
            message = ray.put(message)
            content = [message]
        _collect(self._publications)
        self._publications.append(self._publish.remote(params.version, time.time(), content))
        _collect(self._evaluations)
        if len(self._evaluations) < _CALLS_IN_FLIGHT:
            self._evaluations.append(self._evaluate.remote(message))


class ParamsReader:
    """Fetches the newest params from the learner, which may still be starting."""

    def __init__(self, learner: ActorHandle[Any]) -> None:
        self._learner = learner

    def newest(self) -> Params:
        """Raises TimeoutError when the learner does not come up."""
        newest = self._learner.newest.options(concurrency_group=CONTROL_GROUP)
        try:
            params: Params = ray.get(newest.remote(), timeout=_READY_DEADLINE_S)
        except GetTimeoutError:
            raise TimeoutError(f"the learner has not handed out params for {_READY_DEADLINE_S:.0f} s") from None
        return params


def _collect(pending: deque[Any]) -> None:
    """Drops finished calls, raising their errors except that of a dead receiver."""
    finished = ray.wait([*pending], num_returns=len(pending), timeout=0)[0] if pending else []
    for ref in finished:
        pending.remove(ref)
        with suppress(RayActorError):  # the driver sees it too, and ends the run
            ray.get(ref)
