"""Starting: creates the roles, and knows who is up and who is on the way."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence

from driver.cluster.whereabouts import Whereabouts, whereabouts
from driver.supervision.calls import Calls
from driver.supervision.topology import Role

_ASK_AGAIN_SECONDS = 0.2


class Starting:
    """The roles from their creation until they are up."""

    def __init__(
        self,
        first: Sequence[Role],
        others: Sequence[Role],
        at_once: int | None,
        calls: Calls,
        seconds: Callable[[], float],
        on_ready: Callable[[Role, Whereabouts], None],
        with_versions: bool,
    ) -> None:
        """`first` are created at once; `others` as far as no more than `at_once` are on the way then, None for all.

        `seconds`: since the start that seconds_to_solve counts from. `with_versions`: see Whereabouts.
        """
        self._roles = [*first, *others]
        self._first = first
        self._others = deque(others)  # still to be created
        self._at_once = at_once
        self._calls = calls
        self._seconds = seconds
        self._on_ready = on_ready
        self._with_versions = with_versions
        self._ask_again: dict[str, tuple[float, Role]] = {}  # by role name: when, and whom
        self.ready_seconds: dict[str, float] = {}  # when each first came up

    def create_first(self) -> None:
        """In their order: Ray starts as many processes at once as there are cores."""
        for role in self._first:
            self._create(role)
        self.create_others()

    def create_others(self) -> None:
        """As many as may be on the way."""
        while self._others and (self._at_once is None or len(self.missing()) < self._at_once):
            self._create(self._others.popleft())
        if not self._others:
            self.ready_seconds.setdefault("roles created", self._seconds())

    def created(self) -> list[Role]:
        """Up or on the way."""
        return [role for role in self._roles if role.handle is not None]

    def missing(self) -> list[Role]:
        """On the way."""
        return [role for role in self.created() if not role.ready]

    def waited_seconds(self) -> float:
        """For the one that has been on the way for longest; 0 where nobody is, or all may wait."""
        now = time.monotonic()
        return max((now - role.starting_since for role in self.missing() if not role.may_wait), default=0.0)

    def await_again(self, role: Role) -> None:
        """Its process could not be reached: it has died, or the connection has. Ray says which only by and by."""
        if role.ready or role.running:
            role.ready = role.running = False
            role.starting_since = time.monotonic()
        self._ask_again[role.name] = (time.monotonic() + _ASK_AGAIN_SECONDS, role)

    def ask_again_if_due(self) -> None:
        """Those of `await_again`."""
        for due, role in list(self._ask_again.values()):
            if time.monotonic() >= due:
                del self._ask_again[role.name]
                self._ask(role)

    def _create(self, role: Role) -> None:
        role.handle = role.create()
        role.starting_since = time.monotonic()
        self._ask(role)

    def _ask(self, role: Role) -> None:
        def is_ready(where: Whereabouts) -> None:
            role.ready = True
            self.ready_seconds.setdefault(role.name, self._seconds())
            self._on_ready(role, where)

        self._calls.watch(role, role.call("__ray_call__", whereabouts, self._with_versions), is_ready)
