"""The run's progress as `ray.util.metrics`, for the Ray dashboard and Prometheus."""

from __future__ import annotations

from ray.util.metrics import Gauge

from driver.progress import Progress

_GAUGES = {
    "env_steps": "Environment steps of all actors",
    "learner_steps": "Gradient updates",
    "episodes": "Finished training episodes",
    "transitions": "Transitions inserted",
    "env_steps_per_second": "Environment steps per second",
    "learner_steps_per_second": "Learner steps per second",
    "samples_per_insert": "Samples trained on per transition inserted",
    "recent_return": "Mean return of the last 100 training episodes",
    "evaluation_return": "Mean greedy return of the last look",
    "epsilon": "Mean exploration rate",
    "policy_lag_recent": "Learner steps between the params acted with and the newest, last 100 chunks",
    "replay_fill": "Share of the replay capacity in use",
    "actors_alive": "Actors that play",
    "actor_restarts": "Actor processes replaced",
}


class RayMetrics:
    """Gauges named dqn_*; each is set at every moment, also when unchanged, because Ray drops silent ones."""

    def __init__(self, run: str) -> None:
        self._gauges = {
            name: Gauge(f"dqn_{name}", description=description, tag_keys=("run",))
            for name, description in _GAUGES.items()
        }
        self._tags = {"run": run}

    def export(self, progress: Progress) -> None:
        """None means nothing to measure yet, and is not exported."""
        for name, gauge in self._gauges.items():
            value = getattr(progress, name)
            if value is not None:
                gauge.set(float(value), tags=self._tags)
