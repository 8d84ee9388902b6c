"""Replacing: what the loss of an actor's process means for the run.

Ray starts another process for it wherever there is room. A process that died counts against a budget, because it will
die again; one whose node has left does not, because nothing is wrong with it. Which of the two it was shows only later:
a node that is silent is counted as gone after some seconds.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from driver.cluster.whereabouts import Whereabouts
from driver.reporting.display import Display
from driver.supervision.topology import Role

if TYPE_CHECKING:
    from driver.cluster.head import Head

_LOOK_SECONDS = 2.0


class Replacing:
    """Keeps the budget, and says what happened."""

    def __init__(self, actors: Sequence[Role], per_minute: int, head: Head | None, display: Display) -> None:
        """`per_minute`: processes that may die in a minute. `head`: of the cluster, if this is one."""
        self._actors = actors
        self._per_minute = per_minute
        self._head = head
        self._display = display
        self._deaths: deque[float] = deque()
        self._nodes_gone: set[str] = set()
        self._looked = 0.0
        self.count = 0  # of replacements

    def look_for_lost_nodes(self) -> None:
        """Now and then, while an actor cannot be reached: whether its node is gone."""
        now = time.monotonic()
        lost = [(role, role.whereabouts) for role in self._actors if role.whereabouts is not None and not role.ready]
        if self._head is None or not lost or now - self._looked < _LOOK_SECONDS:
            return
        self._looked = now
        alive = self._head.alive()  # asked once for all: a silent head takes seconds
        for role, where in lost:
            if self._has_left(where, alive):
                role.may_wait = True

    def replaced(self, role: Role, before: Whereabouts) -> str | None:
        """A new process is up in the place of the one that was there `before`. Returns why the run cannot go on."""
        self.count += 1
        role.incarnation += 1
        assert role.whereabouts is not None
        if self._has_left(before, self._head.alive() if self._head else None):
            self._display.say(f"{role.name} plays again, on node {role.whereabouts.node}")
        elif role.restarted_on_purpose:
            self._display.say(f"{role.name}: the connection to it broke; restarted (number {role.incarnation})")
        elif self._too_many_deaths():
            return f"{len(self._deaths)} actor processes died within a minute, {self._per_minute} are replaced"
        else:
            self._display.say(f"{role.name}: its process died; replaced (number {role.incarnation})", style="yellow")
        role.restarted_on_purpose = False
        return None

    def _has_left(self, where: Whereabouts, alive: set[str] | None) -> bool:
        """Whether the cluster counts this node no longer; says so once. `alive`: None where that is not known."""
        if where.node_id in self._nodes_gone:
            return True
        if alive is None or where.node_id in alive:
            return False
        self._nodes_gone.add(where.node_id)
        gone = [role.name for role in self._actors if role.whereabouts and role.whereabouts.node_id == where.node_id]
        if gone:
            playing = sum(role.running for role in self._actors)
            self._display.say(
                f"node {where.node} is gone, with {', '.join(gone)}: {playing} of {len(self._actors)} actors go on, "
                "the others come back where there is room",
                style="yellow",
            )
        return True

    def _too_many_deaths(self) -> bool:
        now = time.monotonic()
        self._deaths.append(now)
        while now - self._deaths[0] > 60:
            self._deaths.popleft()
        return len(self._deaths) > self._per_minute
