"""The law: budget = samples_per_insert * (inserted - learning_starts) - sampled."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replay_server.rate_limiter import RateLimiter


def limiter(inserted: int, sampled: int, tolerance: float = 8) -> RateLimiter:
    """2 samples per insert from 10 insertions on, calls of up to 16 samples; after so many of both."""
    law = RateLimiter(samples_per_insert=2, learning_starts=10, tolerance=tolerance, rows_per_call=16)
    law.insert(inserted)
    for _ in range(sampled):
        law.sample(1)
    return law


@pytest.mark.parametrize(
    ("inserted", "sampled", "budget", "grants_8", "holds_acks"),
    [
        (0, 0, -20, False, False),  # before learning starts nobody is ahead, and nothing is sampled
        (9, 0, -2, False, False),
        (10, 0, 0, True, False),  # 0 - 8 >= -8
        (10, 1, -1, False, False),
        (14, 0, 8, True, False),  # 8 is not above the tolerance of 8
        (15, 0, 10, True, True),
        (15, 2, 8, True, False),
        (15, 10, 0, True, False),
        (15, 11, -1, False, False),
    ],
)
def test_the_law_by_hand(inserted: int, sampled: int, budget: float, grants_8: bool, holds_acks: bool) -> None:
    law = limiter(inserted, sampled)
    assert law.budget == budget
    assert law.grants(8) is grants_8
    assert law.holds_acks() is holds_acks


def test_nothing_is_sampled_before_learning_starts_whatever_the_tolerance() -> None:
    law = limiter(inserted=9, sampled=0, tolerance=1000)
    assert not law.grants(1)
    law.insert(1)
    assert law.grants(16)


def test_counts_are_those_of_what_was_done() -> None:
    law = RateLimiter(samples_per_insert=2, learning_starts=10, tolerance=8, rows_per_call=16)
    law.insert(12)
    law.insert(3)
    law.sample(8)
    law.sample(1)
    assert (law.inserted, law.sampled) == (15, 9)


@pytest.mark.parametrize(("tolerance", "rows_per_call"), [(7.9, 16), (0, 1), (639, 1280), (-1, 1)])
def test_a_tolerance_under_which_both_could_wait_for_ever_is_refused(tolerance: float, rows_per_call: int) -> None:
    with pytest.raises(ValueError, match=rf"tolerance of {tolerance} samples .* {rows_per_call} samples .* for ever"):
        RateLimiter(samples_per_insert=2, learning_starts=10, tolerance=tolerance, rows_per_call=rows_per_call)


@pytest.mark.parametrize(("tolerance", "rows_per_call"), [(8, 16), (0.5, 1), (640, 1280)])
def test_a_tolerance_of_half_a_call_is_enough(tolerance: float, rows_per_call: int) -> None:
    RateLimiter(samples_per_insert=2, learning_starts=10, tolerance=tolerance, rows_per_call=rows_per_call)


@pytest.mark.parametrize("samples_per_insert", [0, -1.5])
def test_samples_per_insert_must_be_above_0(samples_per_insert: float) -> None:
    with pytest.raises(ValueError, match=f"samples_per_insert must be above 0, got {samples_per_insert}"):
        RateLimiter(samples_per_insert, learning_starts=10, tolerance=8, rows_per_call=16)


def test_a_call_that_was_not_granted_is_refused_with_what_is_missing() -> None:
    law = limiter(inserted=10, sampled=8)
    with pytest.raises(ValueError, match="8 rows that was not granted: 4 missing"):
        law.sample(8)
    assert law.sampled == 8


def test_a_call_of_more_rows_than_agreed_is_refused() -> None:
    with pytest.raises(ValueError, match="a sample call of 17 rows; this limiter was set up for 16"):
        limiter(inserted=1000, sampled=0).grants(17)


laws = st.fixed_dictionaries(
    {
        "samples_per_insert": st.one_of(st.integers(1, 50).map(float), st.floats(0.01, 50)),
        "learning_starts": st.integers(1, 200),
        "rows_per_call": st.integers(1, 400),
        "spare": st.integers(0, 300),  # tolerance beyond the least that is accepted
    }
)


def build(drawn: dict[str, float]) -> RateLimiter:
    rows = int(drawn["rows_per_call"])
    return RateLimiter(drawn["samples_per_insert"], int(drawn["learning_starts"]), rows / 2 + drawn["spare"], rows)


@settings(max_examples=150, deadline=None)
@given(drawn=laws, chunks=st.lists(st.integers(0, 97), min_size=1, max_size=60))
def test_learner_and_actors_are_never_blocked_at_once(drawn: dict[str, float], chunks: list[int]) -> None:
    """Whatever the sizes: each takes its turn until it is held back, and then the other one is not."""
    law = build(drawn)
    rows = int(drawn["rows_per_call"])
    for chunk in chunks:
        law.insert(chunk)
        assert not (law.holds_acks() and not law.grants(rows))
        for _ in range(20):
            if not law.grants(rows):
                break
            law.sample(rows)
            assert not (law.holds_acks() and not law.grants(rows))


@settings(max_examples=80, deadline=None)
@given(
    samples_per_insert=st.integers(1, 40),
    learning_starts=st.integers(1, 100),
    rows=st.integers(1, 100),
    spare=st.integers(0, 50),
    inserted=st.integers(0, 400),
    calls=st.integers(0, 400),
)
def test_missing_and_surplus_are_exactly_what_the_other_side_must_do(
    samples_per_insert: int, learning_starts: int, rows: int, spare: int, inserted: int, calls: int
) -> None:
    law = RateLimiter(samples_per_insert, learning_starts, rows / 2 + spare, rows)
    law.insert(inserted)
    for _ in range(calls):
        if law.grants(1):
            law.sample(1)
    missing, surplus = law.missing(rows), law.surplus()
    assert (missing == 0) == law.grants(rows)
    assert (surplus == 0) == (not law.holds_acks())
    if missing:
        law.insert(missing - 1)
        assert not law.grants(rows)
        law.insert(1)
        assert law.grants(rows)
    for taken in range(surplus):
        assert law.holds_acks(), f"released after {taken} of {surplus} samples"
        law.sample(1)
    if surplus:
        assert not law.holds_acks()


@pytest.mark.parametrize("actors", [1, 2, 8])
@pytest.mark.parametrize("samples_per_insert", [1.0, 8.0, 32.0])
@pytest.mark.parametrize("learner_share", [0.02, 0.5, 0.98], ids=["slow-learner", "even", "slow-actors"])
def test_realised_samples_per_insert_is_the_setting(
    actors: int, samples_per_insert: float, learner_share: float
) -> None:
    """Over 100,000 transitions in random order: within the tolerance plus the chunks in flight, and within 10 %."""
    rng = np.random.default_rng(7)
    rows_per_call, chunk, starts = 1280, 128, 1000
    tolerance = 2 * rows_per_call + 2 * chunk * samples_per_insert
    law = RateLimiter(samples_per_insert, starts, tolerance, rows_per_call)
    inserted = sampled = 0
    held = [False] * actors  # a chunk of each actor is in flight: taken, and its ack is waited for
    while inserted < 100_000:
        if rng.random() < learner_share and law.grants(rows_per_call):
            law.sample(rows_per_call)
            sampled += rows_per_call
        actor = int(rng.integers(actors))
        held[actor] = held[actor] and law.holds_acks()
        if rng.random() >= learner_share and not held[actor]:
            law.insert(chunk)
            inserted += chunk
            held[actor] = law.holds_acks()
    behind = samples_per_insert * (inserted - starts) - sampled
    assert -tolerance <= behind <= tolerance + actors * chunk * samples_per_insert
    assert sampled / (inserted - starts) == pytest.approx(samples_per_insert, rel=0.1)
