"""What a run with several replay shards asks for, and what is said where it does not fit."""

from __future__ import annotations

import dataclasses

import pytest
from fakes import environment_spec

from common.config import ActorConfig, BadInput, Config, ReplayConfig
from driver.resources import MB, check_memory, replay_processes

ENVIRONMENT = environment_spec("CartPole-v1", observation_size=4)


def with_shards(shards: int, actors: int = 2) -> Config:
    return Config(actor=ActorConfig(actors=actors), replay=ReplayConfig(replay_shards=shards))


def least_memory(config: Config) -> int:
    """In MB, that is enough."""
    needed = 0
    while True:
        try:
            check_memory(config, ENVIRONMENT, needed * MB)
        except BadInput:
            needed += 1
        else:
            return needed


def test_several_shards_have_a_process_for_their_coordinator() -> None:
    assert [replay_processes(shards) for shards in (1, 2, 4)] == [1, 3, 5]


def test_every_further_shard_and_the_coordinator_need_the_memory_of_a_process() -> None:
    least = {shards: least_memory(with_shards(shards)) for shards in (1, 2, 3)}
    assert least[3] - least[2] == 130
    assert least[2] - least[1] == 2 * 130


def test_more_shards_than_the_memory_holds_are_refused_with_the_number_that_fits() -> None:
    config = with_shards(30, actors=1)
    with pytest.raises(BadInput, match=r"^--replay-shards 30: their processes need 4,030 MB and 2,500 MB") as refusal:
        check_memory(config, ENVIRONMENT, 2500 * MB)
    fits = int(str(refusal.value).partition("at most ")[2].partition(" ")[0])
    smaller = dataclasses.replace(config.replay, replay_capacity_transitions=1000)
    check_memory(
        dataclasses.replace(config, replay=dataclasses.replace(smaller, replay_shards=fits)), ENVIRONMENT, 2500 * MB
    )
    with pytest.raises(BadInput):
        check_memory(
            dataclasses.replace(config, replay=dataclasses.replace(smaller, replay_shards=fits + 1)),
            ENVIRONMENT,
            2500 * MB,
        )
