"""A saved network, played by torch and gymnasium alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces

from benchmarks.playing import STEP_LIMIT, play, read_network


class Agreeing(gymnasium.Env[Any, Any]):
    """Pays 1 where the action, from 5, is the number seen. Episodes have as many steps as their seed's last digit."""

    def __init__(self, endless: bool = False) -> None:
        self.observation_space = spaces.Dict({"number": spaces.Discrete(3), "place": spaces.Box(-1, 1, (2,))})
        self.action_space = spaces.Discrete(3, start=5)
        self._endless = endless

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        assert seed is not None
        self._steps, self._length, self._number = 0, seed % 10 or 10, seed % 3
        return self._seen(), {}

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        reward = float(action == self._number + 5)
        self._steps += 1
        self._number = (self._number + 1) % 3
        ended = not self._endless and self._steps == self._length
        return self._seen(), reward, ended, False, {"score": self._length} if ended else {}

    def _seen(self) -> dict[str, Any]:
        return {"number": self._number, "place": np.zeros(2, dtype=np.float32)}


def saved(path: Path) -> torch.nn.Sequential:
    """A file whose Q-values are the one-hot number, through a hidden layer."""
    torch.save(
        {
            "0.weight": torch.eye(5),
            "0.bias": torch.zeros(5),
            "2.weight": torch.eye(5)[:3],
            "2.bias": torch.zeros(3),
        },
        path,
    )
    return read_network(path)


def test_greedy_episodes_are_flattened_shifted_and_added_up(tmp_path: Path) -> None:
    played = play(saved(tmp_path / "q.pth"), Agreeing, episodes=40)
    assert played.returns.tolist() == [10, 1, 2, 3, 4, 5, 6, 7, 8, 9] * 4
    assert (played.unended, played.score) == (0, 5.5)


def test_a_network_that_is_wrong_gets_nothing(tmp_path: Path) -> None:
    network = saved(tmp_path / "q.pth")
    with torch.no_grad():
        network[2].bias[1] = 2.0
    assert play(network, Agreeing, episodes=3).returns.tolist() == [4, 0, 1]


def test_episodes_without_an_end_are_cut_off_and_counted(tmp_path: Path) -> None:
    played = play(saved(tmp_path / "q.pth"), lambda: Agreeing(endless=True), episodes=2)
    assert played.returns.tolist() == [STEP_LIMIT, STEP_LIMIT]
    assert (played.unended, played.score) == (2, None)
