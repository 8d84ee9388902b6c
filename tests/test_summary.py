"""What summary.json and the closing lines say of the network that was saved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fakes import environment_spec
from run_folders import look

from common.config import Config
from common.types import Kept, Look, Params
from driver.reporting.observer import Solved
from driver.summary import closing_lines, summarize_run
from driver.supervision.outcome import Outcome


def kept(fresh: Look | None, version: int = 300) -> Kept:
    return Kept(Params(version, 30, {}), look(version, 195.0), fresh)


def ended(folder: Path, **outcome: Any) -> tuple[dict[str, Any], str]:
    """The summary, and the line about files."""
    values: dict[str, Any] = {"last_look": look(900, 66.0), **outcome}
    summary = summarize_run(Config(), Outcome("max_env_steps", **values), 12.0)
    lines = closing_lines(summary, folder, environment_spec("LunarLander-v3"), 200.0)
    assert len(lines) <= 15
    return summary, next(line for line in lines if line.startswith("files: "))


SAVED = ("saved_as", "saved_learner_steps", "evaluation_return", "confirmation_return", "confirmation_episodes")


def of_saved(summary: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(summary[name] for name in SAVED)


def test_the_best_is_told_with_what_it_reached_on_fresh_episodes(tmp_path: Path) -> None:
    fresh = look(300, 181.0, "second_look", spread=50.0)
    summary, line = ended(tmp_path, kept=kept(fresh), saved_version=300)
    assert of_saved(summary) == ("best", 300, 195.0, 181.0, 100)
    assert summary["confirmation_interval"] == [fresh.interval_low, fresh.interval_high]
    assert summary["confirmation_confidence"] == 0.95
    assert summary["last_evaluation_return"] == 66.0
    assert line.endswith(
        "q_network.pth is the best network seen, of learner step 300: 181.0 [171.0, 191.0] on fresh episodes; the "
        "newest is last_q_network.pth"
    )


def test_a_best_without_a_second_look_says_so(tmp_path: Path) -> None:
    summary, line = ended(tmp_path, kept=kept(None), saved_version=300)
    assert of_saved(summary) == ("best", 300, 195.0, None, None)
    assert "195.0 in its only look" in line


def test_a_run_that_ended_before_the_first_look_saves_the_newest(tmp_path: Path) -> None:
    summary, line = ended(tmp_path, last_look=None, saved_version=120)
    assert of_saved(summary) == ("newest", 120, None, None, None)
    assert line.endswith("q_network.pth is the newest network, of learner step 120")


def test_a_best_that_never_became_a_file_is_not_what_was_saved(tmp_path: Path) -> None:
    summary, _ = ended(tmp_path, kept=kept(None), saved_version=900)
    assert of_saved(summary) == ("newest", 900, 66.0, None, None)


def test_where_nothing_was_saved_nothing_is_said_of_it(tmp_path: Path) -> None:
    summary, line = ended(tmp_path, kept=kept(None), saved_version=None)
    assert of_saved(summary) == (None, None, None, None, None)
    assert "no q_network.pth" in line


def test_a_confirmed_network_that_is_better_than_the_one_that_solved_is_told_with_its_own_figures(
    tmp_path: Path,
) -> None:
    solving = look(300, 480.0, "confirmation", solved=True, spread=10.0)
    fresh = look(700, 495.0, "confirmation", solved=True, spread=50.0)
    summary, line = ended(tmp_path, kept=kept(fresh, 700), saved_version=700, solved=Solved(9.0, solving))
    assert of_saved(summary) == ("confirmed", 700, 195.0, 495.0, 100)
    assert (summary["solved_learner_steps"], summary["seconds_to_solve"]) == (300, 9.0)
    assert line.endswith(
        "q_network.pth is the best confirmed network, of learner step 700: 495.0 [485.0, 505.0] on fresh episodes"
    )
    verdict = closing_lines(summary, tmp_path, environment_spec("LunarLander-v3"), 200.0)[0]
    assert verdict == "solved LunarLander-v3 in 9.0 s, after 300 learner steps"


def test_the_confirmed_network_stays_the_one_that_is_told_of(tmp_path: Path) -> None:
    """Also where the run went on after it."""
    fresh = look(300, 480.0, "confirmation", solved=True, spread=10.0)._replace(confidence=0.9925)
    summary, line = ended(tmp_path, kept=kept(fresh), saved_version=300, solved=Solved(9.0, fresh))
    assert of_saved(summary) == ("confirmed", 300, 195.0, 480.0, 100)
    assert summary["confirmation_confidence"] == 0.9925
    assert line.endswith("q_network.pth is the confirmed network, of learner step 300")


@pytest.mark.parametrize("sentence", [None, "the best network seen is too near"])
def test_a_threshold_that_may_be_too_high_is_told_in_the_end(tmp_path: Path, sentence: str | None) -> None:
    summary, _ = ended(tmp_path, kept=kept(None), saved_version=300, reach=sentence)
    lines = closing_lines(summary, tmp_path, environment_spec(), 200.0)
    assert (sentence in lines) == (sentence is not None)
    assert summary["threshold_note"] == sentence
