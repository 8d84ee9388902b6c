"""Moments of a run for tests: every figure that a test does not name is 0, empty, or not there yet."""

from __future__ import annotations

import typing
from typing import Any

from common.time_use import columns
from driver.reporting.progress import Progress


def progress(**figures: Any) -> Progress:
    """A Progress with these figures. Raises TypeError on one that it does not have."""
    hints = typing.get_type_hints(Progress)
    values = {name: None if type(None) in typing.get_args(hint) else hint() for name, hint in hints.items()
              if name != "time_use"}  # fmt: skip
    return Progress(**{**values, "time_use": dict.fromkeys(columns(), 0.0), **figures})
