"""The copies of the environment that greedy episodes are played on: as many as are of use and as there is room for."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from actors.greedy import Environments
from common.env_args import EVALUATOR_COPIES
from common.memory import available_memory, held_memory

_SHARE_OF_MEMORY = 4  # one part in so many of what is available
_MOST_MAKING_SECONDS = 20.0
_NOTHING_BYTES = 2**20  # less than this is the allocator's doing
_TIMED_STEPS = 3


class Copies:
    """Makes them when they are first needed, and anew when many more or far fewer are wanted.

    Before the first it makes one copy and then two: what the second takes in memory and time is what each takes,
    without what is imported and loaded for all. Every copy takes every step: one to spare costs as much.
    """

    def __init__(
        self,
        make: Callable[[int], Environments],
        available: Callable[[], int] = available_memory,
        held: Callable[[], int] = held_memory,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`make` gets the number of copies. `available`, `held`: bytes, see common/memory.py."""
        self._make = make
        self._available = available
        self._held = held
        self._clock = clock
        self._most = EVALUATOR_COPIES
        self._measured = False
        self._environments: Environments | None = None
        self.note: str | None = None  # why there are fewer than wanted, if so
        self.step_seconds = 0.0  # of one copy's step, as measured before the first episode

    def measure(self) -> None:
        """Once, before anything is played: so that `step_seconds` is known."""
        if self._measured:
            return
        self._measured = True
        bytes_before = self._memory_with(1)
        began = self._clock()
        each = max(0, self._memory_with(2) - bytes_before)
        seconds_to_make = (self._clock() - began) / 2
        self.step_seconds = self._time_a_step()
        fits = self._available() // _SHARE_OF_MEMORY // each if each > _NOTHING_BYTES else EVALUATOR_COPIES
        in_time = int(_MOST_MAKING_SECONDS / seconds_to_make) if seconds_to_make > 0 else EVALUATOR_COPIES
        self._most = max(1, min(EVALUATOR_COPIES, fits, in_time))
        if self._most < EVALUATOR_COPIES:
            why = (
                f"one takes {each / 2**20:,.0f} MB" if fits <= in_time else f"one takes {seconds_to_make:.1f} s to make"
            )
            self.note = f"greedy episodes are played on at most {self._most} copies of the environment: {why}"

    def for_episodes(self, episodes: int) -> Environments:
        """At most one for each of them."""
        if episodes > 2:
            self.measure()
        wanted = min(episodes, self._most)
        have = 0 if self._environments is None else self._environments.num_envs
        if self._environments is None or not wanted <= have < 2 * wanted:
            self._remake(wanted)
        assert self._environments is not None
        return self._environments

    def close(self) -> None:
        """Frees what they hold."""
        if self._environments is not None:
            self._environments.close()
            self._environments = None

    def _remake(self, count: int) -> None:
        self.close()  # first, because copies that live at once may not have the same numbers
        self._environments = self._make(count)

    def _memory_with(self, count: int) -> int:
        self._remake(count)
        assert self._environments is not None
        self._environments.reset(np.random.SeedSequence(0))
        self._environments.step(np.zeros(count, dtype=np.int64))
        return self._held()

    def _time_a_step(self) -> float:
        assert self._environments is not None
        began = self._clock()
        for _ in range(_TIMED_STEPS):
            self._environments.step(np.zeros(self._environments.num_envs, dtype=np.int64))
        return (self._clock() - began) / _TIMED_STEPS / self._environments.num_envs
