"""What the driver knows of episodes: how long they take, and that some do not end."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from fakes import episodes
from rich.console import Console
from run_folders import look
from test_ray_metrics import CONFIG, Sink, exporter, learner_stats, replay_stats

from actors.evaluator import LooksReply
from common.types import Episodes, Kept, Params
from driver.reporting.display import Display
from driver.reporting.observer import Observer
from driver.reporting.run_folder import RunFolder
from replay_server.episode_log import EpisodeRows, EpisodesReply
from replay_server.stats import ReplayReport


def observing(folder: Path, output: io.StringIO, solved_return: float | None = None) -> Observer:
    display = Display(CONFIG, solved_return=None, console=Console(file=output, width=200))
    return Observer(CONFIG, RunFolder(folder), display, exporter(Sink()), lambda: 10.0, solved_return)


def report(*chunks: Episodes) -> ReplayReport:
    rows = [EpisodeRows(chunk, actor_id=0, incarnation=0, env_steps=0, learner_steps=0) for chunk in chunks]
    return ReplayReport(replay_stats(), EpisodesReply(rows=rows, next=7, recent_returns=np.zeros(0)))


def looks(*unended: int) -> LooksReply:
    return LooksReply([look(400 * (number + 1), unended=count) for number, count in enumerate(unended)], None)


def test_the_longest_training_episode_is_kept(tmp_path: Path) -> None:
    seen = observing(tmp_path, io.StringIO())
    lengths = []
    for chunks in ([], [episodes(1.0, 1.0, 1.0), episodes(1.0)], [episodes()], [episodes(1.0, 1.0)]):
        seen.take_replay(report(*chunks), alive=2, restarts=0)
        lengths.append(seen.longest_episode_env_steps)
    assert lengths == [0, 3, 3, 3]


def test_the_mean_length_of_training_episodes_is_that_of_all(tmp_path: Path) -> None:
    """Lengths 1, 2, 3 and 1, 2; the server has counted seven episodes in all by then."""
    seen = observing(tmp_path, io.StringIO())
    assert seen.mean_episode_env_steps == 0.0
    seen.take_replay(report(episodes(1.0, 1.0, 1.0), episodes(1.0, 1.0)), alive=2, restarts=0)
    assert seen.mean_episode_env_steps == 9 / 7


def test_a_confirmation_that_holds_solves_and_what_is_to_be_kept_is_remembered(tmp_path: Path) -> None:
    output = io.StringIO()
    seen = observing(tmp_path, output, solved_return=475.0)
    first = look(400, 480.0)
    kept = Kept(Params(400, 40, {}), first, None)
    seen.take_looks(LooksReply([first], kept))
    seen.take_looks(LooksReply([look(800, 470.0), look(400, 478.0, "second_look")], None))
    assert (seen.solved, seen.kept) == (None, kept)
    confirmation = look(1200, 490.0, "confirmation", solved=True)._replace(confidence=0.9925)
    confirmed = Kept(Params(1200, 120, {}), look(1200, 490.0), confirmation)
    seen.take_looks(LooksReply([look(1200, 490.0), confirmation], confirmed))
    assert seen.solved is not None
    assert (seen.solved.confirmation, seen.kept, seen.looks_seen) == (confirmation, confirmed, 5)
    assert seen.last_look is not None
    assert seen.last_look.version == 1200
    assert output.getvalue() == (
        "learner step 1,200: candidate, mean of 100 further episodes 490.0 [490.0, 490.0] at 99.25 %: solved\n"
    )


def test_what_is_confirmed_past_the_solve_is_told_apart_from_it(tmp_path: Path) -> None:
    output = io.StringIO()
    seen = observing(tmp_path, output, solved_return=475.0)
    confirmations = [
        look(400, 480.0, "confirmation", solved=True),
        look(800, 490.0, "confirmation", solved=True),
        look(1200, 470.0, "confirmation"),
    ]
    for confirmation in confirmations:
        seen.take_looks(LooksReply([confirmation], None))
    assert seen.solved is not None
    assert seen.solved.confirmation is confirmations[0]
    verdicts = [line.rpartition(": ")[2] for line in output.getvalue().splitlines()]
    assert verdicts == ["solved", "confirmed too", "not confirmed"]


def test_a_networks_trouble_is_said_once(tmp_path: Path) -> None:
    output = io.StringIO()
    seen = observing(tmp_path, output)
    for trouble in ("", "", "the network has died", "the network has died", "the network has died"):
        seen.take_learner(learner_stats(trouble=trouble))
        assert output.getvalue() == ("the network has died\n" if trouble else "")


def test_a_network_that_had_died_before_the_first_answer_is_said_too(tmp_path: Path) -> None:
    output = io.StringIO()
    observing(tmp_path, output).take_learner(learner_stats(trouble="the network has died"))
    assert output.getvalue() == "the network has died\n"


def test_a_moment_has_the_spread_of_q_and_the_silent_units_once_the_learner_has_synced(tmp_path: Path) -> None:
    """Before that they are NaN."""
    seen = observing(tmp_path, io.StringIO())
    moments = []
    for spread, silent in ((math.nan, math.nan), (2.5, 0.25)):
        seen.take_learner(learner_stats(q_spread=spread, silent_units=silent))
        moment = seen.take_replay(report(), alive=2, restarts=0)
        moments.append((moment.q_spread, moment.silent_units))
    assert moments == [(None, None), (2.5, 0.25)]


def said(folder: Path, unended: Sequence[int]) -> list[str]:
    output = io.StringIO()
    observing(folder, output).take_looks(looks(*unended))
    return output.getvalue().splitlines()


def test_episodes_that_did_not_end_are_told_once_and_again_after_a_look_whose_episodes_all_did(tmp_path: Path) -> None:
    assert said(tmp_path, [0, 87, 3, 100, 0, 2, 0]) == [
        "evaluation at learner step 800: 87 of 100 episodes did not end within 6,000 steps; they count with what they "
        "reached",
        "evaluation at learner step 2,400: 2 of 100 episodes did not end within 6,000 steps; they count with what they "
        "reached",
    ]
    assert said(tmp_path, [0, 0]) == []


def test_the_table_counts_the_episodes_that_did_not_end(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.add_look(look(400, unended=87), 1.0)
    folder.add_look(look(800), 2.0)
    folder.flush()
    assert pq.read_table(tmp_path / "metrics.parquet")["evaluation_unended"].to_pylist() == [87, 0]
