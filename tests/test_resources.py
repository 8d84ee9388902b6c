"""What a run with several replay shards asks for, and what is said where it does not fit."""

from __future__ import annotations

import dataclasses

import pytest
from fakes import environment_spec

from common.config import ActorConfig, BadInput, Config, LearnerConfig, ReplayConfig, resolve
from common.types import EnvironmentSpec
from driver.resources import FORKED_PROCESS_BYTES, MB, check_memory, default_ring, replay_processes, word_on_rows

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


def test_64_actors_fit_into_six_gigabytes_where_they_share_their_libraries() -> None:
    config = Config(actor=ActorConfig(actors=64, envs_per_actor=1))
    check_memory(config, ENVIRONMENT, 6000 * MB, FORKED_PROCESS_BYTES)
    with pytest.raises(BadInput, match=r"^--actors 64: they need 8,"):
        check_memory(config, ENVIRONMENT, 6000 * MB)


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


IMAGES = environment_spec("images", observation_size=84 * 84 * 3)
SMALL_RING = ReplayConfig(replay_capacity_transitions=1000)


@pytest.mark.parametrize(
    ("asked", "option", "least"),
    [
        (Config(actor=ActorConfig(actors=1, chunk_rows=20_000), replay=SMALL_RING), "chunk-rows", 7000),
        (Config(actor=ActorConfig(actors=1, envs_per_actor=20_000), replay=SMALL_RING), "envs-per-actor", 100),
        (
            Config(
                actor=ActorConfig(actors=1),
                learner=LearnerConfig(batch_size=5000),
                replay=ReplayConfig(replay_capacity_transitions=5000),
            ),
            "batch-size",
            1000,
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_large_observations_make_of_messages_is_counted_and_what_is_said_to_fit_fits(
    asked: Config, option: str, least: int
) -> None:
    """A row of these is 169 kB."""
    config = resolve(asked, IMAGES.observation_size)
    with pytest.raises(BadInput, match=rf"^--{option} .* at most [\d,]+ would fit$") as refusal:
        check_memory(config, IMAGES, 5000 * MB)
    fits = int(str(refusal.value).partition("at most ")[2].partition(" ")[0].replace(",", ""))
    assert fits >= least
    name = option.replace("-", "_")
    section = {"chunk_rows": "actor", "envs_per_actor": "actor", "batch_size": "learner"}[name]
    smaller = dataclasses.replace(asked, **{section: dataclasses.replace(getattr(asked, section), **{name: fits})})
    check_memory(resolve(smaller, IMAGES.observation_size), IMAGES, 5000 * MB)


def test_an_actor_of_large_observations_needs_what_it_was_seen_to_need() -> None:
    """12 environments, the default chunk and network: 66 MB were seen for images, 24 MB for 5,000 states."""
    for size, seen in ((84 * 84 * 3, 66), (5000, 24)):
        environment = environment_spec("large", observation_size=size)
        needed = []
        for actors in (8, 9):
            config = Config(actor=ActorConfig(actors=actors, chunk_rows=168), replay=SMALL_RING)
            least = next(need for need in range(1000, 9000) if fits_into(config, environment, need))
            needed.append(least)
        assert 0.7 * seen < needed[1] - needed[0] - 130 < 1.7 * seen


def fits_into(config: Config, environment: EnvironmentSpec, megabytes: int) -> bool:
    try:
        check_memory(config, environment, megabytes * MB)
    except BadInput:
        return False
    return True


FRAMES = environment_spec("frames", observation_size=210 * 160 * 3)._replace(image=(210, 160, 3))


def test_images_start_with_their_price_and_what_takes_less() -> None:
    config = Config(replay=ReplayConfig(replay_capacity_transitions=2000))
    word = word_on_rows(config, FRAMES)
    assert word is not None
    assert word.startswith(
        "--env frames: images of 210x160x3: a row takes 788 kB, and the ring 1,538 MB at "
        "--replay-capacity-transitions 2000. There is no convolutional network here"
    )
    assert "gymnasium.wrappers.GrayscaleObservation and ResizeObservation in a function that --env-wrapper" in word
    small = environment_spec("small", observation_size=32 * 32)._replace(image=(32, 32))
    word_on_small = str(word_on_rows(config, small))
    assert "images of 32x32: a row takes 8 kB" in word_on_small
    assert "GrayscaleObservation" not in word_on_small  # which this is already


@pytest.mark.parametrize(("asked", "least", "most"), [(None, 5_000, 15_000), (4_000, 4_000, 4_000)])
def test_a_ring_of_images_that_nobody_asked_for_takes_at_most_half_of_the_memory(
    asked: int | None, least: int, most: int
) -> None:
    """Its default, 50,000 rows, takes 38 GB."""
    config = resolve(Config(replay=ReplayConfig(replay_capacity_transitions=asked)), FRAMES.observation_size)
    ring = default_ring(config, FRAMES, 24_000 * MB)
    assert least <= ring <= most
    smaller = dataclasses.replace(config.replay, replay_capacity_transitions=ring)
    check_memory(dataclasses.replace(config, replay=smaller), FRAMES, 24_000 * MB)


def test_a_ring_of_small_observations_has_its_default_size_wherever_a_run_fits() -> None:
    config = resolve(Config(), ENVIRONMENT.observation_size)
    assert default_ring(config, ENVIRONMENT, 8_000 * MB) == config.replay.capacity_transitions
    assert default_ring(config, ENVIRONMENT, 1_000 * MB) == config.replay.capacity_transitions  # too little for any


def test_large_observations_that_are_no_images_have_their_price_too() -> None:
    states = environment_spec("states", observation_size=20_000)
    assert str(word_on_rows(resolve(Config(), states.observation_size), states)).startswith(
        "--env states: observations of 20,000 numbers: a row takes 156 kB, and the ring 7,631 MB at "
        "--replay-capacity-transitions 50000; a wrapper that keeps fewer"
    )


@pytest.mark.parametrize("size", [4, 10 * 10 * 4, 7 * 7 * 3, 944, 6000])
def test_of_small_observations_nothing_is_said(size: int) -> None:
    assert word_on_rows(resolve(Config(), size), environment_spec("small", observation_size=size)) is None


def test_a_ring_that_images_make_too_large_is_refused_with_the_wrapper_that_helps() -> None:
    config = resolve(Config(actor=ActorConfig(actors=1, envs_per_actor=1)), FRAMES.observation_size)
    with pytest.raises(BadInput, match=r"transitions would fit, more of smaller observations, which --env-wrapper"):
        check_memory(config, FRAMES, 8000 * MB)
