"""Greedy episodes of a saved network, and a video of one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from actors.greedy import greedy_returns
from actors.policy import QFunction
from analysis.saved_run import read_config, read_network
from common.config import BadInput
from common.env_args import arguments, copies
from common.environment import VectorEnvironment, flatten, probe
from common.params import check_arrays, describe, layer_shapes
from common.run_files import CONFIG
from common.seeding import environment_seeds, seed_sequence
from common.single_environment import make_single
from common.statistics import summarize

_TOGETHER = 100  # episodes played side by side


def evaluate_run(run: Path, episodes: int, seed: int, video: Path | None) -> None:
    """`launch.py evaluate`: prints mean, spread and 95 % interval. Raises BadInput on a missing or damaged run."""
    config = read_config(run, "evaluate")
    env_id = str(config["settings"]["env"])
    args, index = _arguments(run, config["settings"])
    arrays = read_network(run, "evaluate")
    environment = probe(env_id, args, index)
    hidden = [len(array) for name, array in arrays.items() if name.endswith("bias")][:-1]
    try:
        check_arrays(arrays, layer_shapes(environment.observation_size, hidden, environment.action_count))
    except ValueError as error:
        raise BadInput(f"evaluate {run}: its network does not fit {env_id}: {error}") from None
    q_function = QFunction(arrays)
    returns = play(q_function, env_id, episodes, seed, args, index)
    summary = summarize(returns)
    print(f"{env_id}, network {describe({name: array.shape for name, array in arrays.items()})}, from {run}")
    print(f"{episodes} greedy episodes, seed {seed}")
    interval = (
        f"[{summary.interval_low:.1f}, {summary.interval_high:.1f}]" if episodes > 1 else "needs more than one episode"
    )
    print(f"mean return {summary.mean:.1f}, standard deviation {summary.std:.1f}, 95 % interval of the mean {interval}")
    print(f"lowest {returns.min():.1f}, median {np.median(returns):.1f}, highest {returns.max():.1f}")
    solved_return = config["environment"]["solved_return"]
    if solved_return is not None:
        verdict = "at or above" if summary.mean >= solved_return else "below"
        print(f"{verdict} the return that counts as solved, {solved_return:g}")
    if video is not None:
        print(f"video: {record(q_function, env_id, seed, video, args, index)}")


def _arguments(run: Path, settings: dict[str, Any]) -> tuple[tuple[str, ...], int]:
    """What its environment was made with, and the number of the first copy here. Raises BadInput on damage."""
    args = settings.get("env_args", [])  # runs of before there were any have none
    try:
        if not isinstance(args, list) or not all(isinstance(setting, str) for setting in args):
            raise ValueError(f"env_args is {args!r}")
        arguments(args, index=0)
        index = copies(int(settings.get("actors", 0)) * int(settings.get("envs_per_actor", 0))).evaluate
    except (TypeError, ValueError) as error:
        raise BadInput(f"evaluate {run}: its {CONFIG} is damaged ({error}); name another run") from None
    return tuple(args), index


def play(
    q_function: QFunction, env_id: str, episodes: int, seed: int, args: Sequence[str] = (), first_index: int = 0
) -> NDArray[np.float64]:
    """Undiscounted returns `[episodes]`; the seed's own stream draws all start states."""
    rng = np.random.default_rng(seed_sequence(seed, "evaluate"))
    returns: list[NDArray[np.float64]] = []
    for first in range(0, episodes, _TOGETHER):
        streams = seed_sequence(seed, "evaluate", index=2 + first)
        environments = VectorEnvironment(env_id, min(_TOGETHER, episodes - first), args, first_index, streams)
        batch = greedy_returns(q_function, environments, int(rng.integers(2**63)))
        environments.close()
        assert batch is not None
        returns.append(batch)
    return np.concatenate(returns)


def record(
    q_function: QFunction, env_id: str, seed: int, folder: Path, args: Sequence[str] = (), index: int = 0
) -> Path:
    """Plays one greedy episode and writes it as an MP4. Raises BadInput where that cannot be done."""
    from gymnasium.wrappers import RecordVideo

    try:
        single = make_single(env_id, args, index, render_mode="rgb_array")
        env = RecordVideo(single, str(folder), name_prefix="greedy", disable_logger=True)
    except (OSError, gymnasium.error.Error, ValueError, AssertionError) as error:
        raise BadInput(
            f"--video {folder}: {' '.join(str(error).split())}; leave it out, or name another folder"
        ) from None
    action_start = int(getattr(env.action_space, "start", 0))
    observation, _ = env.reset(seed=environment_seeds(seed_sequence(seed, "evaluate", index=1), 1)[0])
    ended = False
    while not ended:
        q_values = q_function(flatten(env.observation_space, np.asarray(observation)[None], 1))
        observation, _, terminated, truncated, _ = env.step(int(q_values.argmax()) + action_start)
        ended = terminated or truncated
    env.close()  # type: ignore[no-untyped-call]
    return max(folder.glob("greedy*.mp4"), key=lambda path: path.stat().st_mtime)
