"""Which roles are created when. Nothing here starts a process."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from ray.exceptions import RayError, RayTaskError

from driver.cluster.whereabouts import Whereabouts
from driver.supervision.calls import Calls
from driver.supervision.starting import Starting
from driver.supervision.topology import Role

WHERE = Whereabouts(node_id="1", address="127.0.0.1", host="here", pid=1, versions={})


class Handle:
    """Takes the question that every new role is asked."""

    def __init__(self) -> None:
        self.__ray_call__ = self

    def remote(self, function: Any, with_versions: bool) -> Handle:
        assert callable(function)
        assert not with_versions
        return self


class Answers(Calls):
    """Keeps what is asked until the test answers it."""

    def __init__(self) -> None:
        super().__init__(_never, _never)
        self._asked: dict[str, Callable[[Any], None]] = {}

    def watch(self, role: Role, ref: Any, on_value: Callable[[Any], None]) -> None:
        assert ref is role.handle
        assert role.name not in self._asked
        self._asked[role.name] = on_value

    def come_up(self, *names: str) -> None:
        for name in names:
            self._asked.pop(name)(WHERE)


def _never(role: Role, error: RayTaskError | RayError) -> None:
    raise AssertionError(f"{role.name}: {error}")


def starting(first: int, others: int, at_once: int | None) -> tuple[Starting, Answers]:
    """Roles named 0, 1, 2, and so on."""
    roles = [Role(str(number), Handle) for number in range(first + others)]
    answers = Answers()
    made = Starting(
        roles[:first], roles[first:], at_once, answers, time.monotonic, lambda role, where: None, with_versions=False
    )
    return made, answers


def names(roles: list[Role]) -> list[str]:
    return [role.name for role in roles]


def test_others_are_created_as_those_before_them_come_up() -> None:
    roles, answers = starting(first=2, others=4, at_once=3)
    roles.create_first()
    assert names(roles.created()) == ["0", "1", "2"]
    roles.create_others()
    assert names(roles.created()) == ["0", "1", "2"]
    answers.come_up("0", "2")
    assert "roles created" not in roles.ready_seconds
    roles.create_others()
    assert names(roles.created()) == ["0", "1", "2", "3", "4"]
    assert names(roles.missing()) == ["1", "3", "4"]
    answers.come_up("1", "3", "4")
    roles.create_others()
    answers.come_up("5")
    roles.create_others()
    assert names(roles.created()) == ["0", "1", "2", "3", "4", "5"]
    assert roles.missing() == []
    assert roles.ready_seconds.keys() == {"0", "1", "2", "3", "4", "5", "roles created"}


def test_the_first_are_created_however_many_they_are() -> None:
    roles, answers = starting(first=5, others=1, at_once=2)
    roles.create_first()
    assert names(roles.created()) == ["0", "1", "2", "3", "4"]
    answers.come_up("0", "1", "2", "3")
    roles.create_others()
    assert names(roles.missing()) == ["4", "5"]


@pytest.mark.parametrize("at_once", [None, 6])
def test_all_are_created_at_once_where_nothing_limits_them(at_once: int | None) -> None:
    roles, _ = starting(first=2, others=4, at_once=at_once)
    roles.create_first()
    assert names(roles.missing()) == ["0", "1", "2", "3", "4", "5"]


def test_a_role_is_waited_for_from_its_own_creation_on() -> None:
    roles, answers = starting(first=1, others=1, at_once=1)
    roles.create_first()
    answers.come_up("0")
    before = time.monotonic()
    roles.create_others()
    (last,) = roles.missing()
    assert before <= last.starting_since <= time.monotonic()
    assert roles.waited_seconds() <= time.monotonic() - before
