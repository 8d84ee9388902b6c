"""Every setting, each in one place: its type, default, and help text with its unit. The command line is made from it.

One frozen dataclass for each role inside one `Config`. `__post_init__` refuses what cannot work, naming the setting,
its value and what would work. A role receives its own section, never the whole.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any, Literal

from common.env_args import arguments, is_wrapper
from common.messages import minibatches_per_call

_LEAST_LEARNING_RATE = 1e-5
_RATE_DECAY_LEARNER_STEPS = 40_000  # without a limit of the run
_CAPACITY_TRANSITIONS = 500_000  # a default run: once its first failures are gone, a good policy forgets them
_CAPACITY_BYTES = 1_000_000_000
_LEAST_CAPACITY_TRANSITIONS = 50_000
_EPSILON_DECAY_ENV_STEPS = 12_000.0
_EPSILON_DECAY_SHARES = (1 / 10, 12_000 / 500_000)  # of a run: at most, for the sake of short ones; at least, of long
_LEAST_CHUNK_ROWS, _CHUNK_STEPS = 64, 16
_ROWS_IN_FLIGHT = 1400  # of all actors together; an episode's end adds n_step - 1


class BadInput(Exception):  # noqa: N818  what the user did, rather than what the program met
    """A request that cannot work. Its text is one clear message: the setting, its value, what would work."""


def _require(holds: bool, setting: str, value: Any, works: str) -> None:
    if not holds:
        raise BadInput(f"--{setting.replace('_', '-')} {value}: {works}")


def _require_positive_int(section: Any, *names: str) -> None:
    for name in names:
        value = getattr(section, name)
        if value is not None:
            _require(value >= 1, name, value, "must be a whole number of at least 1")


@dataclass(frozen=True)
class ActorConfig:
    """Actors: how they play and what they ship."""

    actors: int = 8
    """Actor processes."""
    envs_per_actor: int = 12
    """Environments that each actor steps."""
    gamma: float = 0.99
    """Discount for each environment step."""
    n_step: int = 3
    """Most environment steps in a transition."""
    n_step_cut: bool = True
    """End them before an action that is not greedy."""
    epsilon_schedule: Literal["exponential", "ladder"] = "exponential"
    """Exploration: exponential decay, or the Ape-X ladder."""
    epsilon_start: float = 1.0
    """Exponential: epsilon at the start."""
    epsilon_end: float = 0.1
    """Exponential: epsilon in the end, of the environment in the middle."""
    epsilon_spread: float = 0.8
    """Exponential: ends are epsilon_end ** (1 - spread) to epsilon_end ** (1 + spread); 0: all the same."""
    epsilon_decay_env_steps: float | None = None
    """Global environment steps to 1/e [12,000; by --max-env-steps where it is below 120,000 or above 500,000]."""
    epsilon_wait_terminations: int = 10
    """Exponential: terminated episodes that the first decay waits for, at most two decays; 0: no wait."""
    epsilon_hold_share: float = 0.025
    """Most steps that a random action is held, as a share of an episode's mean length; at most 20."""
    epsilon_ladder_base: float = 0.7
    """Ladder: epsilon_i = base ** (1 + alpha * i / (N - 1))."""
    epsilon_ladder_alpha: float = 7.0
    """Ladder: see above; N environments of all actors."""
    chunk_rows: int | None = None
    """Transitions in a chunk [64 or 16 steps; fewer with many actors]."""
    chunk_seconds: float = 0.5
    """Seconds until a chunk ships short."""

    def __post_init__(self) -> None:
        _require_positive_int(self, "actors", "envs_per_actor", "n_step", "chunk_rows")
        _require(0 <= self.gamma <= 1, "gamma", self.gamma, "must lie in [0, 1]")
        for name in ("epsilon_start", "epsilon_end", "epsilon_hold_share"):
            _require(0 <= getattr(self, name) <= 1, name, getattr(self, name), "must lie in [0, 1]")
        wait = self.epsilon_wait_terminations
        _require(wait >= 0, "epsilon_wait_terminations", wait, "must be a whole number of at least 0")
        _require(0 <= self.epsilon_spread < 1, "epsilon_spread", self.epsilon_spread, "must lie in [0, 1)")
        if self.epsilon_decay_env_steps is not None:
            _require(
                0 < self.epsilon_decay_env_steps < math.inf,
                "epsilon_decay_env_steps",
                self.epsilon_decay_env_steps,
                "must be above 0",
            )
        _require(
            0 < self.epsilon_ladder_base <= 1, "epsilon_ladder_base", self.epsilon_ladder_base, "must lie in (0, 1]"
        )
        _require(
            0 <= self.epsilon_ladder_alpha < math.inf,
            "epsilon_ladder_alpha",
            self.epsilon_ladder_alpha,
            "must be at least 0",
        )
        _require(0 < self.chunk_seconds < math.inf, "chunk_seconds", self.chunk_seconds, "must be above 0")

    @property
    def decay_env_steps(self) -> float:
        """epsilon_decay_env_steps, or else that of a run without a limit."""
        return _EPSILON_DECAY_ENV_STEPS if self.epsilon_decay_env_steps is None else self.epsilon_decay_env_steps

    @property
    def rows_per_chunk(self) -> int:
        """chunk_rows, or else 64 or 16 steps of all environments, as far as the rows in flight of all actors allow.

        An actor ships whole steps of its environments, so one step is the least, whatever the limit says.
        """
        if self.chunk_rows is not None:
            return self.chunk_rows
        steps = max(_LEAST_CHUNK_ROWS // self.envs_per_actor, _CHUNK_STEPS)
        allowed = _ROWS_IN_FLIGHT // self.actors // self.envs_per_actor
        return self.envs_per_actor * max(1, min(steps, allowed))


@dataclass(frozen=True)
class NetworkConfig:
    """Q-network."""

    hidden: tuple[int, ...] = (128, 128)
    """Hidden layer sizes."""
    dueling: bool = False
    """Value and advantage heads."""
    observation_scaling: Literal["running", "bounds", "raw"] = "running"
    """running: by mean and spread of what was seen; bounds: finite bounds to [-1, 1]."""

    def __post_init__(self) -> None:
        shown = " ".join(str(size) for size in self.hidden)
        _require(all(size >= 1 for size in self.hidden), "hidden", shown, "every layer size must be at least 1")


@dataclass(frozen=True)
class LearnerConfig:
    """Learner: the update."""

    double: bool = True
    """Online network picks the action."""
    clipped_double: bool = True
    """The online network's value counts, where the target's is not much lower."""
    clip_margin: float = 1.7
    """How much lower at first, in mean |rewards| of a transition."""
    clip_margin_decay_learner_steps: int = 3000
    """Length of its linear decay to 0, learner steps."""
    clip_fade_learner_steps: int | None = None
    """Learner steps in which clipped double fades into double DQN [1/8 of the rate's decay]."""
    bounded_targets: bool = True
    """Bound targets by rewards seen."""
    loss: Literal["huber", "squared"] = "huber"
    """Loss of the TD error."""
    huber_delta: float = 25.0
    """|TD error| where Huber turns linear at first, in the unit of return scaling."""
    huber_delta_rise_learner_steps: int = 20_000
    """Learner steps in which it rises without end: the loss is the squared one then."""
    return_scaling: Literal["running", "raw"] = "running"
    """running: values in hundredths of the size of returns seen; raw: in the unit of rewards."""
    recycle_units: bool = True
    """Where most units of a layer are 0 for all observations, these get fresh weights."""
    learning_rate: float = 4e-3
    """Adam's step size at the start."""
    adam_beta2: float = 0.95
    """Share of Adam's mean squared gradient kept in a learner step."""
    learning_rate_final: float | None = None
    """Adam's step size at the decay's end [1/80 of the start]; then it falls as 1 / learner steps."""
    learning_rate_decay_learner_steps: int | None = None
    """Length of the linear decay, learner steps [the run's; 40,000 without limits]."""
    batch_size: int = 128
    """Transitions in one learner step."""
    target_sync_learner_steps: int = 100
    """Learner steps between target copies and broadcasts."""
    params_average: float = 0.998
    """Share of the published average kept in a learner step."""
    max_learner_steps: int | None = None
    """The run ends at this learner step."""
    learner_threads: int = 1
    """Torch threads of the learner."""

    def __post_init__(self) -> None:
        _require_positive_int(
            self, "batch_size", "target_sync_learner_steps", "max_learner_steps", "learner_threads",
            "learning_rate_decay_learner_steps", "clip_margin_decay_learner_steps", "clip_fade_learner_steps",
            "huber_delta_rise_learner_steps",
        )  # fmt: skip
        _require(
            _LEAST_LEARNING_RATE <= self.learning_rate < math.inf,
            "learning_rate",
            self.learning_rate,
            f"must be at least {_LEAST_LEARNING_RATE}",
        )
        _require(0 < self.huber_delta < math.inf, "huber_delta", self.huber_delta, "must be above 0")
        _require(0 <= self.clip_margin < math.inf, "clip_margin", self.clip_margin, "must be at least 0")
        _require(0 <= self.adam_beta2 < 1, "adam_beta2", self.adam_beta2, "must lie in [0, 1)")
        _require(0 <= self.params_average < 1, "params_average", self.params_average, "must lie in [0, 1)")
        _require(
            _LEAST_LEARNING_RATE <= self.decayed_learning_rate <= self.learning_rate,
            "learning_rate_final",
            self.decayed_learning_rate,
            f"must be at least {_LEAST_LEARNING_RATE} and at most --learning-rate {self.learning_rate}",
        )

    @property
    def decay_learner_steps(self) -> int:
        """learning_rate_decay_learner_steps, or else that of a run without a limit."""
        given = self.learning_rate_decay_learner_steps
        return _RATE_DECAY_LEARNER_STEPS if given is None else given

    @property
    def fade_learner_steps(self) -> int:
        """clip_fade_learner_steps, or else 1/8 of the learning rate's decay."""
        given = self.clip_fade_learner_steps
        return max(1, self.decay_learner_steps // 8) if given is None else given

    @property
    def decayed_learning_rate(self) -> float:
        """learning_rate_final, or else 1/80 of learning_rate."""
        if self.learning_rate_final is not None:
            return self.learning_rate_final
        return max(_LEAST_LEARNING_RATE, self.learning_rate / 80)


@dataclass(frozen=True)
class ReplayConfig:
    """Replay server: the ring and the rate limiter."""

    replay_capacity_transitions: int | None = None
    """Size of the ring; of all shards together [500,000, or fewer of large observations]."""
    replay_shards: int = 1
    """Processes that share the ring; above 1 another one coordinates them."""
    learning_starts_transitions: int = 1000
    """Transitions before learning starts."""
    samples_per_insert: float = 32.0
    """Times each transition is sampled."""
    tolerance_samples: float | None = None
    """Samples either side may be ahead [2 calls + 2 chunks]."""
    max_env_steps: int | None = 500_000
    """The run ends after so many environment steps."""

    def __post_init__(self) -> None:
        _require_positive_int(self, "replay_capacity_transitions", "replay_shards", "max_env_steps")
        _require(
            self.replay_shards <= self.capacity_transitions,
            "replay_shards",
            self.replay_shards,
            f"is more than --replay-capacity-transitions {self.capacity_transitions}; every shard must hold at least "
            "one transition",
        )
        _require(
            self.learning_starts_transitions >= 1,
            "learning_starts_transitions",
            self.learning_starts_transitions,
            "must be at least 1",
        )
        _require(
            0 < self.samples_per_insert < math.inf, "samples_per_insert", self.samples_per_insert, "must be above 0"
        )

    @property
    def capacity_transitions(self) -> int:
        """replay_capacity_transitions, or else that of small observations."""
        given = self.replay_capacity_transitions
        return _CAPACITY_TRANSITIONS if given is None else given


@dataclass(frozen=True)
class EvaluatorConfig:
    """Evaluator: looks and confirmations."""

    evaluation_interval_learner_steps: int = 400
    """At most one look in so many learner steps."""
    evaluation_episodes: int = 100
    """Greedy episodes of a look; fewer where they are slow."""
    solved_return: float | None = None
    """Mean return that counts as solved [the environment's threshold]."""
    stop_when_solved: bool = True
    """End the run once solved."""

    def __post_init__(self) -> None:
        _require_positive_int(self, "evaluation_interval_learner_steps")
        _require(
            self.evaluation_episodes >= 2,
            "evaluation_episodes",
            self.evaluation_episodes,
            "must be a whole number of at least 2, because one episode has no spread",
        )
        if self.solved_return is not None:
            _require(math.isfinite(self.solved_return), "solved_return", self.solved_return, "must be a finite number")


@dataclass(frozen=True)
class PlacementConfig:
    """Placement: what the roles ask of Ray, and where they go on a cluster."""

    core_node: str = "driver"
    """Node of learner, replay server, evaluator: driver, any (one for all), spread, or its address."""
    learner_cpus: float = 1.0
    """Logical CPUs of the learner."""
    learner_gpus: float = 0.0
    """GPUs of the learner, which uses one if it gets any."""
    replay_cpus: float = 1.0
    """Logical CPUs of the replay server."""
    evaluator_cpus: float = 1.0
    """Logical CPUs of the evaluator."""
    actor_cpus: float = 1.0
    """Logical CPUs of each actor."""
    wait_for_resources: bool = False
    """Wait for what the cluster lacks; begin with the first actors."""

    def __post_init__(self) -> None:
        for name in ("learner_cpus", "learner_gpus", "replay_cpus", "evaluator_cpus", "actor_cpus"):
            value = getattr(self, name)
            _require(0 <= value < math.inf, name, value, "must be at least 0")
            _require(value < 1 or value == int(value), name, value, "must be a whole number, or a part of one")
        _require(
            bool(self.core_node.strip()), "core_node", repr(self.core_node), "must be driver, any, spread or an address"
        )


@dataclass(frozen=True)
class RunConfig:
    """Run: where, how long, from what."""

    env: str = "CartPole-v1"
    """Gymnasium id, or module:id."""
    env_args: tuple[str, ...] = ()
    """NAME=VALUE for the environment's constructor; {index}: number of the copy."""
    env_wrapper: str | None = None
    """MODULE:FUNCTION that gets each copy of the environment and returns it wrapped."""
    seed: int = 0
    """Root of every random stream."""
    max_seconds: float | None = None
    """The run ends after so many seconds."""
    initial_params: str | None = None
    """Run folder to go on from."""
    address: str | None = None
    """Attach to a Ray cluster: auto or host:port [RAY_ADDRESS, else embedded]."""
    dashboard: bool = True
    """Start the Ray dashboard."""
    dashboard_port: int | None = None
    """Port of the Ray dashboard [8265, or the next free one]."""
    profile: bool = False
    """Say at the end where each role's time went."""
    tensorboard: bool = False
    """Write TensorBoard event files too."""
    timeline: bool = False
    """Write timeline.json too, for ui.perfetto.dev."""
    run_dir: str | None = None
    """Run folder, new or empty [runs/<time>-<env>-<seed>]."""
    actor_restarts_per_minute: int = 3
    """Killed actors replaced in a minute."""
    ready_seconds: float = 120.0
    """Seconds in which a role must come up once it is created."""

    def __post_init__(self) -> None:
        _require(self.seed >= 0, "seed", self.seed, "must be a whole number of at least 0")
        _require(bool(self.env.strip()), "env", repr(self.env), "must be a Gymnasium id, such as CartPole-v1")
        try:
            arguments(self.env_args, index=0)
        except ValueError as error:
            raise BadInput(f"--env-args {error}") from None
        if self.env_wrapper is not None and not is_wrapper(self.env_wrapper):
            raise BadInput(
                f"--env-wrapper {self.env_wrapper}: must be MODULE:FUNCTION, such as my_wrappers:flat or "
                "gymnasium.wrappers:FlattenObservation"
            )
        if self.max_seconds is not None:
            _require(self.max_seconds > 0, "max_seconds", self.max_seconds, "must be above 0")
        if self.dashboard_port is not None:
            _require(0 < self.dashboard_port < 65536, "dashboard_port", self.dashboard_port, "must lie in 1 to 65535")
        _require(0 < self.ready_seconds < math.inf, "ready_seconds", self.ready_seconds, "must be above 0")
        _require(
            self.actor_restarts_per_minute >= 0,
            "actor_restarts_per_minute",
            self.actor_restarts_per_minute,
            "must be at least 0",
        )


@dataclass(frozen=True)
class Config:
    """All settings of one run."""

    run: RunConfig = field(default_factory=RunConfig)
    actor: ActorConfig = field(default_factory=ActorConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    learner: LearnerConfig = field(default_factory=LearnerConfig)
    replay: ReplayConfig = field(default_factory=ReplayConfig)
    evaluator: EvaluatorConfig = field(default_factory=EvaluatorConfig)
    placement: PlacementConfig = field(default_factory=PlacementConfig)

    def __post_init__(self) -> None:
        _require(
            self.learner.batch_size <= self.replay.capacity_transitions,
            "batch_size",
            self.learner.batch_size,
            f"is larger than --replay-capacity-transitions {self.replay.capacity_transitions}; "
            "make the batch smaller or the capacity larger",
        )


def rows_per_call(config: Config, observation_size: int) -> int:
    """Rows of the learner's sample calls."""
    size = config.learner.batch_size
    return size * minibatches_per_call(size, observation_size, config.replay.samples_per_insert)


def resolve(config: Config, observation_size: int) -> Config:
    """Fills in what other settings decide, or raises BadInput where both sides could wait for ever."""
    rows = rows_per_call(config, observation_size)
    tolerance = config.replay.tolerance_samples
    if tolerance is None:
        tolerance = 2 * rows + 2 * config.actor.rows_per_chunk * config.replay.samples_per_insert
    _require(
        2 * tolerance >= rows,
        "tolerance_samples",
        tolerance,
        f"learner and actors could wait for each other for ever: twice the tolerance must be at least the "
        f"{rows} samples of one call; use {math.ceil(rows / 2)} or more",
    )
    learner = dataclasses.replace(
        config.learner,
        learning_rate_final=config.learner.decayed_learning_rate,
        learning_rate_decay_learner_steps=_rate_decay(config),
    )
    return dataclasses.replace(
        config,
        actor=dataclasses.replace(
            config.actor,
            chunk_rows=config.actor.rows_per_chunk,
            epsilon_decay_env_steps=_epsilon_decay(config),
        ),
        learner=dataclasses.replace(learner, clip_fade_learner_steps=learner.fade_learner_steps),
        replay=dataclasses.replace(
            config.replay,
            tolerance_samples=float(tolerance),
            replay_capacity_transitions=_capacity(config, observation_size),
        ),
    )


def run_learner_steps(config: Config) -> int | None:
    """Learner steps of a run that goes on to its limits; None without any. A limit in seconds says nothing of them."""
    learner, replay = config.learner, config.replay
    limits = [] if learner.max_learner_steps is None else [learner.max_learner_steps]
    if replay.max_env_steps is not None:
        inserted = max(0, replay.max_env_steps - replay.learning_starts_transitions)
        limits.append(max(1, int(replay.samples_per_insert * inserted / learner.batch_size)))
    return min(limits, default=None)


def _rate_decay(config: Config) -> int:
    steps = run_learner_steps(config)
    if config.learner.learning_rate_decay_learner_steps is not None or steps is None:
        return config.learner.decay_learner_steps
    return steps


def _capacity(config: Config, observation_size: int) -> int:
    if config.replay.replay_capacity_transitions is not None:
        return config.replay.replay_capacity_transitions
    from common.rows import row_dtype  # here: numpy is not needed to read a command line

    fit = _CAPACITY_BYTES // row_dtype(observation_size).itemsize
    return min(_CAPACITY_TRANSITIONS, max(_LEAST_CAPACITY_TRANSITIONS, fit))


def _epsilon_decay(config: Config) -> float:
    limit = config.replay.max_env_steps
    if config.actor.epsilon_decay_env_steps is not None or limit is None:
        return config.actor.decay_env_steps
    most, least = _EPSILON_DECAY_SHARES
    return max(least * limit, min(_EPSILON_DECAY_ENV_STEPS, most * limit))
