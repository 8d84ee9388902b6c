"""Measures two sides in turns, so that the machine's slow minutes hit both."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any

_CALLS_PER_CLOCK = 16  # calls between two looks at the clock


def take_turns(
    ours: Callable[[], Any], theirs: Callable[[], Any], amount: int, repetitions: int, seconds: float
) -> dict[str, list[float]]:
    """Ours, theirs, ours, theirs ... `amount`: of rows or bytes in a call; what comes back is that per second."""
    sides: dict[str, list[float]] = {"ours": [], "theirs": [], "ratio": []}
    for _ in range(repetitions):
        sides["ours"].append(amount * _calls_per_second(ours, seconds))
        sides["theirs"].append(amount * _calls_per_second(theirs, seconds))
        sides["ratio"].append(sides["ours"][-1] / sides["theirs"][-1])
    return sides


def _calls_per_second(call: Callable[[], Any], seconds: float) -> float:
    """Over at least so many seconds, after a few calls that warm caches and take what was in flight."""
    for _ in range(_CALLS_PER_CLOCK):
        call()
    calls, began = 0, perf_counter()
    while (passed := perf_counter() - began) < seconds:
        for _ in range(_CALLS_PER_CLOCK):
            call()
        calls += _CALLS_PER_CLOCK
    return calls / passed
