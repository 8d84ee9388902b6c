"""A host that falls silent is noticed, one that is slow is not."""

from __future__ import annotations

from typing import Any

from driver.cluster.watch import Watch


class Question:
    """A grpc future."""

    def __init__(self) -> None:
        self.answer: Exception | str | None = "none yet"

    def done(self) -> bool:
        return self.answer != "none yet"

    def exception(self) -> Any:
        assert self.done()
        return self.answer


class FakeHost:
    """Keeps the questions for the test to answer."""

    def __init__(self) -> None:
        self.questions: list[Question] = []

    def ask(self) -> Question:
        self.questions.append(Question())
        return self.questions[-1]


class Scene:
    """A watch with a clock of its own."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.host = FakeHost()
        self.watch = Watch("the host", self.host.ask, clock=lambda: self.now)

    def after(self, seconds: float, answer: Exception | str | None = "none yet") -> str | None:
        """The complaint, once the last question has this answer."""
        self.now += seconds
        self.host.questions[-1].answer = answer
        return self.watch.complaint()


def test_a_host_that_answers_is_asked_again_and_again_without_complaint() -> None:
    scene = Scene()
    assert all(scene.after(3, None) is None for _ in range(20))
    assert len(scene.host.questions) == 21


def test_it_is_not_asked_again_before_it_has_answered_nor_at_once() -> None:
    scene = Scene()
    assert scene.after(5) is None
    assert len(scene.host.questions) == 1
    scene.after(0.1, None)
    assert len(scene.host.questions) == 2
    scene.after(0.1, None)
    assert len(scene.host.questions) == 2


def test_ten_seconds_of_failures_pass_and_twenty_do_not() -> None:
    scene = Scene()
    scene.after(3, None)
    refused = ConnectionError("refused")
    assert [scene.after(2.5, refused) for _ in range(4)] == [None] * 4
    assert scene.after(2.5, None) is None  # back again
    said = [scene.after(2.5, refused) for _ in range(12)]
    assert said[:7] == [None] * 7
    assert said[-1] is not None
    assert said[-1].startswith("the host has not answered for ")


def test_a_question_that_stays_open_counts_as_silence() -> None:
    scene = Scene()
    assert scene.after(19) is None
    assert scene.after(2) == "the host has not answered for 21 s"
