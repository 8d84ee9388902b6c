"""Polling with roles that answer when the test says so."""

from __future__ import annotations

from collections.abc import Sequence

from fakes import FakeCalls

from actors.actor import ActorStats
from actors.evaluator import EvaluatorReport
from common.time_use import ACTIVITIES
from driver.supervision.polling import Polling
from driver.supervision.topology import Role, Roles
from learner.client import CONTROL_GROUP


class FakeObserver:
    """Keeps what is exported: how many are alive, and the restarts of each."""

    episodes_seen = 0
    longest_episode_env_steps = 70
    mean_episode_env_steps = 35.0

    def __init__(self) -> None:
        self.exported: list[tuple[int, list[int]]] = []
        self.told: list[tuple[str, int]] = []

    def export(self, alive: int, restarts: Sequence[int]) -> None:
        self.exported.append((alive, list(restarts)))

    def take_actor(self, process: str, stats: ActorStats) -> None:
        self.told.append((process, stats.actor_id))

    def take_evaluator(self, report: EvaluatorReport) -> None:
        raise AssertionError("the evaluator does not answer here")


class Scene:
    """Two actors that run; the time is what the test sets."""

    def __init__(self) -> None:
        self.now = 100.0
        self.actors = [self._running(f"actor-{actor_id}") for actor_id in range(2)]
        self.calls = FakeCalls()
        self.observer = FakeObserver()
        roles = Roles(
            self._running("replay server"),
            (),
            self._running("learner"),
            self._running("evaluator"),
            tuple(self.actors),
        )
        self.polling = Polling(
            roles, self.calls, self.observer, None, lambda: 0, clock=lambda: self.now,  # type: ignore[arg-type]
        )  # fmt: skip

    def poll(self, *answering: int) -> int:
        """A second later; then these actors answer. Returns how many were alive at the poll."""
        self.now += 1.0
        self.polling.poll_if_due()
        for actor_id in answering:
            self.answer(actor_id)
        for question in self.calls.asked:
            assert (question.group == CONTROL_GROUP) == (question.role != "replay server")
        return self.observer.exported[-1][0]

    def answer(self, actor_id: int) -> None:
        seconds = dict.fromkeys(ACTIVITIES["actors"], 0.0)
        self.calls.answer(
            f"actor-{actor_id}", ActorStats(actor_id, 0, 0.0, 1, waiting=False, seconds=seconds, heard=())
        )

    def _running(self, name: str) -> Role:
        return Role(name, create=lambda: None, ready=True, running=True)


def test_an_actor_that_does_not_answer_for_10_seconds_is_not_alive_until_it_answers() -> None:
    scene = Scene()
    assert [scene.poll(0, 1) for _ in range(3)] == [2, 2, 2]
    assert [scene.poll(0) for _ in range(12)] == [2] * 9 + [1] * 3
    scene.answer(1)
    assert scene.poll(0) == 2


def test_an_actor_counts_from_when_it_is_first_asked() -> None:
    scene = Scene()
    assert [scene.poll() for _ in range(11)] == [2] * 10 + [0]


def test_a_replaced_process_is_alive_once_it_runs_and_its_replacements_are_counted() -> None:
    scene = Scene()
    assert [scene.poll(0) for _ in range(11)][-1] == 1
    scene.calls.open.pop("actor-1")  # as Calls.forget does
    scene.actors[1].incarnation, scene.actors[1].running = 1, False
    assert scene.poll(0) == 1
    scene.actors[1].running = True
    assert scene.poll(0, 1) == 2
    assert scene.observer.exported[-1] == (2, [0, 1])
    assert scene.observer.told[-1] == ("actor-1, 1", 1)


def test_metrics_are_exported_once_a_second_though_nobody_answers() -> None:
    scene = Scene()
    for _ in range(5):
        scene.poll()
        scene.polling.poll_if_due()  # not due again
    assert len(scene.observer.exported) == 5


def test_the_evaluator_is_told_how_long_training_episodes_are() -> None:
    """Its looks are bounded by that."""
    scene = Scene()
    scene.poll()
    question = scene.calls.open["evaluator"]
    assert (question.role, question.method, question.args) == ("evaluator", "report", (70, 35.0))
