"""An environment's own vectorised class is used only where it plays what is registered."""

from __future__ import annotations

import warnings
from typing import Any, ClassVar

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from common.config import RunConfig
from common.environment import OwnClass, VectorEnvironment, describe, own_class, probe
from common.single_environment import make_single
from driver.probe.process import Tried, trial

Info = dict[str, Any]


class Climb(gymnasium.Env[Any, int]):
    """Starts at a drawn height; each step pays 5 and climbs by a drawn bit, until 30 steps are done."""

    observation_space = spaces.Box(-50, 50, (2,), np.float32)
    action_space = spaces.Discrete(2)
    pays = 5.0
    start = 0.0

    def reset(self, *, seed: int | None = None, options: Info | None = None) -> tuple[Any, Info]:
        super().reset(seed=seed)
        self._height, self._t = self.start + float(self.np_random.random()), 0
        return self._observation(), {}

    def step(self, action: int) -> tuple[Any, float, bool, bool, Info]:
        self._t += 1
        self._height += float(self.np_random.integers(2)) * (1 if action else -1)
        return self._observation(), self.pays, self._t == 30, False, {}

    def _observation(self) -> Any:
        return np.array([self._height, self._t], dtype=np.float32)


class Clipped(Climb):
    """Rewards as Atari agents like them."""

    pays = 1.0


class ClippedLate(Climb):
    """Only at the end of an episode."""

    def step(self, action: int) -> tuple[Any, float, bool, bool, Info]:
        observation, reward, terminated, truncated, info = super().step(action)
        return observation, 1.0 if terminated else reward, terminated, truncated, info


class Elsewhere(Climb):
    """From the same seed."""

    start = 0.5


class NeverEnds(Climb):
    def step(self, action: int) -> tuple[Any, float, bool, bool, Info]:
        observation, reward, _, truncated, info = super().step(action)
        return observation, reward, False, truncated, info


class OtherActions(Climb):
    action_space = spaces.Discrete(2, start=1)


class OtherBounds(Climb):
    observation_space = spaces.Box(-50, 60, (2,), np.float32)


class OtherDtype(Climb):
    observation_space = spaces.Box(-50, 50, (2,), np.float64)


class Small(Climb):
    """What the class of ale-py does: it preprocesses."""

    observation_space = spaces.Box(-50, 50, (1,), np.float32)

    def _observation(self) -> Any:
        return super()._observation()[:1]


class FailsToStep(Climb):
    def step(self, action: int) -> tuple[Any, float, bool, bool, Info]:
        raise OverflowError("seed is no int32")


def judged(vector_of: type[Climb], mode: AutoresetMode = AutoresetMode.NEXT_STEP) -> OwnClass:
    def together(num_envs: int, **named: Any) -> SyncVectorEnv:
        return SyncVectorEnv([vector_of] * num_envs, autoreset_mode=mode)

    name = f"{vector_of.__name__}{mode.name.replace('_', '')}-v0"
    gymnasium.register(name, entry_point=Climb, vector_entry_point=together)
    try:
        env = make_single(name)
        return own_class(describe(name, env), env, 0)
    finally:
        del gymnasium.registry[name]


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_a_class_that_plays_the_same_is_used(mode: AutoresetMode) -> None:
    assert judged(Climb, mode) == OwnClass(used=True, why_not=None)


@pytest.mark.parametrize(
    ("vector_of", "why_not"),
    [
        (
            Small,
            "the observation_space of the class is Box(-50.0, 50.0, (1,), float32), and that of gymnasium.make Box",
        ),
        (OtherBounds, "the observation_space of the class is Box(-50.0, 60.0, (2,), float32)"),
        (OtherDtype, "the observation_space of the class is Box(-50.0, 50.0, (2,), float64)"),
        (OtherActions, "the action_space of the class is Discrete(2, start=1), and that of gymnasium.make Discrete(2)"),
        (Clipped, "at step 1 of an episode the reward of the class is 1, and not 5"),
        (ClippedLate, "at step 30 of an episode the reward of the class is 1, and not 5"),
        (NeverEnds, "at step 30 of an episode the terminated of the class is another"),
        (Elsewhere, "from one seed the class starts elsewhere, so that nothing shows that it plays the same"),
        (FailsToStep, "the class failed (OverflowError: seed is no int32"),
    ],
)
def test_a_class_that_plays_otherwise_is_passed_over_with_the_reason(vector_of: type[Climb], why_not: str) -> None:
    found = judged(vector_of)
    assert not found.used
    assert found.why_not is not None
    assert found.why_not.startswith(why_not)


def test_a_class_that_leaves_resets_to_the_caller_is_passed_over() -> None:
    found = judged(Climb, AutoresetMode.DISABLED)
    assert not found.used
    assert "resets itself by" in str(found.why_not)


def test_gymnasiums_own_class_is_used() -> None:
    """Its start states are drawn for all copies at once: from them nothing could be seen."""
    assert probe("CartPole-v1").vectorised
    assert isinstance(VectorEnvironment("CartPole-v1", 2, vectorised=True), VectorEnvironment)


class Counted(Climb):
    made: ClassVar[int] = 0

    def __init__(self) -> None:
        Counted.made += 1


def test_the_user_is_told_in_one_line_and_single_ones_play() -> None:
    def preprocessed(num_envs: int) -> SyncVectorEnv:
        return SyncVectorEnv([Small] * num_envs)

    gymnasium.register("Passed-v0", entry_point=Counted, vector_entry_point=preprocessed)
    spec, end = trial(RunConfig(env="Passed-v0"), 0, heard=[])
    assert isinstance(end, Tried)
    assert [line[:74] for line in end.complaints] == [
        "--env Passed-v0: single ones side by side, and not its vectorised class: th"[:74]
    ]
    assert (spec.observation_size, spec.vectorised) == (2, False)  # type: ignore[union-attr]
    before = Counted.made
    VectorEnvironment(spec.id, 5, vectorised=spec.vectorised)  # type: ignore[union-attr]
    assert Counted.made - before == 5


@pytest.mark.parametrize("args", [["single_only=3"], ["single_only={index}", "size=1"]])
def test_single_ones_stand_in_for_a_class_that_does_not_take_the_arguments(args: list[str]) -> None:
    class Taking(Climb):
        def __init__(self, single_only: int = 0, size: int = 1) -> None: ...

    def together(num_envs: int, size: int = 1) -> SyncVectorEnv:
        return SyncVectorEnv([Climb] * num_envs)

    gymnasium.register("Taking-v0", entry_point=Taking, vector_entry_point=together)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert not probe("Taking-v0", args).vectorised
            assert probe("Taking-v0", ["size=1"]).vectorised
    finally:
        del gymnasium.registry["Taking-v0"]
