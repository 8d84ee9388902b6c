"""The driver's outstanding calls to the roles: one table, from Ray's ref to what to do with its value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from driver.supervision.topology import Role


class Calls:
    """Waits for all of them together, so the first that fails is seen at once."""

    def __init__(
        self, on_raised: Callable[[Role, RayTaskError], None], on_died: Callable[[Role, RayError], None]
    ) -> None:
        """`on_raised`: the role's code raised an exception. `on_died`: its process or its message is gone."""
        self._on_raised = on_raised
        self._on_died = on_died
        self._pending: dict[Any, tuple[Role, Callable[[Any], None]]] = {}
        self._questions: dict[str, Any] = {}  # -> ref of its last asking

    def watch(self, role: Role, ref: Any, on_value: Callable[[Any], None]) -> None:
        """Until it is done."""
        self._pending[ref] = (role, on_value)

    def ask_once(
        self,
        question: str,
        role: Role,
        method: str,
        on_value: Callable[[Any], None],
        *args: Any,
        group: str | None = None,
    ) -> bool:
        """Not again while the last asking is not answered yet. Returns whether it was asked. `group`: see Role.call."""
        if not role.ready or self._questions.get(question) in self._pending:
            return False
        self._questions[question] = role.call(method, *args, group=group)
        self.watch(role, self._questions[question], on_value)
        return True

    def forget(self, role: Role) -> None:
        """Every outstanding call to it."""
        self._pending = {ref: watched for ref, watched in self._pending.items() if watched[0] is not role}

    def outstanding(self, refs: list[Any]) -> list[Any]:
        """Those of `refs` that are not done."""
        return [ref for ref in refs if ref in self._pending]

    def collect(self, timeout: float) -> None:
        """Waits for the first of all outstanding calls and deals with every one that is done."""
        done, _ = ray.wait(list(self._pending), num_returns=1, timeout=timeout)
        while done:
            role, on_value = self._pending.pop(done[0])
            try:
                value = ray.get(done[0])
            except RayTaskError as error:
                self._on_raised(role, error)
            except RayError as error:
                self._on_died(role, error)
            else:
                on_value(value)
            done = ray.wait(list(self._pending), num_returns=1, timeout=0)[0] if self._pending else []
