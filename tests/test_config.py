"""What the settings refuse, and what they work out."""

from __future__ import annotations

import dataclasses
import pickle
from typing import Any

import numpy as np
import pytest
from fakes import sample_reply, transitions
from hypothesis import given, settings
from hypothesis import strategies as st

from common.config import (
    ActorConfig,
    BadInput,
    Config,
    EvaluatorConfig,
    LearnerConfig,
    NetworkConfig,
    ReplayConfig,
    RunConfig,
    resolve,
    rows_per_call,
)
from common.messages import INLINE_LIMIT_VARIABLE, inline_limit_bytes, minibatches_per_call
from driver.command_line import parse

INFINITE, NAN = float("inf"), float("nan")

REFUSED: list[tuple[type, str, list[Any]]] = [
    (ActorConfig, "actors", [0, -3]),
    (ActorConfig, "envs_per_actor", [0, -1]),
    (ActorConfig, "n_step", [0, -1]),
    (ActorConfig, "chunk_rows", [0, -1]),
    (ActorConfig, "gamma", [-0.01, 1.01, NAN, INFINITE]),
    (ActorConfig, "epsilon_start", [-0.1, 1.1, NAN]),
    (ActorConfig, "epsilon_end", [-0.1, 1.1, NAN]),
    (ActorConfig, "epsilon_spread", [-0.1, 1.0, NAN]),
    (ActorConfig, "epsilon_decay_env_steps", [0, -5.0, INFINITE, NAN]),
    (ActorConfig, "epsilon_ladder_base", [0, -0.5, 1.5, NAN]),
    (ActorConfig, "epsilon_ladder_alpha", [-1, INFINITE, NAN]),
    (ActorConfig, "chunk_seconds", [0, -0.5, INFINITE, NAN]),
    (LearnerConfig, "batch_size", [0, -1]),
    (LearnerConfig, "target_sync_learner_steps", [0, -1]),
    (LearnerConfig, "max_learner_steps", [0, -1]),
    (LearnerConfig, "learner_threads", [0, -1]),
    (LearnerConfig, "learning_rate_decay_learner_steps", [0, -1]),
    (LearnerConfig, "clip_margin_decay_learner_steps", [0, -1]),
    (LearnerConfig, "clip_fade_learner_steps", [0, -1]),
    (LearnerConfig, "huber_delta_rise_learner_steps", [0, -1]),
    (LearnerConfig, "learning_rate", [0, -0.001, 9e-6, INFINITE, NAN]),
    (LearnerConfig, "clip_margin", [-0.1, INFINITE, NAN]),
    (LearnerConfig, "huber_delta", [0, -1.0, INFINITE, NAN]),
    (LearnerConfig, "learning_rate_final", [0, 9e-6, 100.0, NAN]),
    (ReplayConfig, "replay_capacity_transitions", [0, -1]),
    (ReplayConfig, "replay_shards", [0, -1]),
    (ReplayConfig, "max_env_steps", [0, -1]),
    (ReplayConfig, "learning_starts_transitions", [0, -1]),
    (ReplayConfig, "samples_per_insert", [0, -1.0, INFINITE, NAN]),
    (EvaluatorConfig, "evaluation_interval_learner_steps", [0, -1]),
    (EvaluatorConfig, "evaluation_episodes", [1, 0, -1]),
    (EvaluatorConfig, "solved_return", [INFINITE, -INFINITE, NAN]),
    (RunConfig, "seed", [-1]),
    (RunConfig, "max_seconds", [0, -1.0, NAN]),
    (RunConfig, "actor_restarts_per_minute", [-1]),
]


@pytest.mark.parametrize(
    ("section", "setting", "value"),
    [(section, setting, value) for section, setting, values in REFUSED for value in values],
)
def test_what_cannot_work_is_refused_by_option_and_value(section: type, setting: str, value: Any) -> None:
    with pytest.raises(BadInput) as refusal:
        section(**{setting: value})
    message = str(refusal.value)
    option, _, reason = message.partition(": ")
    assert option == f"--{setting.replace('_', '-')} {value}"
    assert "must be" in reason or "must lie" in reason
    assert "\n" not in message


@pytest.mark.parametrize(
    ("section", "setting", "value"),
    [
        (ActorConfig, "actors", 1),
        (ActorConfig, "gamma", 0.0),
        (ActorConfig, "gamma", 1.0),
        (ActorConfig, "epsilon_start", 0.0),
        (ActorConfig, "epsilon_end", 1.0),
        (ActorConfig, "epsilon_ladder_base", 1.0),
        (ActorConfig, "epsilon_ladder_alpha", 0.0),
        (LearnerConfig, "learning_rate", 1e-5),
        (LearnerConfig, "learning_rate_final", 1e-5),
        (LearnerConfig, "clip_margin", 0.0),
        (LearnerConfig, "max_learner_steps", None),
        (ReplayConfig, "max_env_steps", None),
        (EvaluatorConfig, "solved_return", -110.0),
        (EvaluatorConfig, "solved_return", 0.0),
        (EvaluatorConfig, "evaluation_episodes", 2),
        (RunConfig, "seed", 0),
        (RunConfig, "max_seconds", 0.5),
        (NetworkConfig, "hidden", (1,)),
    ],
)
def test_the_ends_of_what_works_work(section: type, setting: str, value: Any) -> None:
    assert getattr(section(**{setting: value}), setting) == value


@pytest.mark.parametrize(
    "arguments",
    [
        ["--env-args", "is_slippery=false", "map_name=8x8", "--seed", "3"],
        ["--env-args", "is_slippery=false", "map_name=8x8", "compare", "--seed", "3"],
        ["evaluate", "runs/A", "--seed", "3", "--env_args", "is_slippery=false", "map_name=8x8"],
    ],
)
def test_arguments_of_the_environment_stand_before_or_after_a_command(arguments: list[str]) -> None:
    config = parse(arguments).config
    assert (config.run.env_args, config.run.seed) == (("is_slippery=false", "map_name=8x8"), 3)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--env-args", "map_name"], "--env-args map_name: must be NAME=VALUE"),
        (["--env-args", "a=1", "a=2"], "--env-args a=2: a is given twice"),
        (["--env-args", "a=1", "--env-args", "b=2"], "--env-args: given twice"),
        (["--env-args=a=1", "status", "--env_args=b=2"], "--env-args: given twice"),
    ],
)
def test_arguments_of_the_environment_that_would_get_lost_are_refused(arguments: list[str], reason: str) -> None:
    with pytest.raises(BadInput) as refusal:
        parse(arguments)
    assert str(refusal.value).startswith(reason)


@pytest.mark.parametrize(("hidden", "shown"), [((0,), "0"), ((128, 0), "128 0"), ((-5, 64), "-5 64")])
def test_a_hidden_layer_of_no_width_is_refused(hidden: tuple[int, ...], shown: str) -> None:
    with pytest.raises(BadInput, match=f"^--hidden {shown}: every layer size must be at least 1"):
        NetworkConfig(hidden=hidden)


@pytest.mark.parametrize("env", ["", "  "])
def test_an_empty_environment_id_is_refused(env: str) -> None:
    with pytest.raises(BadInput, match=f"^--env '{env}': must be a Gymnasium id"):
        RunConfig(env=env)


@pytest.mark.parametrize(("first", "final"), [(0.004, 5e-5), (1e-3, 1.25e-5), (5e-5, 1e-5), (1e-5, 1e-5)])
def test_the_learning_rate_falls_to_a_small_part_unless_told(first: float, final: float) -> None:
    config = resolve(Config(learner=LearnerConfig(learning_rate=first)), observation_size=4)
    assert config.learner.learning_rate_final == pytest.approx(final)


def test_a_final_learning_rate_above_the_first_names_both() -> None:
    with pytest.raises(BadInput, match=r"^--learning-rate-final 0\.002: .*--learning-rate 0\.001"):
        LearnerConfig(learning_rate=0.001, learning_rate_final=0.002)


def test_a_batch_larger_than_the_capacity_names_both() -> None:
    learner, replay = LearnerConfig(batch_size=129), ReplayConfig(replay_capacity_transitions=128)
    with pytest.raises(BadInput, match=r"^--batch-size 129: is larger than --replay-capacity-transitions 128"):
        Config(learner=learner, replay=replay)
    Config(learner=LearnerConfig(batch_size=128), replay=replay)


def test_more_shards_than_the_ring_has_places_name_both() -> None:
    with pytest.raises(BadInput, match=r"^--replay-shards 129: is more than --replay-capacity-transitions 128; .*one"):
        ReplayConfig(replay_capacity_transitions=128, replay_shards=129)
    ReplayConfig(replay_capacity_transitions=128, replay_shards=128)


def test_the_defaults_that_the_contract_fixes() -> None:
    config = Config()
    assert (config.run.env, config.run.seed, config.run.max_seconds, config.run.dashboard) == (
        "CartPole-v1", 0, None, True,
    )  # fmt: skip
    assert (config.actor.actors, config.actor.gamma, config.actor.n_step) == (8, 0.99, 3)
    assert (config.network.hidden, config.network.dueling) == ((128, 128), False)
    assert (config.learner.double, config.learner.loss, config.learner.batch_size) == (True, "huber", 128)
    assert (config.learner.target_sync_learner_steps, config.learner.max_learner_steps) == (100, None)
    assert (config.replay.samples_per_insert, config.replay.learning_starts_transitions) == (32, 1000)
    assert config.replay.max_env_steps == 500_000
    assert (config.evaluator.solved_return, config.evaluator.stop_when_solved) == (None, True)


def test_a_setting_cannot_be_changed_afterwards() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Config().actor.gamma = 0.5


@pytest.mark.parametrize(
    ("actors", "envs_per_actor", "expected"),
    [(8, 8, 128), (8, 1, 64), (8, 32, 160), (4, 32, 320), (64, 1, 21), (24, 8, 56), (1, 16, 256), (8, 256, 256)],
)
def test_the_default_chunk_by_hand(actors: int, envs_per_actor: int, expected: int) -> None:
    """64 rows or 16 steps of all environments, at most 1,400 rows of all actors, whole steps, at least one."""
    asked = Config(actor=ActorConfig(actors=actors, envs_per_actor=envs_per_actor))
    assert resolve(asked, observation_size=4).actor.chunk_rows == expected
    command = parse(["--actors", str(actors), "--envs-per-actor", str(envs_per_actor)])
    assert command.config.actor.rows_per_chunk == expected


@pytest.mark.parametrize("actors", [1, 2, 8, 16, 24, 28, 56, 64, 100])
@pytest.mark.parametrize("envs_per_actor", [1, 3, 8, 13])
def test_the_rows_in_flight_stay_under_1500(actors: int, envs_per_actor: int) -> None:
    rows = ActorConfig(actors=actors, envs_per_actor=envs_per_actor).rows_per_chunk
    shipped = -(-rows // envs_per_actor) * envs_per_actor  # whole steps of all environments
    assert actors * shipped < 1500 or shipped == envs_per_actor


@pytest.mark.parametrize("actors", [8, 16, 32, 64])
def test_the_rows_in_flight_of_single_environments_stay_under_1500_where_every_chunk_ends_with_an_episode(
    actors: int,
) -> None:
    """One chunk in flight for each actor; the step that fills it ends an episode and completes a row for each of n."""
    config = ActorConfig(actors=actors, envs_per_actor=1)
    assert actors * (config.rows_per_chunk - 1 + config.n_step) < 1500


def test_chunks_are_never_empty_however_many_actors_there_are() -> None:
    assert ActorConfig(actors=5000, envs_per_actor=1).rows_per_chunk == 1
    assert ActorConfig(actors=5000, envs_per_actor=8).rows_per_chunk == 8


def test_a_chunk_size_that_was_asked_for_is_kept() -> None:
    assert ActorConfig(actors=64, chunk_rows=500).rows_per_chunk == 500


@pytest.mark.parametrize(
    ("batch_size", "observation_size", "samples_per_insert", "limit", "expected"),
    [
        (128, 4, 32, 102_400, 13),  # 56 bytes a row, 7,168 a minibatch: 13.7 fit into 98,304 bytes
        (1, 1, 32, 102_400, 32),
        (128, 10, 32, 102_400, 7),  # 104 bytes a row, 13,312 a minibatch: 7.4 fit
        (1024, 4, 32, 102_400, 1),
        (128, 1000, 32, 102_400, 1),  # one alone does not fit: it is sent all the same
        (128, 4, 32, 4_000_000, 32),  # the samples due for 128 transitions
        (128, 4, 20, 4_000_000, 20),
        (128, 4, 1, 4_000_000, 12),
    ],
)
def test_minibatches_in_a_call_by_hand(
    batch_size: int,
    observation_size: int,
    samples_per_insert: float,
    limit: int,
    expected: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(INLINE_LIMIT_VARIABLE, str(limit))
    assert minibatches_per_call(batch_size, observation_size, samples_per_insert) == expected


def test_without_a_setting_messages_of_100_kib_travel_with_their_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(INLINE_LIMIT_VARIABLE, raising=False)
    assert 95 * 1024 < inline_limit_bytes() < 100 * 1024


@settings(max_examples=60, deadline=None)
@given(
    batch_size=st.integers(1, 1000),
    observation_size=st.integers(1, 200),
    samples_per_insert=st.floats(0.01, 1000),
    limit=st.sampled_from([100 * 1024, 4_000_000]),
)
def test_a_sample_reply_stays_under_the_inline_limit_unless_one_minibatch_alone_does_not(
    batch_size: int, observation_size: int, samples_per_insert: float, limit: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(INLINE_LIMIT_VARIABLE, str(limit))
        count = minibatches_per_call(batch_size, observation_size, samples_per_insert)
    assert 1 <= count <= 32
    if count > 1:
        rows = range(count * batch_size)
        reply = sample_reply(transitions(rows, observation_size), rows)
        assert len(pickle.dumps(reply, protocol=5)) < limit
    if count < 12:
        one = sample_reply(transitions(range(batch_size), observation_size), range(batch_size))
        assert one.rows is not None
        row_bytes = one.rows.nbytes
        assert (count + 1) * row_bytes > 0.95 * limit  # one more would have come too near


def with_tolerance(tolerance: float | None) -> Config:
    return Config(replay=ReplayConfig(tolerance_samples=tolerance))


@pytest.mark.parametrize("tolerance", [2047.9, 0.0, -1.0, NAN])
def test_a_tolerance_under_which_both_sides_could_wait_for_ever_is_refused_with_one_that_works(
    tolerance: float,
) -> None:
    """A call of 32 minibatches of 128 rows has 4,096 samples."""
    with pytest.raises(BadInput, match=rf"^--tolerance-samples {tolerance}: .* 4096 samples .* use 2048 or more"):
        resolve(with_tolerance(tolerance), observation_size=4)


def test_a_tolerance_of_half_a_call_is_kept() -> None:
    assert resolve(with_tolerance(2048), observation_size=4).replay.tolerance_samples == 2048.0


@pytest.mark.parametrize(("batch_size", "samples_per_insert"), [(128, 32.0), (1, 0.01), (50_000, 1.0), (37, 1000.0)])
def test_the_default_tolerance_is_two_calls_and_two_chunks_and_is_never_refused(
    batch_size: int, samples_per_insert: float
) -> None:
    config = Config(
        actor=ActorConfig(chunk_rows=100),
        learner=LearnerConfig(batch_size=batch_size),
        replay=ReplayConfig(samples_per_insert=samples_per_insert),
    )
    tolerance = resolve(config, observation_size=4).replay.tolerance_samples
    assert tolerance == pytest.approx(2 * rows_per_call(config, observation_size=4) + 200 * samples_per_insert)


def test_resolving_changes_nothing_else() -> None:
    config = Config(run=RunConfig(seed=5))
    resolved = resolve(config, observation_size=4)
    assert config.replay.tolerance_samples is None
    assert resolved == dataclasses.replace(
        config,
        actor=dataclasses.replace(
            config.actor,
            chunk_rows=config.actor.rows_per_chunk,
            epsilon_decay_env_steps=resolved.actor.epsilon_decay_env_steps,
        ),
        learner=dataclasses.replace(
            config.learner,
            learning_rate_final=config.learner.decayed_learning_rate,
            learning_rate_decay_learner_steps=resolved.learner.learning_rate_decay_learner_steps,
            clip_fade_learner_steps=resolved.learner.clip_fade_learner_steps,
        ),
        replay=dataclasses.replace(
            config.replay,
            tolerance_samples=resolved.replay.tolerance_samples,
            replay_capacity_transitions=resolved.replay.replay_capacity_transitions,
        ),
    )
    assert np.isfinite(resolved.replay.tolerance_samples)


def decays(
    max_env_steps: int | None, max_learner_steps: int | None = None, samples_per_insert: float = 32.0
) -> tuple[int, float]:
    """(learner steps of the rate's decay, environment steps of epsilon's) in a run with these limits."""
    config = Config(
        learner=LearnerConfig(max_learner_steps=max_learner_steps),
        replay=ReplayConfig(max_env_steps=max_env_steps, samples_per_insert=samples_per_insert),
    )
    resolved = resolve(config, observation_size=4)
    assert resolved.learner.learning_rate_decay_learner_steps is not None
    assert resolved.actor.epsilon_decay_env_steps is not None
    return resolved.learner.learning_rate_decay_learner_steps, resolved.actor.epsilon_decay_env_steps


def test_decays_grow_with_a_long_run() -> None:
    """The rate falls to the end."""
    rate, epsilon = decays(5_000_000)
    assert rate == 32 * (5_000_000 - 1000) // 128
    longer_rate, longer_epsilon = decays(50_000_000)
    assert longer_rate == pytest.approx(10 * rate, rel=0.01)
    assert longer_epsilon == pytest.approx(10 * epsilon)
    assert (rate, epsilon) > decays(500_000)


@pytest.mark.parametrize("max_env_steps", [1, 500, 2000, 20_000, 100_000, 500_000, 10_000_000])
def test_decays_are_over_before_the_run_is(max_env_steps: int) -> None:
    """A transition is sampled 32 times in minibatches of 128, and learning starts after 1,000."""
    rate, epsilon = decays(max_env_steps)
    assert 1 <= rate <= max(1, 32 * (max_env_steps - 1000) / 128)
    assert 0 < epsilon <= max_env_steps / 10


def test_the_limit_that_ends_a_run_first_counts_for_the_rates_decay() -> None:
    by_env_steps = decays(5_000_000)
    by_learner_steps = decays(None, max_learner_steps=1_249_750)
    assert by_env_steps[0] == by_learner_steps[0]
    assert decays(50_000_000, max_learner_steps=1_249_750)[0] == by_env_steps[0]
    assert decays(5_000_000, max_learner_steps=12_497_500)[0] == by_env_steps[0]
    assert decays(5_000_000, samples_per_insert=320.0)[0] == pytest.approx(10 * by_env_steps[0], rel=0.01)


@pytest.mark.parametrize(("max_env_steps", "expected"), [(1, 1), (101_000, 3125), (501_000, 15_625), (None, 5000)])
def test_clipped_double_fades_within_an_eighth_of_the_run(max_env_steps: int | None, expected: int) -> None:
    resolved = resolve(Config(replay=ReplayConfig(max_env_steps=max_env_steps)), observation_size=4)
    assert resolved.learner.clip_fade_learner_steps == expected


def test_without_a_limit_decays_are_those_of_the_sections_alone() -> None:
    assert decays(None) == (LearnerConfig().decay_learner_steps, ActorConfig().decay_env_steps)


@pytest.mark.parametrize(
    ("observation_size", "capacity"), [(4, 500_000), (147, 500_000), (1_000, 124_626), (84 * 84 * 3, 50_000)]
)
def test_the_ring_holds_fewer_large_observations(observation_size: int, capacity: int) -> None:
    """As many as take a GB, but no less than 50,000 and no more than 500,000."""
    assert resolve(Config(), observation_size).replay.replay_capacity_transitions == capacity
    assert resolve(Config(), observation_size).replay.capacity_transitions == capacity
    asked = Config(replay=ReplayConfig(replay_capacity_transitions=777))
    assert resolve(asked, observation_size).replay.capacity_transitions == 777


@pytest.mark.parametrize("max_env_steps", [None, 2000, 50_000_000])
def test_decays_that_were_asked_for_are_kept(max_env_steps: int | None) -> None:
    config = Config(
        actor=ActorConfig(epsilon_decay_env_steps=777.0),
        learner=LearnerConfig(learning_rate_decay_learner_steps=888, clip_fade_learner_steps=999),
        replay=ReplayConfig(max_env_steps=max_env_steps),
    )
    resolved = resolve(config, observation_size=4)
    assert (resolved.actor.decay_env_steps, resolved.learner.decay_learner_steps) == (777.0, 888)
    assert resolved.learner.fade_learner_steps == 999
