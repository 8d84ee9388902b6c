"""Clients of the replay server and its shards: the actors' writer, the learner's reader, a shard's coordinator.

They hold the calls in flight.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import ray
from numpy.typing import NDArray
from ray.actor import ActorHandle
from ray.exceptions import ActorUnavailableError, GetTimeoutError

from common.params import decode
from common.types import AddReply, Chunk, ChunkFacts, SampleReply, SampleRequest
from replay_server.request import encode
from replay_server.sharded_reader import ShardedReader
from replay_server.sharding import shard_of_chunk

ANSWER_DEADLINE_S = 60.0  # the server answers every call within seconds, so silence this long is a failure
RESEND_DEADLINE_S = 30.0
CALLS_IN_FLIGHT = 3  # sample calls of a reader
_RESEND_SECONDS = 0.1


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

    def __init__(self, *servers: ActorHandle[Any]) -> None:
        """The replay server, or all its shards in their order."""
        self._servers = servers

    def add(self, chunk: Chunk) -> AddReply:
        """Returns once the actor may go on. Raises TimeoutError or RayActorError when the server is gone."""
        server = self._servers[shard_of_chunk(chunk.actor_id, chunk.seq, len(self._servers))]
        reply = self._send(server, chunk)
        while reply.held and not reply.stop:
            reply = self._wait_for_ack(server, chunk)
        if reply.params is not None:
            content = reply.params.content
            message = ray.get(content[0], timeout=ANSWER_DEADLINE_S) if isinstance(content, list) else content
            reply = reply._replace(params=reply.params._replace(content=decode(message)))
        return reply

    def _send(self, server: ActorHandle[Any], chunk: Chunk) -> AddReply:
        deadline = time.monotonic() + RESEND_DEADLINE_S
        while True:
            try:
                reply: AddReply = _get(server.add.remote(chunk), "an insert")
                return reply
            except ActorUnavailableError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(_RESEND_SECONDS)

    def _wait_for_ack(self, server: ActorHandle[Any], chunk: Chunk) -> AddReply:
        try:
            reply: AddReply = _get(server.wait_for_ack.remote(chunk.params_held), "an ack")
            return reply
        except ActorUnavailableError:
            return self._send(server, chunk)


class CoordinatorClient:
    """The coordinator for a shard. A call whose fate is unknown is made again: the coordinator counts a chunk once."""

    def __init__(self, coordinator: ActorHandle[Any]) -> None:
        self._coordinator = coordinator

    async def add(self, facts: ChunkFacts) -> AddReply:
        """See Coordinator. The actor that waits for this has the deadline. Raises RayActorError."""
        return await _until_it_is_answered(lambda: self._coordinator.add.remote(facts))

    async def wait_for_ack(self, params_held: int) -> AddReply:
        """See Coordinator."""
        return await _until_it_is_answered(lambda: self._coordinator.wait_for_ack.remote(params_held))


async def _until_it_is_answered(call: Callable[[], Any]) -> AddReply:
    deadline = time.monotonic() + RESEND_DEADLINE_S
    while True:
        try:
            reply: AddReply = await call()
            return reply
        except ActorUnavailableError:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(_RESEND_SECONDS)


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


def sharded_reader(
    coordinator: ActorHandle[Any], shards: Sequence[ActorHandle[Any]], rows_per_call: int, seeds: np.random.SeedSequence
) -> ShardedReader:
    """What ReplayReader is for a single server."""
    ask = _Method(coordinator, "grant", "a request for samples")
    draw = [_Method(shard, "draw_encoded", "a draw") for shard in shards]
    return ShardedReader(ask, draw, rows_per_call, CALLS_IN_FLIGHT, seeds)


class _Method:
    """One of a Ray actor's methods; travels to the learner's process."""

    def __init__(self, handle: ActorHandle[Any], name: str, what: str) -> None:
        self._handle = handle
        self._name = name
        self._what = what

    def __call__(self, *args: Any) -> _Call:
        return _Call(getattr(self._handle, self._name).remote(*args), self._what)


class _Call:
    """A call under way."""

    def __init__(self, ref: Any, what: str) -> None:
        self._ref = ref
        self._what = what

    def arrived(self) -> bool:
        return bool(ray.wait([self._ref], timeout=0)[0])

    def value(self) -> Any:
        return _get(self._ref, self._what)
