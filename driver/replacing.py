"""Replacing: what the loss of an actor's process means for the run.

Ray starts another process for it wherever there is room. A process that died counts against a budget, because it will
die again; one whose node has left does not, because nothing is wrong with it.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ray.exceptions import RayError

from driver.display import Display
from driver.topology import Role

if TYPE_CHECKING:
    from driver.head import Head


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
        self.count = 0  # of replacements

    def lost(self, role: Role, error: RayError) -> str | None:
        """One incarnation of the role is over. Returns why the run cannot go on, or None."""
        where = role.whereabouts
        if where is not None and self.has_left(where.node_id):
            role.may_wait = True  # until there is room again
            if where.node_id not in self._nodes_gone:
                self._nodes_gone.add(where.node_id)
                self._say_who_left(where.node_id, where.node)
        elif (failure := self._count_death(error)) is not None:
            return failure
        else:
            number = role.incarnation + 1
            self._display.say(f"{role.name}: its process died; replaced (number {number})", style="yellow")
        self.count += 1
        role.incarnation += 1
        return None

    def came_back(self, role: Role) -> None:
        """The new process is up."""
        assert role.whereabouts is not None
        if role.may_wait and role.incarnation:
            self._display.say(f"{role.name} plays again, on node {role.whereabouts.node}")

    def has_left(self, node_id: str) -> bool:
        """Whether the cluster counts this node no longer."""
        return self._head is not None and self._head.has_lost(node_id)

    def _count_death(self, error: RayError) -> str | None:
        now = time.monotonic()
        self._deaths.append(now)
        while now - self._deaths[0] > 60:
            self._deaths.popleft()
        if len(self._deaths) <= self._per_minute:
            return None
        return f"{len(self._deaths)} actor processes died within a minute, {self._per_minute} are replaced\n{error}"

    def _say_who_left(self, node_id: str, node: str) -> None:
        gone = [role.name for role in self._actors if role.whereabouts and role.whereabouts.node_id == node_id]
        self._display.say(
            f"node {node} is gone, with {', '.join(gone)}: the run goes on with {len(self._actors) - len(gone)} of "
            f"{len(self._actors)} actors; they come back where there is room",
            style="yellow",
        )
