"""The rate limiter's law."""

from __future__ import annotations


class RateLimiter:
    """Keeps learner and actors in step: holds back whichever is ahead.

    budget = samples_per_insert * (inserted - learning_starts) - sampled, counted in samples.
    A sample call of n is granted when inserted >= learning_starts and budget - n >= -tolerance. An insert is always
    taken; its ack is held while budget > tolerance. Both could wait for ever if 2 * tolerance < n: refused.

    After Reverb's SampleToInsertRatio (https://arxiv.org/abs/2102.04736), which gates the insert itself.
    """

    def __init__(self, samples_per_insert: float, learning_starts: int, tolerance: float, rows_per_call: int) -> None:
        if samples_per_insert <= 0:
            raise ValueError(f"samples_per_insert must be above 0, got {samples_per_insert}")
        if 2 * tolerance < rows_per_call:
            raise ValueError(
                f"a tolerance of {tolerance} samples is less than half of the {rows_per_call} samples of one call: "
                "learner and actors could wait for each other for ever"
            )
        self._samples_per_insert = samples_per_insert
        self._learning_starts = learning_starts
        self._tolerance = tolerance
        self._rows_per_call = rows_per_call
        self.inserted = 0  # transitions
        self.sampled = 0  # samples

    @property
    def budget(self) -> float:
        """Samples that the learner is behind; negative when it is ahead."""
        return self._samples_per_insert * (self.inserted - self._learning_starts) - self.sampled

    def insert(self, rows: int) -> None:
        """Counts transitions inserted."""
        self.inserted += rows

    def holds_acks(self) -> bool:
        """Whether the actors must wait for the learner."""
        return self.budget > self._tolerance

    def grants(self, rows: int) -> bool:
        """Whether a sample call of so many rows may go ahead. Raises ValueError on more rows than were agreed."""
        if rows > self._rows_per_call:
            raise ValueError(f"a sample call of {rows} rows; this limiter was set up for {self._rows_per_call}")
        return self.inserted >= self._learning_starts and self.budget - rows >= -self._tolerance

    def sample(self, rows: int) -> None:
        """Counts samples handed out; the call must have been granted."""
        if not self.grants(rows):
            raise ValueError(f"a sample call of {rows} rows that was not granted: {self.missing(rows)} missing")
        self.sampled += rows

    def missing(self, rows: int) -> int:
        """Transitions still to be inserted before a sample call of so many rows is granted."""
        to_start = self._learning_starts - self.inserted
        behind = (rows - self._tolerance - self.budget) / self._samples_per_insert
        return max(0, to_start, -int(-behind // 1))

    def surplus(self) -> int:
        """Samples still to be taken before acks are released."""
        return max(0, -int(-(self.budget - self._tolerance) // 1))
