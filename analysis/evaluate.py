"""Greedy episodes of a saved network, and a video of one."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from actors.greedy import Played, StepLimit, greedy_returns
from actors.policy import QFunction
from analysis.saved_run import misfit, read_config, read_network, read_table
from common.config import BadInput
from common.environment import VectorEnvironment, probe
from common.params import describe
from common.run_files import EPISODES
from common.seeding import seed_sequence
from common.statistics import summarize
from common.types import EnvironmentSpec

_TOGETHER = 100  # episodes played side by side


def evaluate_run(run: Path, episodes: int, seed: int, video: Path | None) -> None:
    """`launch.py evaluate`: prints mean, spread and 95 % interval. Raises BadInput on a missing or damaged run."""
    config = read_config(run, "evaluate")
    arrays = read_network(run, "evaluate")
    environment = probe(config["settings"]["env"])
    if (wrong := misfit(arrays, environment, trained_on=environment.id)) is not None:
        raise BadInput(f"evaluate {run}: {wrong}")
    q_function = QFunction(arrays)
    limit = StepLimit(getattr(environment, "max_episode_steps", None), _longest_episode(run))
    recorded = None
    if video is not None:  # first, because it can fail
        from analysis.video import record  # here, because only a video needs what it imports

        start = int(seed_sequence(seed, "evaluate", index=1).generate_state(1)[0])
        recorded = record(q_function, environment, start, video, limit)
    played = play(q_function, environment, episodes, seed, limit)
    print(f"{environment.id}, network {describe({name: array.shape for name, array in arrays.items()})}, from {run}")
    print(f"{episodes} greedy episode{'s' if episodes > 1 else ''}, seed {seed}")
    for line in _lines(played, config["environment"]["solved_return"]):
        print(line)
    if recorded is not None:
        path, ended = recorded
        print(f"video: {path}" + ("" if ended else f", up to step {limit.env_steps:,} of an episode that did not end"))


def play(q_function: QFunction, environment: EnvironmentSpec, episodes: int, seed: int, limit: StepLimit) -> Played:
    """So many greedy episodes; the seed's own stream draws all start states."""
    rng = np.random.default_rng(seed_sequence(seed, "evaluate"))
    parts: list[Played] = []
    for first in range(0, episodes, _TOGETHER):
        environments = VectorEnvironment(environment.id, min(_TOGETHER, episodes - first))
        part = greedy_returns(q_function, environments, int(rng.integers(2**63)), limit)
        environments.close()
        assert part is not None
        parts.append(part)
    return Played(
        returns=np.concatenate([part.returns for part in parts]),
        unended=sum(part.unended for part in parts),
        longest_env_steps=max(part.longest_env_steps for part in parts),
    )


def _lines(played: Played, solved_return: float | None) -> list[str]:
    """What the episodes came to; one of them alone has no spread."""
    returns = played.returns
    summary = summarize(returns)
    if returns.size == 1:
        lines = [f"return {summary.mean:.1f}; standard deviation and interval need more than one episode"]
    else:
        lines = [
            f"mean return {summary.mean:.1f}, standard deviation {summary.std:.1f}, 95 % interval of the mean "
            f"[{summary.interval_low:.1f}, {summary.interval_high:.1f}]",
            f"lowest {returns.min():.1f}, median {np.median(returns):.1f}, highest {returns.max():.1f}",
        ]
    if played.unended:
        lines.append(
            f"{played.unended} of {returns.size} episodes did not end within {played.longest_env_steps:,} steps; they "
            "count with what they reached"
        )
    if solved_return is not None:
        verdict = "at or above" if summary.mean >= solved_return else "below"
        lines.append(f"{verdict} the return that counts as solved, {solved_return:g}")
    return lines


def _longest_episode(run: Path) -> int:
    """In environment steps, of training; 0 where the run's table cannot tell."""
    try:
        lengths = read_table(run, EPISODES, "evaluate", {"length_env_steps": "int64"})["length_env_steps"]
    except BadInput:
        return 0
    return max(lengths.drop_null().to_pylist(), default=0)
