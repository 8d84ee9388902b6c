"""Watches whether a host of the cluster is there: one that falls silent ends nothing, and nobody says why.

A host whose processes die is noticed by all that are connected to it; one that is cut off or switched off is not. Ray
declares such a node dead after a minute, and of a silent head it says nothing at all.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from driver.cluster.head import Head

CLUSTER = "cluster"  # what a run's failure then names in the place of a role
_ASK_SECONDS = 2.0
_PATIENCE_SECONDS = 20.0  # a cut of ten seconds passes


class Watch:
    """`complaint` is to be asked often; it never waits."""

    def __init__(self, who: str, ask: Callable[[], Any], clock: Callable[[], float] = time.monotonic) -> None:
        """`who`: for the complaint. `ask`: a grpc future that is done when it has answered, or will not."""
        self._who = who
        self._ask = ask
        self._clock = clock
        self._answered = self._asked = clock()
        self._question = ask()

    def complaint(self) -> str | None:
        """What is wrong, once it has been wrong for long enough."""
        now = self._clock()
        if self._question.done():
            if self._question.exception() is None:
                self._answered = self._asked
            if now - self._asked >= _ASK_SECONDS:
                self._asked = now
                self._question = self._ask()
        silent = now - self._answered
        if silent <= _PATIENCE_SECONDS:
            return None
        return f"{self._who} has not answered for {silent:.0f} s"


def watch_head(head: Head) -> Watch:
    """Without it nothing ends."""
    return Watch(f"the head of the cluster, {head.address},", head.ask)


def watch_nodes(head: Head, roles: Mapping[str, Sequence[str]]) -> list[Watch]:
    """Of these nodes, by id with the names of who is there; none where the head does not answer now."""
    return [
        Watch(f"node {node}, with {', '.join(roles[node.id])},", head.asking(node))
        for node in head.nodes_or_none() or ()
        if node.id in roles
    ]
