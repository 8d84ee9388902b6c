"""Environments for tests, as a user would bring them: `--env environments:Name`."""

from __future__ import annotations

import os
import random
import signal
import time
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces


class OneState(gymnasium.Env[np.ndarray, int]):
    """One state; action 0 pays 1, action 1 nothing. Never terminates."""

    observation_space = spaces.Box(-1, 1, (1,), np.float32)
    action_space = spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        return np.ones(1, dtype=np.float32), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        return np.ones(1, dtype=np.float32), float(action == 0), False, False, {}


class ShortEpisodes(OneState):
    """Every episode lasts one step."""

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        return np.ones(1, dtype=np.float32), float(action == 0), True, False, {}


class FailsAtStep37(OneState):
    """Raises at its 37th step."""

    _steps = 0

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self._steps += 1
        if self._steps == 37:
            raise RuntimeError("the simulator broke at step 37")
        return super().step(action)


class InfiniteReward(OneState):
    """Pays infinity now and then."""

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, info = super().step(action)
        return observation, float("inf") if self.np_random.random() < 0.01 else reward, terminated, truncated, info


class OddObservations(OneState):
    """float64 and two-dimensional, handed out as the same array object each time."""

    observation_space = spaces.Box(-100, 100, (2, 3), np.float64)

    def __init__(self) -> None:
        self._array = np.zeros((2, 3), dtype=np.float64)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self._array[:] = 0
        return self._array, {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self._array += 1
        return self._array, float(action == 0), False, False, {}


class Slow(OneState):
    """0.05 seconds a step."""

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        time.sleep(0.05)
        return super().step(action)


class Corridor(gymnasium.Env[int, int]):
    """25 cells in a row, -1 a step; action 1 leads from the first to the last, which ends the episode. No time limit.

    Action 0 in the first cell walks into a wall.
    """

    cells = 25
    observation_space = spaces.Discrete(25)
    action_space = spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        super().reset(seed=seed)
        self._cell = 0
        return self._cell, {}

    def step(self, action: int) -> tuple[int, float, bool, bool, dict[str, Any]]:
        self._cell = max(0, self._cell + (1 if action == 1 else -1))
        return self._cell, -1.0, self._cell == self.cells - 1, False, {}


class ShortCorridor(Corridor):
    """A few random steps lead through it."""

    cells = 3
    observation_space = spaces.Discrete(3)


class Interrupted(Corridor):
    """Somebody presses Ctrl-C at its 50th step."""

    _steps = 0

    def step(self, action: int) -> tuple[int, float, bool, bool, dict[str, Any]]:
        self._steps += 1
        if self._steps == 50:
            os.kill(os.getpid(), signal.SIGINT)
        return super().step(action)


class Rendered(Corridor):
    """Shows itself by what its subclasses return."""

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 50}  # noqa: RUF012  as Gymnasium has it

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode = render_mode

    def render(self) -> Any:
        return np.full((31, 41, 3), self._cell, dtype=np.uint8)  # sizes that are not even


class RendersNothing(Rendered):
    """Says that it can."""

    def render(self) -> Any:
        return None


class RenderRaises(Rendered):
    """As one that wants a display."""

    def render(self) -> Any:
        raise RuntimeError("no display\nnor a window")


class RenderBreaksLater(Rendered):
    """At the third cell."""

    def render(self) -> Any:
        if self._cell == 2:
            raise RuntimeError("out of paint")
        return super().render()


class Draws(OneState):
    """The first observation is drawn from the process's global streams; what each copy drew first is kept in a file."""

    observation_space = spaces.Box(0, 1, (3,), np.float64)

    def __init__(self, folder: str | None = None, number: int = 0) -> None:
        self._drawn = self._draw()
        if folder is not None:
            with open(os.path.join(folder, "drawn.txt"), "a") as file:
                file.write(f"{number} {' '.join(map(str, self._drawn))}\n")

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        drawn, self._drawn = self._drawn, self._draw()
        return np.array(drawn), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        return np.zeros(3), float(action == 0), False, False, {}

    def _draw(self) -> tuple[float, float, float]:
        import torch  # late, as some simulators do

        return random.random(), float(np.random.rand()), float(torch.rand(1, dtype=torch.float64))


class Mission(OneState):
    """A number, and a text that no network reads: refused as it is."""

    observation_space = spaces.Dict({"a": spaces.Box(-1, 1, (1,), np.float32), "mission": spaces.Text(5)})

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict]:
        return {"a": super().reset(seed=seed)[0], "mission": "go"}, {}

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return {"a": np.ones(1, dtype=np.float32), "mission": "go"}, *super().step(action)[1:]


class RewardVectors(OneState):
    """Pays in two currencies."""

    def step(self, action: int) -> Any:
        observation, reward, *rest = super().step(action)
        return observation, np.array([reward, -1.0]), *rest


def first_two(env: gymnasium.Env[Any, Any]) -> gymnasium.Env[Any, Any]:
    """A wrapper: two numbers of several, one twice as large."""
    return gymnasium.wrappers.TransformObservation(
        env, lambda observation: observation[:2] * [1, 2], spaces.Box(0, 2, (2,), np.float64)
    )


def without_mission(env: gymnasium.Env[Any, Any]) -> gymnasium.Env[Any, Any]:
    """Another."""
    return gymnasium.wrappers.FilterObservation(env, ["a"])


def _register(name: str, entry_point: type, max_episode_steps: int | None) -> None:
    gymnasium.register(name, entry_point=entry_point, max_episode_steps=max_episode_steps)


_register("OneState-v0", OneState, 5)
_register("ShortEpisodes-v0", ShortEpisodes, 10)
_register("FailsAtStep37-v0", FailsAtStep37, 100)
_register("InfiniteReward-v0", InfiniteReward, 20)
_register("OddObservations-v0", OddObservations, 20)
_register("Slow-v0", Slow, 5)
_register("Draws-v0", Draws, 5)
_register("Mission-v0", Mission, 5)
_register("RewardVectors-v0", RewardVectors, 5)
for _class in (Corridor, ShortCorridor, Interrupted, Rendered, RendersNothing, RenderRaises, RenderBreaksLater):
    _register(f"{_class.__name__}-v0", _class, None)
