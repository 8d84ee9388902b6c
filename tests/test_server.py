"""The single replay server on an event loop of its own: ring and coordinator together. Items hold their own ids."""

from __future__ import annotations

import numpy as np
import pytest
from event_loop import all_that_can_be_done, begin, on_a_loop
from fakes import assert_rows_are, chunk, episodes, packed

from common.config import ReplayConfig
from common.types import AddReply, Published, SampleReply, SampleRequest
from replay_server.request import encode
from replay_server.server import ReplayServer


def server(
    learning_starts: int = 4,
    tolerance: float = 4,
    capacity: int = 100,
    samples_per_insert: float = 1,
    max_env_steps: int | None = None,
) -> ReplayServer:
    """Sample calls of 4 rows, observations of 2 numbers."""
    config = ReplayConfig(
        replay_capacity_transitions=capacity,
        learning_starts_transitions=learning_starts,
        samples_per_insert=samples_per_insert,
        tolerance_samples=tolerance,
        max_env_steps=max_env_steps,
    )
    return ReplayServer(config, observation_size=2, rows_per_call=4, seeds=np.random.SeedSequence(1))


def request(rows: int = 4, ids: tuple[int, ...] = ()) -> SampleRequest:
    return SampleRequest(rows=rows, ids=np.array(ids, dtype=np.int64), priority=np.ones(len(ids), dtype=np.float32))


@on_a_loop
async def test_a_repeated_chunk_is_inserted_once() -> None:
    replay = server()
    sent = chunk(0, range(3), env_steps=5, finished=episodes(10, 20))
    replies = [await replay.add(sent) for _ in range(3)]
    assert replies == [AddReply(env_steps=5, terminations=1, held="", stop=False, params=None)] * 3
    stats = (await replay.report(0)).stats
    assert (stats.env_steps, stats.transitions, stats.replay_size, stats.chunks) == (5, 3, 3, 1)
    assert stats.duplicate_chunks == 2
    assert (await replay.report(0)).episodes.next == 2


@on_a_loop
async def test_the_ack_of_a_chunk_is_held_while_actors_are_ahead_and_released_when_samples_are_taken() -> None:
    """Budget after 13 insertions = 13 - 4 = 9, tolerance 4: held until 5 samples are gone."""
    replay = server(learning_starts=4, tolerance=4)
    adding = await begin(replay.add(chunk(0, range(13), env_steps=13)))
    assert not adding.done()
    stats = (await replay.report(0)).stats
    assert stats.transitions == 13  # the insert itself is always taken
    assert stats.actors_waiting == 1
    assert stats.waiting_for == "actors wait for the learner to take 5 more samples"

    await replay.sample(request(4))
    await all_that_can_be_done()
    assert not adding.done()
    assert (await replay.report(0)).stats.waiting_for == "actors wait for the learner to take 1 more samples"

    await replay.sample(request(1))
    assert await adding == AddReply(env_steps=13, terminations=0, held="", stop=False, params=None)
    stats = (await replay.report(0)).stats
    assert (stats.sampled, stats.actors_waiting, stats.waiting_for) == (5, 0, "")


@on_a_loop
async def test_a_sample_waits_until_enough_is_inserted() -> None:
    replay = server(learning_starts=5)
    sampling = await begin(replay.sample(request(4)))
    assert (await replay.report(0)).stats.waiting_for == "the learner waits for 5 more transitions"
    await replay.add(chunk(0, range(3), env_steps=3))
    await all_that_can_be_done()
    assert not sampling.done()
    assert (await replay.report(0)).stats.waiting_for == "the learner waits for 2 more transitions"
    await replay.add(chunk(1, range(3, 5), env_steps=2))
    reply: SampleReply = await sampling
    assert (reply.env_steps, reply.stop, reply.waiting_for) == (5, False, "")
    assert reply.rows is not None
    assert len(reply.rows["id"]) == 4
    assert set(reply.rows["id"].tolist()) <= set(range(5))
    assert_rows_are(reply.rows, reply.rows["id"])
    assert (await replay.report(0)).stats.waiting_for == ""


@on_a_loop
async def test_what_was_sampled_is_a_copy_of_what_came() -> None:
    replay = server(learning_starts=2)
    sent = chunk(0, range(3))
    await replay.add(sent)
    sent.rows.flags.writeable = True
    sent.rows["observation"] = 99
    rows = (await replay.sample(request(4))).rows
    assert_rows_are(rows, rows["id"])


@on_a_loop
async def test_whoever_calls_after_stop_is_told_so_at_once() -> None:
    replay = server(learning_starts=1)
    await replay.add(chunk(0, range(3)))
    await replay.stop()
    assert (await replay.add(chunk(1, range(3, 50)))).stop
    assert (await replay.wait_for_ack(0)).stop
    reply = await replay.sample(request(4))
    assert (reply.stop, reply.rows) == (True, None)


@on_a_loop
async def test_the_run_ends_at_the_limit_of_environment_steps() -> None:
    replay = server(max_env_steps=10)
    assert not (await replay.add(chunk(0, env_steps=9))).stop
    sampling = await begin(replay.sample(request(4)))
    assert not sampling.done()
    assert not (await replay.add(chunk(0, env_steps=9))).stop  # a repeat does not count
    assert await replay.add(chunk(1, env_steps=1)) == AddReply(
        env_steps=10, terminations=0, held="", stop=True, params=None
    )
    assert (await sampling).stop


@on_a_loop
async def test_an_ack_brings_what_the_learner_published() -> None:
    replay = server(learning_starts=4, tolerance=4)
    adding = await begin(replay.add(chunk(0, range(13), params_held=100)))
    await replay.publish(200, 0.0, "newest")
    assert not adding.done()
    for _ in range(3):
        await replay.sample(request(4))
    assert (await adding).params == Published(version=200, published_time=0.0, content="newest")


@on_a_loop
async def test_the_report_tells_of_its_ring_as_of_one_shard() -> None:
    replay = server(capacity=5, tolerance=100)
    for seq in range(2):
        await replay.add(chunk(seq, range(4), finished=episodes(seq)))
    await replay.add(chunk(0, range(4)))
    await replay.sample(request(3))
    report = await replay.report(1)
    assert [rows.episodes.episode_return.tolist() for rows in report.episodes.rows] == [[1]]
    (shard,) = report.stats.shards
    assert (shard.transitions, shard.size, shard.capacity, shard.sampled, shard.duplicate_chunks) == (8, 5, 5, 3, 1)
    assert (report.stats.transitions, report.stats.replay_size, report.stats.sampled) == (8, 5, 3)
    assert report.stats.seconds == shard.seconds
    assert set(shard.seconds) == {"inserting", "sampling", "between_calls"}


@on_a_loop
async def test_td_errors_of_evicted_items_are_counted() -> None:
    replay = server(capacity=3)
    await replay.add(chunk(0, range(5)))  # alive: 2, 3, 4
    await replay.sample_encoded(encode(request(1, ids=(0, 1, 4))))
    assert (await replay.report(0)).stats.evicted_priority_updates == 2


@on_a_loop
async def test_a_chunk_of_another_shape_is_refused() -> None:
    replay = server()
    narrow = chunk(0)._replace(rows=packed(range(3), observation_size=1))
    with pytest.raises(ValueError, match=r"rows of .*\(1,\).*, expected .*\(2,\)"):
        await replay.add(narrow)


def test_several_shards_are_not_a_single_server() -> None:
    config = ReplayConfig(replay_shards=2, tolerance_samples=4)
    with pytest.raises(ValueError, match="a single replay server for 2 shards"):
        ReplayServer(config, observation_size=2, rows_per_call=4, seeds=np.random.SeedSequence(1))
