"""Starting: creates the roles, a few at once, and waits until they are up."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from driver.calls import Calls
from driver.processes import Latecomers
from driver.topology import Role


class Starting:
    """Who is there, who is on the way, and who is to be created next."""

    def __init__(
        self,
        roles: Sequence[Role],
        calls: Calls,
        at_once: int,
        late_after: Role,
        seconds: Callable[[], float],
        on_ready: Callable[[Role], None],
    ) -> None:
        """`roles` in the order of their creation, `at_once` of them. Processes that start when `late_after` is up yield
        to those that run. `seconds`: since the start that seconds_to_solve counts from.
        """
        self._roles = roles
        self._calls = calls
        self._at_once = at_once
        self._late_after = late_after
        self._seconds = seconds
        self._on_ready = on_ready
        self._latecomers: Latecomers | None = None
        self.ready_seconds: dict[str, float] = {"first roles created": seconds()}  # when each first came up

    def created(self) -> list[Role]:
        """Up or on the way."""
        return [role for role in self._roles if role.handle is not None]

    def missing(self) -> list[Role]:
        """On the way."""
        return [role for role in self.created() if not role.ready]

    def waited_seconds(self) -> float:
        """For the one that has been on the way for longest; 0 where nobody is."""
        now = time.monotonic()
        return max((now - role.starting_since for role in self.missing()), default=0.0)

    def create(self, role: Role) -> None:
        """However many others are on the way."""
        role.handle = role.create()
        self.await_ready(role)

    def create_more(self) -> None:
        """Those that have not been created, as soon as few enough others are on the way."""
        room = self._at_once - len(self.missing())
        waiting = [role for role in self._roles if role.handle is None]
        for role in waiting[: max(0, room)]:
            self.create(role)

    def await_ready(self, role: Role) -> None:
        """A new process, or one that Ray puts in the place of a dead one."""
        role.ready = role.running = False
        role.starting_since = time.monotonic()

        def is_ready(_: Any) -> None:
            role.ready = True
            self.ready_seconds.setdefault(role.name, self._seconds())
            if role is self._late_after:
                self._latecomers = Latecomers()
            self._on_ready(role)

        self._calls.watch(role, role.call("__ray_ready__"), is_ready)

    def let_late_ones_yield(self) -> None:
        """To be called now and then while somebody is missing."""
        if self._latecomers is not None and self.missing():
            self._latecomers.yield_to_the_others()
