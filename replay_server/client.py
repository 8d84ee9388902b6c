"""Clients of the replay server: the actors' writer and the learner's reader. They hold the calls in flight."""

from __future__ import annotations

import time
from collections import deque
from contextlib import suppress
from typing import Any

import numpy as np
import ray
from numpy.typing import NDArray
from ray.actor import ActorHandle
from ray.exceptions import ActorUnavailableError, GetTimeoutError

from common.params import decode
from common.types import AddReply, Chunk, SampleReply, SampleRequest
from replay_server.request import encode

ANSWER_DEADLINE_S = 60.0  # the server answers every call within seconds, so silence this long is a failure
RESEND_DEADLINE_S = 30.0
CALLS_IN_FLIGHT = 3  # sample calls of a reader


def _get(ref: Any, what: str) -> Any:
    """In two waits: a process that was stopped during the first finds it timed out, though the answer is there."""
    with suppress(GetTimeoutError):
        return ray.get(ref, timeout=ANSWER_DEADLINE_S / 2)
    try:
        return ray.get(ref, timeout=ANSWER_DEADLINE_S / 2)
    except GetTimeoutError:
        raise TimeoutError(f"the replay server has not answered {what} for {ANSWER_DEADLINE_S:.0f} s") from None


class ReplayWriter:
    """Ships chunks, one in flight. A chunk whose fate is unknown is sent again: the server inserts it once."""

    def __init__(self, server: ActorHandle[Any]) -> None:
        self._server = server

    def add(self, chunk: Chunk) -> AddReply:
        """Returns once the actor may go on. Raises TimeoutError or RayActorError when the server is gone."""
        reply = self._send(chunk)
        while reply.held and not reply.stop:
            reply = self._wait_for_ack(chunk)
        if reply.params is not None:
            content = reply.params.content
            message = ray.get(content[0], timeout=ANSWER_DEADLINE_S) if isinstance(content, list) else content
            reply = reply._replace(params=reply.params._replace(content=decode(message)))
        return reply

    def _send(self, chunk: Chunk) -> AddReply:
        deadline = time.monotonic() + RESEND_DEADLINE_S
        while True:
            try:
                reply: AddReply = _get(self._server.add.remote(chunk), "an insert")
                return reply
            except ActorUnavailableError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def _wait_for_ack(self, chunk: Chunk) -> AddReply:
        try:
            reply: AddReply = _get(self._server.wait_for_ack.remote(chunk.params_held), "an ack")
            return reply
        except ActorUnavailableError:
            return self._send(chunk)


class ReplayReader:
    """Keeps sample calls in flight, so that the learner finds rows waiting."""

    def __init__(self, server: ActorHandle[Any], rows_per_call: int, calls_in_flight: int = CALLS_IN_FLIGHT) -> None:
        self._server = server
        self._rows = rows_per_call
        self._calls = calls_in_flight
        self._pending: deque[Any] = deque()

    def sample(self, ids: NDArray[np.int64], priority: NDArray[np.float32]) -> SampleReply:
        """The oldest call's reply; sends the |TD error| of earlier rows along with the next call."""
        ask = self._server.sample_encoded.remote
        self._pending.append(ask(encode(SampleRequest(rows=self._rows, ids=ids, priority=priority))))
        while len(self._pending) < self._calls:
            self._pending.append(ask(encode(SampleRequest(rows=self._rows, ids=ids[:0], priority=priority[:0]))))
        reply: SampleReply = _get(self._pending.popleft(), "a sample call")
        return reply
