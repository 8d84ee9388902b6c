"""What counts as reached beside other people's DQN."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from run_folders import look, write_config

from benchmarks.cold import OURS, Cold, chosen_peers, command_line, lower_bar_seconds
from benchmarks.peer_looks import confirmed, greedy_mean
from common.config import BadInput
from driver.reporting.run_folder import RunFolder


def a_run(path: Path, confirmations: Sequence[tuple[float, float]]) -> Path:
    """With a look before each confirmation; (mean, seconds) of each."""
    folder = RunFolder(write_config(path))
    for version, (mean, seconds) in enumerate(confirmations):
        folder.add_look(look(version, 500.0), seconds - 1)
        folder.add_look(look(version, mean, "confirmation"), seconds)
    folder.flush()
    return path


def test_ours_is_over_the_peers_bar_at_the_first_confirmation_whose_mean_is(tmp_path: Path) -> None:
    run = a_run(tmp_path, [(199.0, 10.0), (201.0, 20.0), (250.0, 30.0)])
    assert lower_bar_seconds(run, "LunarLander-v3") == 20.0
    assert lower_bar_seconds(run, "CartPole-v1") is None


def test_a_run_that_wrote_nothing_was_never_over_it(tmp_path: Path) -> None:
    assert lower_bar_seconds(tmp_path, "CartPole-v1") is None


def test_peers_without_settings_for_the_environment_are_left_out_or_refused() -> None:
    assert chosen_peers(Cold()) == ("tutorial", "stable-baselines3", "rllib")
    assert chosen_peers(Cold(env="LunarLander-v3")) == ("stable-baselines3",)
    with pytest.raises(BadInput, match=r"^--peers rllib: has no settings for LunarLander-v3; these have: stable"):
        chosen_peers(Cold(env="LunarLander-v3", peers=("rllib",)))


@pytest.mark.parametrize("side", [OURS, "stable-baselines3"])
def test_both_sides_are_asked_for_the_same_environment(side: str, tmp_path: Path) -> None:
    command = command_line(side, "LunarLander-v3", 3, 60.0, tmp_path)
    assert command[command.index("--env") + 1] == "LunarLander-v3"


def test_a_peers_mean_is_over_whole_episodes_with_and_without_a_vector_class() -> None:
    def to_the_right(observations: np.ndarray) -> np.ndarray:
        return np.ones(len(observations), dtype=np.int64)

    assert 8 < greedy_mean(to_the_right, "CartPole-v1", seed=1) < 11
    assert greedy_mean(to_the_right, "MountainCar-v0", seed=1) == -200.0  # action 1 does not push
    assert confirmed(to_the_right, "CartPole-v1", seed=1)[1] is False
