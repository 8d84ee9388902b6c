"""Sequence numbers against a plain set."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replay_server.deduplication import SeenSequences

streams = st.tuples(st.integers(0, 2), st.integers(0, 1))  # actor, incarnation


@settings(max_examples=150, deadline=None)
@given(calls=st.lists(st.tuples(streams, st.integers(0, 12)), max_size=80))
def test_repeated_and_reordered_numbers_are_told_apart_as_by_a_set(
    calls: list[tuple[tuple[int, int], int]],
) -> None:
    seen, naive = SeenSequences(), set()
    for stream, seq in calls:
        assert seen.first_time(stream, seq) is ((stream, seq) not in naive)
        naive.add((stream, seq))
    ends = {stream: 1 + max(number for other, number in naive if other == stream) for stream, _ in naive}
    assert seen.missing == sum(ends.values()) - len(naive)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_long_run_of_two_incarnations_with_repeats_and_disorder_inserts_each_once(seed: int) -> None:
    """5,000 chunks of each, sent up to three times, up to 300 places early or late."""
    rng = np.random.default_rng(seed)
    calls = [
        ((0, incarnation), seq) for incarnation in (0, 1) for seq in range(5000) for _ in range(rng.integers(1, 4))
    ]
    order = np.argsort(np.array([seq for _, seq in calls]) + rng.uniform(0, 300, len(calls)))
    seen = SeenSequences()
    accepted = [calls[index] for index in order if seen.first_time(*calls[index])]
    assert len(accepted) == len(set(accepted)) == 10_000


def test_incarnations_and_actors_count_on_their_own() -> None:
    seen = SeenSequences()
    assert [seen.first_time(stream, 0) for stream in ((0, 0), (0, 1), (1, 0), (0, 0), (1, 0))] == [
        True, True, True, False, False,
    ]  # fmt: skip


def test_a_number_1024_places_late_is_still_taken_and_once() -> None:
    seen = SeenSequences()
    assert all(seen.first_time("stream", seq) for seq in range(1, 1025))
    assert seen.first_time("stream", 0)
    assert not any(seen.first_time("stream", seq) for seq in range(1025))
    assert seen.first_time("stream", 1025)


def test_after_a_number_that_never_came_the_others_are_still_told_apart() -> None:
    seen = SeenSequences()
    assert all(seen.first_time("stream", seq) for seq in range(1, 4000))
    assert not any(seen.first_time("stream", seq) for seq in range(1, 4000))
    assert seen.first_time("stream", 4000)
