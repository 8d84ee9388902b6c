"""What is said of a threshold that candidates come near and do not reach."""

from __future__ import annotations

from run_folders import look

from common.types import Kept, Look, LookKind, Params
from driver.reporting.reach import Reach


def seen(reach: Reach, *looks: Look) -> list[str]:
    return [sentence for one in looks if (sentence := reach.see(one)) is not None]


def of(env_steps: int, mean: float, kind: LookKind, spread: float = 2.6, solved: bool = False) -> Look:
    return look(10 * env_steps, mean, kind, solved, spread=spread)


def refused(env_steps: int, mean: float = 7.9) -> Look:
    return of(env_steps, mean, "confirmation")


def test_it_is_said_once_when_candidates_are_refused_and_nothing_got_better_for_half_of_the_run() -> None:
    reach = Reach(8.0)
    assert seen(reach, refused(1000, 7.95), refused(1200), refused(1400), of(1900, 8.1, "look")) == []
    assert seen(reach, refused(2000), of(3000, 8.1, "look"), refused(4000)) == [
        "the last 3 candidates together reach 7.90 [7.60, 8.20] in 300 fresh episodes: the threshold 8 may be above "
        "what this environment allows; --solved-return 7.57 would count"
    ]


def test_the_end_repeats_it_unless_the_best_has_reached_the_threshold_since() -> None:
    reach = Reach(8.0)
    (sentence,) = seen(reach, refused(1000), refused(2000), refused(4000))
    assert reach.at_the_end(kept(of(5000, 7.95, "second_look"))) == sentence
    assert reach.at_the_end(None) == sentence
    assert str(reach.at_the_end(kept(of(5000, 8.2, "confirmation")))).startswith("the best network seen, 8.20 [")
    assert reach.at_the_end(kept(of(5000, 9.5, "second_look"))) is None


def test_nothing_is_said_while_it_gets_better() -> None:
    reach = Reach(8.0)
    assert seen(reach, *(refused(steps, mean) for steps, mean in ((1000, 7.0), (2000, 7.2), (3000, 7.4)))) == []


def test_nothing_is_said_where_candidates_are_above_on_average() -> None:
    """A hard confirmation is not an impossible one."""
    assert seen(Reach(8.0), *(refused(steps, 8.1) for steps in (1000, 2000, 3000, 4000))) == []


def test_nothing_is_said_of_looks_alone_or_without_a_threshold() -> None:
    assert seen(Reach(8.0), *(of(steps, 7.9, "second_look") for steps in (1000, 2000, 4000, 8000))) == []
    assert seen(Reach(None), *(refused(steps) for steps in (1000, 2000, 4000, 8000))) == []


def kept(fresh: Look | None) -> Kept:
    return Kept(Params(10_000, 1000, {}), of(1000, 8.1, "look"), fresh)


def test_the_end_tells_of_a_best_whose_interval_holds_the_threshold() -> None:
    assert Reach(8.0).at_the_end(kept(of(1000, 7.8, "second_look"))) == (
        "the best network seen, 7.80 [7.28, 8.32], is too near the threshold 8 to tell them apart; "
        "--solved-return 7.46 would count, or train on with --initial-params"
    )


def test_the_end_says_nothing_of_a_best_far_away_nor_of_a_solved_run() -> None:
    reach = Reach(8.0)
    assert reach.at_the_end(kept(of(1000, -162.0, "second_look"))) is None
    assert reach.at_the_end(kept(of(1000, 8.5, "confirmation", solved=True))) is None
    assert reach.at_the_end(kept(None)) is None
    assert reach.at_the_end(None) is None


def test_returns_without_a_spread_are_told_too() -> None:
    reach = Reach(8.0)
    looks = [of(steps, 7.5, "confirmation", spread=0.0) for steps in (1000, 2000, 3000)]
    (sentence,) = seen(reach, *looks)
    assert "7.50 [7.50, 7.50]" in sentence
    assert "--solved-return 7.5 would count" in sentence
