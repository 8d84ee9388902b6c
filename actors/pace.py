"""How many episodes a look has, in what turns, and when the next one may begin, by what episodes cost.

Where they are quick, as CartPole's are, neither is touched. Where the environment is what limits the run, a look of 100
episodes could take longer than the whole training; and on the same cores it would take their time from the actors.
"""

from __future__ import annotations

import time
from collections.abc import Callable

_LEAST_EPISODES = 10
_LOOK_SECONDS = 10.0  # a look may always take as long
_SHARE_OF_RUN = 20  # or one part in so many of the run so far, which makes the looks of long runs surer
_QUICK_SECONDS = 2.0  # looks that are shorter follow one another as they are due
_SHARE_OF_TIME = 3  # others take at most one part in so many of the time
_LONGEST_WAIT = 4  # after a confirmation, at most one part in so many of the run so far: training goes on and improves
_UNKNOWN_EPISODE_ENV_STEPS = 200.0
_AT_ONCE_SECONDS = 1.0  # looks that are longer are played in turns, after each of which they can end
_TURN_EPISODES = 20
_LEAST_FINAL_SECONDS, _MOST_FINAL_SECONDS = 10.0, 30.0
_FINAL_SHARE = 10  # one part in so many of the run, between these two


def final_seconds(run_seconds: float) -> float:
    """What the last looks of a run that took so long may take."""
    return min(_MOST_FINAL_SECONDS, max(_LEAST_FINAL_SECONDS, run_seconds / _FINAL_SHARE))


class Pace:
    """Told what looks took; says what the next may take."""

    def __init__(self, episodes: int, clock: Callable[[], float] = time.monotonic) -> None:
        """`episodes`: of a look that costs little."""
        self._wanted = episodes
        self._clock = clock
        self._began = clock()
        self._episode_seconds: float | None = None  # None: no look yet
        self._may_begin = float("-inf")
        self._in_turns = False
        self.note: str | None = None  # that looks have fewer episodes, once they have

    def begin(self) -> None:
        """The run begins."""
        self._began = self._clock()

    def episodes(self, step_seconds: float, episode_env_steps: float, allowed: float | None = None) -> int:
        """Of the next look; 0 where it may only take `allowed` seconds, and the fewest that say something take longer.

        The first two say what an episode may take, until a look has told: 0 is not known.
        """
        seconds = self._episode_seconds
        if seconds is None:
            seconds = step_seconds * (episode_env_steps or _UNKNOWN_EPISODE_ENV_STEPS)
        longest = max(_LOOK_SECONDS, (self._clock() - self._began) / _SHARE_OF_RUN) if allowed is None else allowed
        fits = self._wanted if seconds * self._wanted <= longest else int(longest / seconds)
        least = min(self._wanted, _LEAST_EPISODES)
        if allowed is not None and fits < least:
            return 0
        count = max(least, fits)
        known = self._episode_seconds is not None or episode_env_steps > 0
        self._in_turns = self._in_turns or (known and seconds * count > _AT_ONCE_SECONDS)
        if self._in_turns and count > _TURN_EPISODES:
            count -= count % _TURN_EPISODES  # in the last turn all copies take part, needed or not
        if count < self._wanted and allowed is None and known and self.note is None:
            self.note = f"a look has {count} episodes, not {self._wanted}, because one takes {seconds:.1f} s"
        return count

    def final_seconds(self) -> float:
        """See the function, for this run."""
        return final_seconds(self._clock() - self._began)

    def fits(self, episodes: int, allowed: float) -> bool:
        """Whether so many take at most `allowed` seconds, by the last look."""
        return self._episode_seconds is not None and episodes * self._episode_seconds <= allowed

    def turn(self, episodes: int) -> int:
        """Of so many, how many to play at once: from the first slow look on a few."""
        return min(episodes, _TURN_EPISODES) if self._in_turns else episodes

    def looked(self, episodes: int, seconds: float) -> None:
        """A look of so many episodes took so long, or a confirmation, which may have those of several looks."""
        self._episode_seconds = seconds / episodes
        looks = max(1.0, episodes / self._wanted)
        if seconds > _QUICK_SECONDS * looks:
            wait = (_SHARE_OF_TIME - 1) * seconds
            most = (self._clock() - self._began) / _LONGEST_WAIT
            self._may_begin = self._clock() + min(wait, max(wait / looks, most))

    def wait_seconds(self) -> float:
        """Until the next look may begin; 0 or less: now."""
        return self._may_begin - self._clock()
