"""The best network seen, by looks whose means are given."""

from __future__ import annotations

import pytest
from run_folders import look

from actors.best import BestSeen
from common.types import Kept, LookKind, Params


def params(version: int) -> Params:
    return Params(version, env_steps=0, arrays={})


def looked(best: BestSeen, version: int, mean: float, spread: float = 0.0) -> int | None:
    """A first look. The version whose second look is due."""
    due = best.looked(params(version), look(version, mean, spread=spread))
    return None if due is None else due.params.version


def looked_again(
    best: BestSeen, version: int, mean: float, kind: LookKind = "second_look", solved: bool = False
) -> None:
    first = look(version, mean + 50)  # luckier, as the highest of many is
    best.looked_again(params(version), first, look(version, mean, kind, solved))


def kept_version(best: BestSeen) -> int | None:
    return None if best.kept is None else best.kept.params.version


def test_before_the_first_look_there_is_nothing_to_keep() -> None:
    assert BestSeen().kept is None


def test_while_looks_rise_no_second_one_is_due_and_then_that_of_the_highest_is() -> None:
    best = BestSeen()
    assert [looked(best, version, mean) for version, mean in ((100, 5.0), (200, 9.0), (300, 12.0), (400, 11.0))] == [
        None, None, None, 300,
    ]  # fmt: skip


def test_of_equal_looks_the_newer_is_kept() -> None:
    """A reward that nobody has found yet: the newest has learnt for longest."""
    best = BestSeen()
    assert [looked(best, version, 0.0) for version in (100, 200, 300)] == [None, None, None]
    assert kept_version(best) == 300
    looked_again(best, 300, 0.0)
    assert looked(best, 400, 0.0) is None
    looked_again(best, 400, 0.0)
    assert kept_version(best) == 400


def test_the_standing_is_that_of_the_second_look_alone() -> None:
    """A lucky 200 that is 150 on fresh episodes gives way to a 160 that holds."""
    best = BestSeen()
    looked(best, 100, 200.0)
    assert looked(best, 200, 20.0) == 100
    looked_again(best, 100, 150.0)
    assert looked(best, 300, 160.0) is None
    assert looked(best, 400, 30.0) == 300
    looked_again(best, 300, 155.0)
    assert kept_version(best) == 300


def test_a_challenger_that_falls_back_on_fresh_episodes_changes_nothing() -> None:
    best = BestSeen()
    looked(best, 100, 150.0)
    looked_again(best, 100, 150.0)
    looked(best, 200, 181.0, spread=200.0)
    assert looked(best, 300, 66.0) == 200
    looked_again(best, 200, 140.0)
    assert kept_version(best) == 100
    assert looked(best, 400, 149.0) is None


@pytest.mark.parametrize(("spread", "expected"), [(10.0, 200), (400.0, 100)])
def test_a_challenger_without_a_second_look_is_kept_only_where_luck_does_not_explain_it(
    spread: float, expected: int
) -> None:
    """Half an interval is 1.99 or 79.8; the standing is 50 below."""
    best = BestSeen()
    looked(best, 100, 20.0)
    looked_again(best, 100, 20.0)
    looked(best, 200, 70.0, spread)
    assert kept_version(best) == expected


def confirmed_at(mean: float) -> BestSeen:
    """Version 100."""
    best = BestSeen()
    looked(best, 100, mean)
    looked_again(best, 100, mean, "confirmation", solved=True)
    return best


def test_what_is_confirmed_too_and_better_takes_the_place_of_the_confirmed() -> None:
    best = confirmed_at(478.0)
    assert looked(best, 200, 490.0) is None
    assert looked(best, 300, 20.0) == 200
    assert kept_version(best) == 100
    looked_again(best, 200, 485.0, "confirmation", solved=True)
    assert kept_version(best) == 200
    assert best.confirmed


@pytest.mark.parametrize(
    ("mean", "kind", "solved"),
    [(477.0, "confirmation", True), (478.0, "confirmation", True), (490.0, "confirmation", False)],
)
def test_the_confirmed_stays_where_another_is_no_better_or_not_confirmed(
    mean: float, kind: LookKind, solved: bool
) -> None:
    best = confirmed_at(478.0)
    looked(best, 200, 490.0)
    looked_again(best, 200, mean, kind, solved)
    assert kept_version(best) == 100
    assert best.challenger is None


def test_an_equal_look_is_no_reason_to_confirm_another() -> None:
    """Else a policy that is at its best in every look would be played twice as often."""
    best = confirmed_at(500.0)
    looked(best, 200, 500.0)
    assert best.challenger is None


def test_however_high_its_only_look_a_challenger_is_not_kept_in_place_of_the_confirmed() -> None:
    best = confirmed_at(478.0)
    looked(best, 200, 500.0, spread=0.0)
    assert kept_version(best) == 100


def test_a_confirmation_takes_the_place_of_whatever_stood_higher() -> None:
    """The threshold was lowered by nobody, but the best may have been refused by a hair before."""
    best = BestSeen()
    looked(best, 100, 490.0)
    looked_again(best, 100, 490.0, "confirmation")
    looked(best, 200, 480.0)
    looked_again(best, 200, 478.0, "confirmation", solved=True)
    kept = best.kept
    assert isinstance(kept, Kept)
    assert (kept.params.version, kept.confirmed) == (200, True)
