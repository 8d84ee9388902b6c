"""The coordinator on an event loop of its own: what it counts, and who waits for whom."""

from __future__ import annotations

from typing import Any

import numpy as np
from event_loop import all_that_can_be_done, begin, on_a_loop
from fakes import episodes, facts

from common.config import ReplayConfig
from common.types import AddReply, Grant, Published
from replay_server.coordinator import REPLY_SECONDS, Coordinator
from replay_server.stats import ActorCounts


def published(version: int, content: str) -> Published:
    """Params on their way; what they are does not matter here."""
    return Published(version=version, published_time=0.0, content=content)


def coordinator(
    learning_starts: int = 4,
    tolerance: float = 4,
    capacity: int = 100,
    max_env_steps: int | None = None,
    shards: int = 1,
    reply_seconds: float = REPLY_SECONDS,
) -> Coordinator:
    """1 sample per insert, asked for 4 at a time."""
    config = ReplayConfig(
        replay_capacity_transitions=capacity,
        replay_shards=shards,
        learning_starts_transitions=learning_starts,
        samples_per_insert=1,
        tolerance_samples=tolerance,
        max_env_steps=max_env_steps,
    )
    return Coordinator(config, rows_per_call=4, reply_seconds=reply_seconds)


async def stats(of: Coordinator) -> Any:
    return (await of.report(0)).stats


@on_a_loop
async def test_a_repeated_chunk_is_counted_once() -> None:
    replay = coordinator()
    sent = facts(0, 3, env_steps=5, finished=episodes(10, 20))
    replies = [await replay.add(sent) for _ in range(3)]
    assert replies == [AddReply(env_steps=5, terminations=1, held="", stop=False, params=None)] * 3
    counted = await stats(replay)
    assert (counted.env_steps, counted.terminations, counted.transitions, counted.chunks) == (5, 1, 3, 1)
    assert (await replay.report(0)).episodes.next == 2


@on_a_loop
async def test_the_ack_of_a_repeated_chunk_is_held_like_the_first() -> None:
    replay = coordinator(learning_starts=4, tolerance=4)
    adding = [await begin(replay.add(facts(0, 13))) for _ in range(2)]
    assert not any(task.done() for task in adding)
    for _ in range(3):
        await replay.grant(4)
    assert [(await task).held for task in adding] == ["", ""]


@on_a_loop
async def test_what_was_accepted_is_counted_for_each_actor_over_its_incarnations() -> None:
    replay = coordinator(shards=2)
    for sent in (
        facts(0, 3, actor_id=4, env_steps=5, finished=episodes(10, 20)),
        facts(0, 3, actor_id=4, env_steps=5, finished=episodes(10, 20)),
        facts(0, 3, actor_id=4, incarnation=1, env_steps=6, finished=episodes(1)),
        facts(0, 2, actor_id=1, shard=1, env_steps=2),
    ):
        await replay.add(sent)
    counted = await stats(replay)
    assert counted.actors == {4: ActorCounts(env_steps=11, episodes=3), 1: ActorCounts(env_steps=2, episodes=0)}
    assert counted.transitions == 8
    assert counted.shards == ()  # they are asked by themselves


@on_a_loop
async def test_environment_steps_are_added_up_over_actors_incarnations_and_shards() -> None:
    replay = coordinator(shards=2)
    sent = [
        facts(0, env_steps=5),
        facts(0, env_steps=7, actor_id=1, shard=1),
        facts(0, env_steps=11, incarnation=1),
        facts(0, env_steps=7, actor_id=1, shard=1),  # again
        facts(1, env_steps=13, shard=1),
    ]
    assert [(await replay.add(each)).env_steps for each in sent] == [5, 12, 23, 23, 36]
    counted = await stats(replay)
    assert (counted.env_steps, counted.chunks) == (36, 4)


@on_a_loop
async def test_a_grant_tells_how_many_items_each_shard_has_alive() -> None:
    """A capacity of 8 over 3 shards: 3, 3 and 2."""
    replay = coordinator(capacity=8, shards=3, tolerance=100)
    assert (await replay.add(facts(0, 2, shard=2))).stop is False
    await replay.add(facts(1, 2))
    assert await replay.grant(4) == Grant(granted=True, waiting_for="", env_steps=0, stop=False, sizes=(2, 0, 2))
    await replay.add(facts(2, 2))
    await replay.add(facts(3, 2, shard=2))
    await replay.add(facts(4, 1, shard=1))
    assert (await replay.grant(4)).sizes == (3, 1, 2)


@on_a_loop
async def test_the_law_holds_over_all_shards() -> None:
    """Budget after 13 insertions = 13 - 4 = 9, tolerance 4: held until 5 samples are gone, whoever inserted."""
    replay = coordinator(learning_starts=4, tolerance=4, shards=2)
    assert not (await replay.add(facts(0, 6, shard=1))).held
    adding = await begin(replay.add(facts(1, 7)))
    assert not adding.done()
    counted = await stats(replay)
    assert (counted.transitions, counted.actors_waiting) == (13, 1)
    assert counted.waiting_for == "actors wait for the learner to take 5 more samples"

    await replay.grant(4)
    await all_that_can_be_done()
    assert not adding.done()
    assert (await stats(replay)).waiting_for == "actors wait for the learner to take 1 more samples"

    await replay.grant(1)
    assert await adding == AddReply(env_steps=0, terminations=0, held="", stop=False, params=None)
    counted = await stats(replay)
    assert (counted.sampled, counted.actors_waiting, counted.waiting_for) == (5, 0, "")


@on_a_loop
async def test_every_held_ack_is_released() -> None:
    replay = coordinator(learning_starts=4, tolerance=4)
    adding = [await begin(replay.add(facts(0, 8, actor_id=actor_id))) for actor_id in range(3)]
    waiting_again = await begin(replay.wait_for_ack(0))
    assert [task.done() for task in [*adding, waiting_again]] == [True, False, False, False]  # budgets 4, 12, 20
    for _ in range(4):
        await replay.grant(4)
    assert [(await task).held for task in [*adding, waiting_again]] == [""] * 4


@on_a_loop
async def test_a_request_waits_until_enough_is_inserted() -> None:
    replay = coordinator(learning_starts=5, shards=2)
    asking = await begin(replay.grant(4))
    assert (await stats(replay)).waiting_for == "the learner waits for 5 more transitions"
    await replay.add(facts(0, 3, env_steps=3))
    await all_that_can_be_done()
    assert not asking.done()
    assert (await stats(replay)).waiting_for == "the learner waits for 2 more transitions"
    await replay.add(facts(1, 2, env_steps=2, shard=1))
    assert await asking == Grant(granted=True, waiting_for="", env_steps=5, stop=False, sizes=(3, 2))
    counted = await stats(replay)
    assert (counted.sampled, counted.waiting_for) == (4, "")


@on_a_loop
async def test_requests_are_served_in_the_order_of_arrival() -> None:
    replay = coordinator(learning_starts=4)
    first = await begin(replay.grant(4))
    second = await begin(replay.grant(1))
    await replay.add(facts(0, 4))  # budget 0, tolerance 4: 4 samples are granted, not 5
    await all_that_can_be_done()
    assert (first.done(), second.done()) == (True, False)
    await replay.add(facts(1, 1))
    assert (await second).granted
    assert (await stats(replay)).sampled == 5


@on_a_loop
async def test_whoever_waits_in_vain_is_told_why_and_nothing_is_counted() -> None:
    replay = coordinator(learning_starts=5, reply_seconds=0.01)
    refused = await replay.grant(4)
    assert (refused.granted, refused.waiting_for) == (False, "the learner waits for 5 more transitions")
    held = await replay.add(facts(0, 10))
    assert held.held == "actors wait for the learner to take 1 more samples"
    again = await replay.wait_for_ack(0)
    assert again.held == held.held
    counted = await stats(replay)
    assert (counted.sampled, counted.transitions, counted.actors_waiting, counted.waiting_for) == (0, 10, 0, "")
    assert (await replay.grant(4)).granted


@on_a_loop
async def test_stop_releases_everybody_who_waits() -> None:
    replay = coordinator()
    asking = [await begin(replay.grant(4)) for _ in range(3)]
    assert not any(task.done() for task in asking)
    await replay.stop()
    assert [await task for task in asking] == [
        Grant(granted=False, waiting_for="", env_steps=0, stop=True, sizes=(0,))
    ] * 3
    assert (await stats(replay)).sampled == 0

    replay = coordinator()
    adding = [await begin(replay.add(facts(0, 20, actor_id=actor_id))) for actor_id in range(3)]
    assert not any(task.done() for task in adding)
    await replay.stop()
    assert [await task for task in adding] == [
        AddReply(env_steps=0, terminations=0, held="", stop=True, params=None)
    ] * 3


@on_a_loop
async def test_whoever_calls_after_stop_is_told_so_at_once() -> None:
    replay = coordinator(learning_starts=1)
    await replay.add(facts(0, 3))
    await replay.stop()
    assert (await replay.add(facts(1, 47))).stop
    assert (await replay.wait_for_ack(0)).stop
    grant = await replay.grant(4)
    assert (grant.stop, grant.granted) == (True, False)


@on_a_loop
async def test_the_run_ends_at_the_limit_of_environment_steps_of_all_shards() -> None:
    replay = coordinator(max_env_steps=10, shards=2)
    assert not (await replay.add(facts(0, env_steps=9))).stop
    asking = await begin(replay.grant(4))
    assert not asking.done()
    assert not (await replay.add(facts(0, env_steps=9))).stop  # a repeat does not count
    assert await replay.add(facts(1, env_steps=1, shard=1)) == AddReply(
        env_steps=10, terminations=0, held="", stop=True, params=None
    )
    assert (await asking).stop


@on_a_loop
async def test_an_ack_brings_the_newest_params_to_whoever_holds_older_ones() -> None:
    replay = coordinator()
    assert (await replay.add(facts(0, params_held=0))).params is None
    await replay.publish(*published(100, "first"))
    assert (await replay.add(facts(1, params_held=0))).params == published(100, "first")
    assert (await replay.add(facts(1, params_held=0))).params == published(100, "first")  # again
    assert (await replay.add(facts(2, params_held=100))).params is None
    await replay.publish(*published(300, "third"))
    await replay.publish(*published(200, "late"))
    assert (await replay.add(facts(3, params_held=100))).params == published(300, "third")


@on_a_loop
async def test_an_ack_that_was_held_brings_what_was_published_meanwhile() -> None:
    replay = coordinator(learning_starts=4, tolerance=4)
    adding = await begin(replay.add(facts(0, 13, params_held=100)))
    await replay.publish(*published(200, "newest"))
    assert not adding.done()
    for _ in range(3):
        await replay.grant(4)
    assert (await adding).params == published(200, "newest")


@on_a_loop
async def test_policy_lag_by_hand() -> None:
    """Newest broadcast when a chunk is inserted less the oldest version acted with in it: 0, 100, 200 and 0."""
    replay = coordinator()
    counted = await stats(replay)
    assert (np.isnan(counted.policy_lag_mean), np.isnan(counted.policy_lag_recent)) == (True, True)
    await replay.add(facts(0, params_version=0))
    await replay.publish(*published(100, "params 100"))
    await replay.add(facts(1, params_version=0))
    await replay.publish(*published(300, "params 300"))
    await replay.publish(*published(200, "params 200"))  # late
    await replay.add(facts(2, params_version=100))
    await replay.add(facts(2, params_version=0))  # a repeat does not count
    await replay.add(facts(3, params_version=300))
    counted = await stats(replay)
    assert (counted.policy_lag_mean, counted.policy_lag_recent, counted.policy_lag_max) == (75, 75, 200)


@on_a_loop
async def test_policy_lag_is_not_negative_when_a_chunk_is_faster_than_the_publication_of_its_params() -> None:
    replay = coordinator()
    await replay.add(facts(0, params_version=100))
    counted = await stats(replay)
    assert (counted.policy_lag_mean, counted.policy_lag_max) == (0, 0)


@on_a_loop
async def test_episodes_come_again_until_they_are_acknowledged() -> None:
    replay = coordinator()
    await replay.add(facts(0, env_steps=5, finished=episodes(10, 20)))
    first, again = (await replay.report(0)).episodes, (await replay.report(0)).episodes
    for reply in (first, again):
        assert reply.next == 2
        assert [rows.episodes.episode_return.tolist() for rows in reply.rows] == [[10, 20]]
        assert reply.recent_returns.tolist() == [10, 20]

    await replay.publish(*published(300, "params 300"))
    await replay.add(facts(4, env_steps=7, actor_id=3, incarnation=2, finished=episodes(30)))
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
    replay = coordinator()
    await replay.add(facts(0, finished=episodes(*range(70))))
    await replay.add(facts(1, finished=episodes(*range(70, 130))))
    reply = (await replay.report(0)).episodes
    assert reply.next == 130
    assert reply.recent_returns.tolist() == list(range(30, 130))


@on_a_loop
async def test_the_delay_of_params_counts_from_publication_to_the_last_actor() -> None:
    replay = coordinator()
    for actor_id in (0, 1):
        await replay.add(facts(0, actor_id=actor_id))
    await replay.publish(100, 5.0, "params 100")
    await replay.add(facts(1, actor_id=0, params_held=100, params_held_since=5.25))
    assert np.isnan((await stats(replay)).params_delay_median_seconds)
    await replay.add(facts(1, actor_id=1, params_held=100, params_held_since=7.0))
    counted = await stats(replay)
    assert (counted.params_delay_median_seconds, counted.params_delay_p99_seconds) == (2.0, 2.0)
