"""What Ray would print by itself in the driver: of that the display tells only what nothing else does.

Ray's own printing is off, see ray_environment.py. A process that dies is told by the calls that fail, but not why Ray
killed it where memory ran low.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from ray._private import worker

_PRINT = "print_to_stdstream"


def hand_to(say: Callable[[str], None]) -> None:
    """From now on, from a thread of Ray's."""

    def take(data: Mapping[str, Any], ignore_prefix: bool = False) -> None:
        for text in data.get("lines", ()):
            if (line := about_memory(str(text))) is not None:
                say(line)

    if hasattr(worker, _PRINT):  # of this version of Ray; without it nothing is told
        setattr(worker, _PRINT, take)


def about_memory(text: str) -> str | None:
    """Of a message of Ray's; None where it is about something else."""
    if "low on memory" not in text:
        return None
    used = re.search(r"was (\S+ used / \S+ limit)", text)
    return f"the node's memory ran low: Ray killed a process of this run{f' ({used[1]})' if used else ''}"
