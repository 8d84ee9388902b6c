"""The best network seen so far, by episodes that had no part in its choice.

The highest of many looks is high by luck as well. So a look that is above all before only makes a challenger. What
counts is its second look, on start states of its own: that mean is the standing that the next one has to reach. A
confirmation is a second look too, and comes before any other. In a run that goes on past it, a network takes the place
of the confirmed one by a confirmation of its own, with a higher mean.
"""

from __future__ import annotations

from common.types import Kept, Look, Params


class BestSeen:
    """Who is the best, and who is due for a second look.

    While looks rise, each of them is the challenger in place of the one before, and no second look is made: it costs as
    much as a look. It is due once a look comes out lower. Of equals the newer counts, until one is confirmed.
    """

    def __init__(self) -> None:
        self._standing: Kept | None = None  # with a second look
        self._challenger: Kept | None = None  # without one

    @property
    def kept(self) -> Kept | None:
        """What is to be saved; None before the first look.

        A challenger without a second look counts where there is no other, and where the whole interval of its look is
        above the standing: then luck alone is no explanation.
        """
        if self._standing is None or self._standing.confirmed or self._challenger is None:
            return self._standing or self._challenger
        above = self._challenger.look.interval_low > self._mean_of_standing
        return self._challenger if above else self._standing

    @property
    def challenger(self) -> Kept | None:
        """Whoever has no second look yet."""
        return self._challenger

    @property
    def mean_to_reach(self) -> float:
        """Of a look, to become the challenger; once one is confirmed, a mean to be above."""
        if self._challenger is None:
            return self._mean_of_standing
        return max(self._mean_of_standing, self._challenger.look.mean)

    @property
    def confirmed(self) -> bool:
        """Whether what stands is; from then on all that follow are."""
        return self._standing is not None and self._standing.confirmed

    def looked(self, params: Params, look: Look) -> Kept | None:
        """A first look. Returns the challenger whose second look is due by it, if there is one."""
        if self._outdoes(look.mean, self.mean_to_reach):
            self._challenger = Kept(params, look, fresh=None)
            return None
        return self._challenger

    def looked_again(self, params: Params, look: Look, fresh: Look) -> None:
        """A second look or a confirmation; the first that solved takes the place of any other."""
        first_solved = fresh.solved and not self.confirmed
        if first_solved or (self._challenger is not None and self._challenger.params.version == params.version):
            self._challenger = None
        better = self._outdoes(fresh.mean, self._mean_of_standing) and (fresh.solved or not self.confirmed)
        if first_solved or better:
            self._standing = Kept(params, look, fresh)

    def _outdoes(self, mean: float, other: float) -> bool:
        """An equal one is newer, and has learnt for longer; but what is confirmed need not be so again and again."""
        return mean > other or (mean == other and not self.confirmed)

    @property
    def _mean_of_standing(self) -> float:
        fresh = None if self._standing is None else self._standing.fresh
        return float("-inf") if fresh is None else fresh.mean
