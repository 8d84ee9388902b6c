"""Run folders made by hand, as small as their readers allow."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from fakes import constant_arrays
from numpy.typing import NDArray

from common.run_files import CONFIG, Q_NETWORK
from common.types import Episodes, Look, LookKind
from driver.reporting.progress import Progress
from driver.reporting.run_folder import RunFolder
from learner.network_file import encode_network
from replay_server.episode_log import EpisodeRows

NUMBERS = {"actors": 8, "envs_per_actor": 12, "samples_per_insert": 32.0}


def write_config(path: Path, env: str = "CartPole-v1", solved_return: float | None = 475.0) -> Path:
    """A folder with what every reader needs of the config."""
    path.mkdir(parents=True, exist_ok=True)
    config = {"settings": {"env": env, **NUMBERS}, "environment": {"solved_return": solved_return}}
    (path / CONFIG).write_text(json.dumps(config))
    return path


def change_config(path: Path, section: str, name: str, value: Any) -> None:
    """One value of it."""
    config = json.loads((path / CONFIG).read_text())
    config[section][name] = value
    (path / CONFIG).write_text(json.dumps(config))


def write_network(path: Path, arrays: Mapping[str, NDArray[np.float32]], env: str = "CartPole-v1") -> Path:
    """A folder from which a network can be played."""
    write_config(path, env, solved_return=None)
    (path / Q_NETWORK).write_bytes(encode_network(arrays))
    return path


def write_constant_network(path: Path, env: str, q_values: Sequence[float], observation_size: int) -> Path:
    """A network for which these are the Q-values of every observation."""
    return write_network(path, constant_arrays(q_values, observation_size), env)


def write_run(
    path: Path,
    returns: Sequence[float],
    solved: bool = True,
    length: int = 10,
    moments: Sequence[Progress] = (),
) -> Path:
    """A run with episodes of `length` environment steps each, two looks and a confirmation, and these moments."""
    write_config(path)
    folder = RunFolder(path)
    for number, value in enumerate(returns):
        epsilon, version, terminated = np.array([0.1], dtype=np.float32), np.array([100]), np.array([True])
        episodes = Episodes(np.array([value]), np.array([length]), epsilon, version, terminated)
        folder.add_episodes([EpisodeRows(episodes, 0, 0, length * (number + 1), 100)], number, float(number))
    folder.add_look(look(100, 20.0), 1.0)
    folder.add_look(look(200, 500.0), 1.0)
    folder.add_look(look(200, 500.0, "confirmation", solved), 1.0)
    for moment in moments:
        folder.add_progress(moment)
    folder.flush()
    return path


def look(
    version: int,
    mean: float = 0.0,
    kind: LookKind = "look",
    solved: bool = False,
    unended: int = 0,
    spread: float = 0.0,
) -> Look:
    """100 episodes, half of them `spread` above the mean and half below; 1.984 standard errors on either side."""
    half = 1.984 * spread * np.sqrt(100 / 99) / 10
    return Look(
        kind=kind,
        version=version,
        env_steps=version // 10,
        seed=7,
        returns=mean + np.repeat([-spread, spread], 50),
        unended=unended,
        longest_env_steps=6_000,
        mean=mean,
        std=spread * np.sqrt(100 / 99),
        interval_low=mean - half,
        interval_high=mean + half,
        confidence=0.95,
        solved=solved,
    )
