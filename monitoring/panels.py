"""What Grafana's dashboard shows: its rows of charts, each with its queries."""

from __future__ import annotations

from typing import NamedTuple

from grafana_foundation_sdk.models import units

from driver.reporting.ray_metrics import METRICS

_EXPORTED = {metric.name: metric.exported_name for metric in METRICS}


class Query(NamedTuple):
    """One family of lines; `legend` names them by their labels."""

    expr: str
    legend: str


class Panel(NamedTuple):
    """One chart over time, `width` of 24 columns wide."""

    title: str
    width: int
    unit: str
    description: str
    queries: tuple[Query, ...]
    logarithmic: bool = False


def rate(name: str, by: str, legend: str, **labels: str) -> Query:
    """A counter a second. Ray adds labels of its own, which are summed away."""
    return Query(f"sum by ({by}) (rate({_selector(name, **labels)}[$__rate_interval]))", legend)


def gauge(name: str, by: str, legend: str) -> Query:
    """A gauge, without the labels that Ray adds."""
    return Query(f"max by ({by}) ({_selector(name)})", legend)


def _selector(name: str, **labels: str) -> str:
    chosen = "".join(f', {label}="{value}"' for label, value in labels.items())
    return f'{_EXPORTED[name]}{{run=~"$run"{chosen}}}'


RUNS = f"label_values({_EXPORTED['dqn_actors_wanted']}, run)"
"""The runs that Prometheus knows, in the language of Grafana's variables."""
_RUN, _ACTOR, _SHARD = "{{run}}", "{{run}} actor-{{actor_id}}", "{{run}} {{role}}"
_INTERVAL = "{{run}} sync interval"
_LEARNER_STEPS = "suffix:learner steps"

ROWS: dict[str, tuple[Panel, ...]] = {
    "Throughput": (
        Panel(
            "Environment steps",
            8,
            "suffix:steps/s",
            "Accepted by the replay server, all actors of a run.",
            (rate("dqn_env_steps", "run", _RUN),),
        ),
        Panel("Learner steps", 8, "suffix:steps/s", "Gradient updates.", (rate("dqn_learner_steps", "run", _RUN),)),
        Panel(
            "Samples per insert",
            8,
            units.NoUnit,
            "Realised since learning began; the rate limiter keeps it at --samples-per-insert.",
            (gauge("dqn_samples_per_insert_ratio", "run", _RUN),),
        ),
        Panel(
            "Environment steps by actor",
            8,
            "suffix:steps/s",
            "Actors of a run should be alike.",
            (rate("dqn_env_steps", "run, actor_id", _ACTOR),),
        ),
        Panel(
            "Episodes",
            8,
            "suffix:episodes/s",
            "Finished training episodes; longer ones are fewer.",
            (rate("dqn_episodes", "run", _RUN),),
        ),
        Panel(
            "Transitions by shard",
            8,
            "suffix:transitions/s",
            "Inserted and sampled; the ratio of the two is samples per insert.",
            (
                rate("dqn_transitions", "run, role", f"{_SHARD} inserted"),
                rate("dqn_samples", "run, role", f"{_SHARD} sampled"),
            ),
            logarithmic=True,
        ),
    ),
    "Learning": (
        Panel(
            "Returns",
            12,
            units.NoUnit,
            "Training: mean of the last 100 episodes, exploration included. Evaluation: mean of the last look, greedy.",
            (
                gauge("dqn_training_return", "run", f"{_RUN} training"),
                gauge("dqn_evaluation_return", "run", f"{_RUN} evaluation"),
            ),
        ),
        Panel(
            "Epsilon by actor",
            12,
            units.PercentUnit,
            "Share of random actions, mean over the actor's environments.",
            (gauge("dqn_epsilon_ratio", "run, actor_id", _ACTOR),),
        ),
        Panel("Loss", 6, units.NoUnit, "Of the last minibatch.", (gauge("dqn_learner_loss", "run", _RUN),)),
        Panel(
            "Q-values and TD errors",
            6,
            units.NoUnit,
            "In units of return: mean and standard deviation of greedy Q-values at the last sync, and mean |TD error| "
            "of the last reply.",
            (
                gauge("dqn_q_value_mean", "run", f"{_RUN} Q-value"),
                gauge("dqn_q_value_spread", "run", f"{_RUN} spread of Q-values"),
                gauge("dqn_td_error_abs_mean", "run", f"{_RUN} |TD error|"),
            ),
        ),
        Panel(
            "Silent units",
            6,
            units.PercentUnit,
            "Units that are 0 for all observations of a minibatch, in the hidden layer that has most. At 100 % the "
            "network has died.",
            (gauge("dqn_silent_units_ratio", "run", _RUN),),
        ),
        Panel(
            "Learning rate",
            6,
            units.ScientificNotation,
            "Adam's step size.",
            (gauge("dqn_learning_rate", "run", _RUN),),
        ),
    ),
    "Lag and waits": (
        Panel(
            "Policy lag",
            12,
            _LEARNER_STEPS,
            "From the oldest params acted with in a chunk to the newest when it arrives, mean of the last 100 chunks.",
            (
                gauge("dqn_policy_lag_learner_steps", "run", _RUN),
                gauge("dqn_target_sync_learner_steps", "run", _INTERVAL),
            ),
        ),
        Panel(
            "Time spent waiting",
            12,
            units.PercentUnit,
            "Learner: for rows, in the last second and over the interval. Actors: for acks, while they are ahead of "
            "the learner. One of the two sides always waits.",
            (
                gauge("dqn_learner_waiting_ratio", "run", f"{_RUN} learner, last second"),
                rate("dqn_wait_seconds", "run", f"{_RUN} learner", role="learner"),
                rate("dqn_wait_seconds", "run, actor_id", _ACTOR, role="actor"),
            ),
        ),
        Panel(
            "Params age by actor, learner steps",
            12,
            _LEARNER_STEPS,
            "From the params that an actor last said it acts with to the newest; grows while it does not answer. "
            "Above 3 sync intervals for long, it no longer gets new ones.",
            (
                gauge("dqn_params_age_learner_steps", "run, actor_id", _ACTOR),
                Query(f"3 * {gauge('dqn_target_sync_learner_steps', 'run', '').expr}", "{{run}} 3 sync intervals"),
            ),
        ),
        Panel(
            "Params age by actor and delay",
            12,
            units.Seconds,
            "Age: since an actor took the params that it acts with. Delay: from publication to the last actor, median.",
            (
                gauge("dqn_params_age_seconds", "run, actor_id", _ACTOR),
                gauge("dqn_params_delay_seconds", "run", f"{_RUN} delay"),
            ),
        ),
    ),
    "Health": (
        Panel(
            "Actors",
            8,
            units.NoUnit,
            "Alive: plays, and answered within 10 seconds.",
            (gauge("dqn_actors_alive", "run", f"{_RUN} alive"), gauge("dqn_actors_wanted", "run", f"{_RUN} wanted")),
        ),
        Panel(
            "Actor restarts",
            8,
            units.NoUnit,
            "Processes replaced since the run began.",
            (gauge("dqn_actor_restarts", "run, actor_id", _ACTOR),),
        ),
        Panel(
            "Duplicate chunks",
            8,
            units.NoUnit,
            "Came more than once since the run began, and were inserted once.",
            (gauge("dqn_duplicate_chunks", "run", _RUN),),
        ),
        Panel(
            "Replay fill by shard",
            12,
            units.PercentUnit,
            "Share of the capacity in use.",
            (gauge("dqn_replay_fill_ratio", "run, role", _SHARD),),
        ),
        Panel(
            "Replay size by shard",
            12,
            "suffix:transitions",
            "In the ring.",
            (gauge("dqn_replay_size_transitions", "run, role", _SHARD),),
        ),
    ),
}
