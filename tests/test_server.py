"""The replay server on an event loop of its own, without Ray. Items hold their own ids: see fakes.transitions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import numpy as np
import pytest
from fakes import assert_rows_are, chunk, episodes, packed

from common.config import ReplayConfig
from common.types import AddReply, Published, SampleReply, SampleRequest
from replay_server.server import ReplayServer
from replay_server.stats import ActorCounts

DEADLINE_S = 4.0  # shorter than the time after which the server answers a wait without news


def published(version: int, content: str) -> Published:
    """Params on their way; what they are does not matter here."""
    return Published(version=version, published_time=0.0, content=content)


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


def on_a_loop(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """Runs an async test, with a deadline."""

    def run() -> None:
        asyncio.run(asyncio.wait_for(test(), DEADLINE_S))

    run.__name__ = test.__name__
    run.__doc__ = test.__doc__
    return run


async def begin(call: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    """Starts a call and lets the loop go round until whatever can be done at once is done."""
    task = asyncio.create_task(call)
    await all_that_can_be_done()
    return task


async def all_that_can_be_done() -> None:
    for _ in range(20):
        await asyncio.sleep(0)  # no time passes: the loop goes round once


@on_a_loop
async def test_a_repeated_chunk_is_inserted_once() -> None:
    replay = server()
    sent = chunk(0, range(3), env_steps=5, finished=episodes(10, 20))
    replies = [await replay.add(sent) for _ in range(3)]
    assert replies == [AddReply(env_steps=5, held="", stop=False, params=None)] * 3
    stats = (await replay.report(0)).stats
    assert (stats.env_steps, stats.transitions, stats.replay_size, stats.chunks) == (5, 3, 3, 1)
    assert stats.duplicate_chunks == 2
    assert (await replay.report(0)).episodes.next == 2


@on_a_loop
async def test_what_was_accepted_is_counted_for_each_actor_over_its_incarnations() -> None:
    replay = server()
    for sent in (
        chunk(0, range(3), actor_id=4, env_steps=5, finished=episodes(10, 20)),
        chunk(0, range(3), actor_id=4, env_steps=5, finished=episodes(10, 20)),
        chunk(0, range(3), actor_id=4, incarnation=1, env_steps=6, finished=episodes(1)),
        chunk(0, range(2), actor_id=1, env_steps=2),
    ):
        await replay.add(sent)
    stats = (await replay.report(0)).stats
    assert stats.actors == {4: ActorCounts(env_steps=11, episodes=3), 1: ActorCounts(env_steps=2, episodes=0)}
    assert [(shard.transitions, shard.size, shard.sampled) for shard in stats.shards] == [(8, 8, 0)]


@on_a_loop
async def test_environment_steps_are_added_up_over_actors_and_incarnations() -> None:
    replay = server()
    sent = [
        chunk(0, env_steps=5),
        chunk(0, env_steps=7, actor_id=1),
        chunk(0, env_steps=11, incarnation=1),
        chunk(0, env_steps=7, actor_id=1),  # again
        chunk(1, env_steps=13),
    ]
    assert [(await replay.add(each)).env_steps for each in sent] == [5, 12, 23, 23, 36]
    stats = (await replay.report(0)).stats
    assert (stats.env_steps, stats.chunks, stats.duplicate_chunks) == (36, 4, 1)


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
    assert await adding == AddReply(env_steps=13, held="", stop=False, params=None)
    stats = (await replay.report(0)).stats
    assert (stats.sampled, stats.actors_waiting, stats.waiting_for) == (5, 0, "")


@on_a_loop
async def test_every_held_ack_is_released() -> None:
    replay = server(learning_starts=4, tolerance=4)
    adding = [
        await begin(replay.add(chunk(0, range(actor_id * 8, actor_id * 8 + 8), actor_id=actor_id)))
        for actor_id in range(3)
    ]
    waiting_again = await begin(replay.wait_for_ack(0))
    assert [task.done() for task in [*adding, waiting_again]] == [True, False, False, False]  # budgets 4, 12, 20
    for _ in range(4):
        await replay.sample(request(4))
    assert [(await task).held for task in [*adding, waiting_again]] == [""] * 4


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
async def test_waiting_sample_calls_are_served_in_the_order_of_arrival() -> None:
    replay = server(learning_starts=4)
    first = await begin(replay.sample(request(4)))
    second = await begin(replay.sample(request(1)))
    await replay.add(chunk(0, range(4)))  # budget 0, tolerance 4: 4 samples are granted, not 5
    await all_that_can_be_done()
    assert (first.done(), second.done()) == (True, False)
    await replay.add(chunk(1, range(4, 5)))
    assert len((await second).rows["id"]) == 1


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
async def test_stop_releases_every_waiting_sample_call() -> None:
    replay = server()
    waiting = [await begin(replay.sample(request(4))) for _ in range(3)]
    assert not any(task.done() for task in waiting)
    await replay.stop()
    for task in waiting:
        reply = await task
        assert (reply.stop, reply.rows) == (True, None)


@on_a_loop
async def test_stop_releases_every_held_ack() -> None:
    replay = server()
    waiting = [await begin(replay.add(chunk(0, range(20), actor_id=actor_id))) for actor_id in range(3)]
    assert not any(task.done() for task in waiting)
    await replay.stop()
    assert [await task for task in waiting] == [AddReply(env_steps=0, held="", stop=True, params=None)] * 3


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
    assert await replay.add(chunk(1, env_steps=1)) == AddReply(env_steps=10, held="", stop=True, params=None)
    assert (await sampling).stop


@on_a_loop
async def test_an_ack_brings_the_newest_params_to_whoever_holds_older_ones() -> None:
    replay = server()
    assert (await replay.add(chunk(0, params_held=0))).params is None
    await replay.publish(*published(100, "first"))
    assert (await replay.add(chunk(1, params_held=0))).params == published(100, "first")
    assert (await replay.add(chunk(1, params_held=0))).params == published(100, "first")  # again
    assert (await replay.add(chunk(2, params_held=100))).params is None
    await replay.publish(*published(300, "third"))
    await replay.publish(*published(200, "late"))
    assert (await replay.add(chunk(3, params_held=100))).params == published(300, "third")


@on_a_loop
async def test_an_ack_that_was_held_brings_what_was_published_meanwhile() -> None:
    replay = server(learning_starts=4, tolerance=4)
    adding = await begin(replay.add(chunk(0, range(13), params_held=100)))
    await replay.publish(*published(200, "newest"))
    assert not adding.done()
    for _ in range(3):
        await replay.sample(request(4))
    assert (await adding).params == published(200, "newest")


@on_a_loop
async def test_policy_lag_by_hand() -> None:
    """Newest broadcast when a chunk is inserted less the oldest version acted with in it: 0, 100, 200 and 0."""
    replay = server()
    stats = (await replay.report(0)).stats
    assert (np.isnan(stats.policy_lag_mean), np.isnan(stats.policy_lag_recent)) == (True, True)
    await replay.add(chunk(0, params_version=0))
    await replay.publish(*published(100, "params 100"))
    await replay.add(chunk(1, params_version=0))
    await replay.publish(*published(300, "params 300"))
    await replay.publish(*published(200, "params 200"))  # late
    await replay.add(chunk(2, params_version=100))
    await replay.add(chunk(2, params_version=0))  # a repeat does not count
    await replay.add(chunk(3, params_version=300))
    stats = (await replay.report(0)).stats
    assert stats.policy_lag_mean == 75
    assert stats.policy_lag_recent == 75
    assert stats.policy_lag_max == 200


@on_a_loop
async def test_policy_lag_is_not_negative_when_a_chunk_is_faster_than_the_publication_of_its_params() -> None:
    replay = server()
    await replay.add(chunk(0, params_version=100))
    stats = (await replay.report(0)).stats
    assert (stats.policy_lag_mean, stats.policy_lag_max) == (0, 0)


@on_a_loop
async def test_episodes_come_again_until_they_are_acknowledged() -> None:
    replay = server()
    await replay.add(chunk(0, env_steps=5, finished=episodes(10, 20)))
    first, again = (await replay.report(0)).episodes, (await replay.report(0)).episodes
    for reply in (first, again):
        assert reply.next == 2
        assert [rows.episodes.episode_return.tolist() for rows in reply.rows] == [[10, 20]]
        assert reply.recent_returns.tolist() == [10, 20]

    await replay.publish(*published(300, "params 300"))
    await replay.add(chunk(4, env_steps=7, actor_id=3, incarnation=2, finished=episodes(30)))
    both = (await replay.report(0)).episodes
    assert [rows.episodes.episode_return.tolist() for rows in both.rows] == [[10, 20], [30]]
    assert [(rows.actor_id, rows.incarnation, rows.env_steps, rows.learner_steps) for rows in both.rows] == [
        (0, 0, 5, 0),
        (3, 2, 12, 300),
    ]
    later = (await replay.report(2)).episodes
    assert [rows.episodes.episode_return.tolist() for rows in later.rows] == [[30]]
    assert (later.next, later.recent_returns.tolist()) == (3, [10, 20, 30])
    assert (await replay.report(3)).episodes.rows == []


@on_a_loop
async def test_recent_returns_are_those_of_the_last_100_episodes() -> None:
    replay = server()
    await replay.add(chunk(0, finished=episodes(*range(70))))
    await replay.add(chunk(1, finished=episodes(*range(70, 130))))
    reply = (await replay.report(0)).episodes
    assert reply.next == 130
    assert reply.recent_returns.tolist() == list(range(30, 130))


@on_a_loop
async def test_the_delay_of_params_counts_from_publication_to_the_last_actor() -> None:
    replay = server()
    for actor_id in (0, 1):
        await replay.add(chunk(0, actor_id=actor_id))
    await replay.publish(100, 5.0, "params 100")
    await replay.add(chunk(1, actor_id=0, params_held=100, params_held_since=5.25))
    assert np.isnan((await replay.report(0)).stats.params_delay_median_seconds)
    await replay.add(chunk(1, actor_id=1, params_held=100, params_held_since=7.0))
    stats = (await replay.report(0)).stats
    assert (stats.params_delay_median_seconds, stats.params_delay_p99_seconds) == (2.0, 2.0)


@on_a_loop
async def test_td_errors_of_evicted_items_are_counted() -> None:
    replay = server(capacity=3)
    await replay.add(chunk(0, range(5)))  # alive: 2, 3, 4
    await replay.sample(request(1, ids=(0, 1, 4)))
    assert (await replay.report(0)).stats.evicted_priority_updates == 2


@on_a_loop
async def test_a_chunk_of_another_shape_is_refused() -> None:
    replay = server()
    narrow = chunk(0)._replace(rows=packed(range(3), observation_size=1))
    with pytest.raises(ValueError, match=r"rows of .*\(1,\).*, expected .*\(2,\)"):
        await replay.add(narrow)
