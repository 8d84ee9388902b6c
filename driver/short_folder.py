"""Where the folders of sockets go: a socket's path may have 107 bytes, and batch systems name long folders."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import NamedTuple

from common.config import BadInput

_LONGEST_PATH = 107 if sys.platform == "linux" else 103  # bytes
_VARIABLES = ("RAY_TMPDIR", "TMPDIR")  # the first counts, as in Ray
_SHORT = ("/tmp", "/var/tmp", "/dev/shm")  # without a variable Ray takes the first


class Place(NamedTuple):
    """A folder, and what is wrong with the one that the user names or Ray would take; None if nothing."""

    folder: str
    fault: str | None


def place_for_sockets(below: str, environment: Mapping[str, str] = os.environ) -> Place:
    """Where a socket `below` fits in. Raises BadInput where nowhere."""
    variable = next((name for name in _VARIABLES if environment.get(name)), None)
    named = os.path.abspath(environment[variable]) if variable else _SHORT[0]
    fault = _fault(named, below)
    if fault is None:
        return Place(named, None)
    fault = f"{variable} {environment[variable]} {fault}" if variable else f"{named} {fault}"
    for folder in _SHORT:
        if _fault(folder, below) is None:
            return Place(folder, fault)
    most = _LONGEST_PATH - 1 - len(below)
    raise BadInput(
        f"{fault}, and none of {', '.join(_SHORT)} will do; name a folder whose path has at most {most} bytes in "
        "RAY_TMPDIR"
    )


def _fault(folder: str, below: str) -> str | None:
    if len(os.fsencode(os.path.join(folder, below))) > _LONGEST_PATH:
        return f"cannot hold Ray's sockets, whose paths may have {_LONGEST_PATH} bytes"
    if not folder.isascii():
        return "cannot hold Ray's files, whose paths must be ASCII"
    try:
        os.makedirs(folder, exist_ok=True)  # as Ray does
    except OSError as error:
        return f"cannot be made ({error.strerror})"
    return None if os.access(folder, os.W_OK | os.X_OK) else "cannot be written"
