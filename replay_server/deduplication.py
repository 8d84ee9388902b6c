"""Which chunks have come already."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable

_WINDOW = 1024  # chunks that may be outstanding in one stream


class SeenSequences:
    """For each stream the sequence numbers seen: all below a mark, and the few above it.

    Calls may arrive out of order, so "newer than the last" would drop what came late.
    """

    def __init__(self) -> None:
        self._all_below: dict[Hashable, int] = defaultdict(int)
        self._above: dict[Hashable, set[int]] = defaultdict(set)

    @property
    def missing(self) -> int:
        """Numbers that have not come, though a later one of their stream has."""
        return sum(
            max(above) - self._all_below[stream] + 1 - len(above) for stream, above in self._above.items() if above
        )

    def first_time(self, stream: Hashable, seq: int) -> bool:
        """Records seq; False if the stream had it already."""
        mark, above = self._all_below[stream], self._above[stream]
        if seq < mark or seq in above:
            return False
        above.add(seq)
        if len(above) > _WINDOW:  # a number that never came is given up
            mark = min(above)
        while mark in above:
            above.remove(mark)
            mark += 1
        self._all_below[stream] = mark
        return True
