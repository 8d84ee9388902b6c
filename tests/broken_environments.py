"""Environments as users have brought them, each with a fault: `--env broken_environments:Name`."""

from __future__ import annotations

import os
import signal
import sys
import warnings
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

ONES = np.ones(2, dtype=np.float32)


def register(name: str, **changes: Any) -> None:
    """`changes`: attributes and methods other than those of a sound environment."""

    class Environment(gymnasium.Env[Any, int]):
        observation_space = spaces.Box(-1, 1, (2,), np.float32)
        action_space = spaces.Discrete(2)

        def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
            super().reset(seed=seed)
            return ONES, {}

        def step(self, action: int) -> Any:
            return ONES, 1.0, False, False, {}

    made = type(name, (Environment,), changes)
    gymnasium.register(f"{name}-v0", entry_point=made, max_episode_steps=changes.get("cut", 5))


def answering(*values: Any) -> Callable[..., Any]:
    """A method that always returns these."""
    return lambda self, *args, **kwargs: values


def doing(action: Callable[[], object], *values: Any) -> Callable[..., Any]:
    """A method that does something first."""

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        action()
        return values

    return method


def raising(error: BaseException) -> Callable[..., Any]:
    """A method that raises."""

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        raise error

    return method


def hang() -> None:
    """For ever."""
    signal.pause()


def talk() -> None:
    """In every way there is."""
    print("the level is loaded")
    os.write(2, b"from a C library\n")
    warnings.warn("the physics are unstable", stacklevel=1)
    print("no sound card", file=sys.stderr)


STEP = (ONES, 1.0, False, False, {})
TREE = spaces.Dict(left=spaces.Discrete(2), right=spaces.Box(-1, 1, (2,), np.float32))
BOUNDED = spaces.Box(-1, 1, (2,), np.float32)

register("Sound")
register("RaisesWhenMade", __init__=raising(RuntimeError("no such\n  level")))
register("AssertsWhenMade", __init__=raising(AssertionError()))
register("ExitsWhenMade", __init__=doing(lambda: sys.exit(4)))
register("ExitsAtStep", step=doing(lambda: sys.exit(0)))
register("HangsWhenMade", __init__=doing(hang))
register("HangsAtStep", step=doing(hang))
register("CrashesAtReset", reset=doing(lambda: os.kill(os.getpid(), signal.SIGKILL)))
register("RaisesAtReset", reset=raising(KeyError("map")))
register("OldReset", reset=lambda self, **kwargs: ONES)
register("OldStep", step=answering(ONES, 1.0, False, {}))
register("ListAtReset", reset=lambda self, **kwargs: [ONES, 0])
register("NanReward", step=answering(ONES, float("nan"), False, False, {}))
register("InfiniteObservation", step=answering(np.array([1, np.inf], np.float32), 1.0, False, False, {}))
register("OtherShape", step=answering(np.ones(3, np.float32), 1.0, False, False, {}))
register("AboveItsBound", step=answering(np.array([0, 7], np.float32), 1.0, False, False, {}))
register("BelowItsBound", reset=lambda self, **kwargs: (np.array([-3, 0], np.float32), {}))
register("OutsideDiscrete", observation_space=spaces.Discrete(3), step=answering(-1, 1.0, False, False, {}),
         reset=lambda self, **kwargs: (0, {}))  # fmt: skip
register("TextFlags", step=answering(ONES, 1.0, "no", False, {}))
register("PrintsAndExits", __init__=doing(lambda: (print("licence file missing"), sys.exit(1))))
register("CloseRaises", close=raising(AttributeError("no window")))
register("InterruptsWhenMade", __init__=raising(KeyboardInterrupt("the simulator asked for it")))
register("RewardVectors", step=answering(ONES, [1.0, 2.0], False, False, {}))
for name, at_reset, at_step in (
    ("LeafNotFinite", {"left": 0, "right": ONES}, {"left": 0, "right": np.array([1, np.inf], np.float32)}),
    ("LeafOutside", {"left": 3, "right": ONES}, {"left": 0, "right": ONES}),
    ("LeafAboveItsBound", {"left": 0, "right": ONES}, {"left": 0, "right": 2 * ONES}),
):
    register(
        name, observation_space=TREE, reset=answering(at_reset, {}), step=answering(at_step, 1.0, False, False, {})
    )
register("RoundedAboveItsBound", observation_space=spaces.Box(-1, 1, (1,), np.float64),
         reset=answering(np.ones(1), {}), step=answering(np.array([1 + 1e-12]), 1.0, False, False, {}))  # fmt: skip
register("NoSpace", observation_space=None)
register("Lists", reset=lambda self, **kwargs: ([0.0, 0.0], {}))
register("Talks", step=doing(talk, *STEP))
register("TalksLater", step=doing(talk, *STEP), __init__=lambda self: None)
