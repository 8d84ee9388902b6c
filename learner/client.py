"""Clients of the params: the learner's broadcaster, and the reader with which an actor fetches them at its start."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

import ray
from ray.actor import ActorHandle
from ray.exceptions import GetTimeoutError, RayActorError

from common.config import INLINE_LIMIT_BYTES
from common.types import Params

CONTROL_GROUP = "control"  # the concurrency group beside a role's `run`
_CALLS_IN_FLIGHT = 2  # per receiver; one that is further behind gets a newer version later
_READY_DEADLINE_S = 120.0


class ParamsBroadcaster:
    """Sends each version to every receiver, and its number to the replay server.

    Small params go by value inside each call, larger ones as one object that each node pulls once.
    """

    def __init__(self, receivers: Sequence[ActorHandle[Any]], replay: ActorHandle[Any]) -> None:
        self._receivers = [receiver.set_params.options(concurrency_group=CONTROL_GROUP) for receiver in receivers]
        self._replay = replay
        self._pending: list[deque[Any]] = [deque() for _ in receivers]
        self._announcements: deque[Any] = deque()

    def publish(self, params: Params) -> None:
        """Returns at once. Raises what a receiver raised on an earlier version; the dead are passed over."""
        _collect(self._announcements)
        self._announcements.append(self._replay.announce.remote(params.version))
        message = params if _bytes(params) < INLINE_LIMIT_BYTES - 4096 else ray.put(params)
        for receiver, pending in zip(self._receivers, self._pending, strict=True):
            _collect(pending)
            if len(pending) < _CALLS_IN_FLIGHT:
                pending.append(receiver.remote(message))


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
    """Drops finished calls from the front, raising their errors except that of a dead receiver."""
    while pending and ray.wait([pending[0]], timeout=0)[0]:
        try:
            ray.get(pending.popleft())
        except RayActorError:  # killed: the driver replaces it, and the new process fetches the newest itself
            continue


def _bytes(params: Params) -> int:
    return sum(array.nbytes for array in params.arrays.values())
