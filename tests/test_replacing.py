"""What a lost actor means: a budget for processes that die, none for nodes that leave. No Ray runs."""

from __future__ import annotations

from typing import Any, cast

import pytest

from driver.cluster.head import Head
from driver.cluster.whereabouts import Whereabouts, mismatch
from driver.reporting.display import Display
from driver.supervision.replacing import Replacing
from driver.supervision.topology import Role

BUDGET = 3


class FakeHead:
    """Knows which nodes are there, and counts how often it is asked."""

    def __init__(self) -> None:
        self.nodes: set[str] | None = {"id-0", "id-1", "id-2"}
        self.asked = 0

    def alive(self) -> set[str] | None:
        self.asked += 1
        return self.nodes


class FakeDisplay:
    """Keeps what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str, style: str | None = None) -> None:
        self.said.append(text)


class Scene:
    """Eight actors that play, four on each of two nodes."""

    def __init__(self, cluster: bool = True) -> None:
        self.head = FakeHead()
        self.display = FakeDisplay()
        self.actors = [Role(f"actor-{actor}", lambda: None, ready=True, running=True) for actor in range(8)]
        for number, role in enumerate(self.actors):
            role.whereabouts = process(number, node=number // 4)
        head = cast(Head, self.head) if cluster else None
        self.replacing = Replacing(self.actors, BUDGET, head, cast(Display, self.display))

    def lose(self, *numbers: int) -> None:
        for number in numbers:
            self.actors[number].ready = self.actors[number].running = False
        self.replacing.look_for_lost_nodes()

    def come_back(self, number: int, pid: int, node: int) -> str | None:
        """As the supervisor does when the new process answers."""
        role = self.actors[number]
        before = role.whereabouts
        assert before is not None
        role.whereabouts = process(pid, node)
        role.ready = role.running = True
        return self.replacing.replaced(role, before)


def process(pid: int, node: int, **versions: str) -> Whereabouts:
    return Whereabouts(f"id-{node}", f"10.0.0.{node}", f"host-{node}", pid, versions)


@pytest.mark.parametrize("cluster", [True, False])
def test_processes_that_die_are_replaced_until_the_budget_of_a_minute_is_spent(cluster: bool) -> None:
    scene = Scene(cluster)
    for number in range(BUDGET):
        scene.lose(number)
        assert scene.come_back(number, 100 + number, node=0) is None
    assert scene.display.said[-1] == "actor-2: its process died; replaced (number 1)"
    scene.lose(0)
    assert scene.come_back(0, 200, node=0) == "4 actor processes died within a minute, 3 are replaced"
    assert scene.actors[0].incarnation == 2
    assert scene.replacing.count == BUDGET + 1


def test_the_actors_of_a_node_that_left_wait_for_room_and_cost_no_budget() -> None:
    scene = Scene()
    scene.head.nodes = {"id-0", "id-2"}
    scene.lose(4, 5, 6, 7)
    assert [role.may_wait for role in scene.actors] == [False] * 4 + [True] * 4
    assert scene.display.said == [
        "node host-1 (10.0.0.1) is gone, with actor-4, actor-5, actor-6, actor-7: 4 of 8 actors go on, the others come "
        "back where there is room"
    ]
    for number in (4, 5, 6, 7):
        assert scene.come_back(number, 100 + number, node=2) is None
    assert scene.display.said[1:] == [
        f"actor-{number} plays again, on node host-2 (10.0.0.2)" for number in (4, 5, 6, 7)
    ]
    assert scene.replacing.count == 4


def test_the_head_is_asked_once_for_all_lost_actors() -> None:
    scene = Scene()
    scene.lose(0, 1, 4, 5)
    assert scene.head.asked == 1


@pytest.mark.parametrize("nodes", [{"id-0", "id-1"}, None])
def test_a_node_of_which_the_head_says_nothing_is_not_said_to_be_gone(nodes: set[str] | None) -> None:
    scene = Scene()
    scene.head.nodes = nodes
    scene.lose(4)
    assert not scene.actors[4].may_wait
    assert scene.display.said == []


def test_a_process_restarted_for_its_broken_connection_costs_no_budget() -> None:
    scene = Scene()
    for turn in range(BUDGET + 2):
        scene.lose(0)
        scene.actors[0].restarted_on_purpose = True
        assert scene.come_back(0, 100 + turn, node=0) is None
    assert scene.display.said[-1] == f"actor-0: the connection to it broke; restarted (number {BUDGET + 2})"


def test_a_new_process_on_the_same_node_is_told_from_the_old_one() -> None:
    assert process(7, node=0).is_same_process(process(7, node=0))
    assert not process(7, node=0).is_same_process(process(8, node=0))
    assert not process(7, node=0).is_same_process(process(7, node=1))


def test_only_versions_that_differ_are_named() -> None:
    ours = {"Python": "3.11.7", "numpy": "2.4.6", "torch": "2.13.0"}
    assert mismatch(ours, process(1, 0, **ours)) is None
    theirs: dict[str, Any] = {**ours, "numpy": "1.26.4"}
    assert mismatch(ours, process(1, 0, **theirs)) == (
        "node host-0 (10.0.0.0) has numpy 1.26.4, the driver numpy 2.4.6"
    )
