"""Async tests: each on an event loop of its own, with a deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

DEADLINE_S = 4.0  # shorter than the time after which the server answers a wait without news


def on_a_loop(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """Runs an async test, with a deadline."""

    def run() -> None:
        asyncio.run(asyncio.wait_for(test(), DEADLINE_S))

    run.__name__ = test.__name__
    run.__doc__ = test.__doc__
    return run


async def begin(call: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    """Starts a call and lets the loop go round until whatever can be done at once is done."""
    task = asyncio.create_task(call)
    await all_that_can_be_done()
    return task


async def all_that_can_be_done() -> None:
    for _ in range(20):
        await asyncio.sleep(0)  # no time passes: the loop goes round once
