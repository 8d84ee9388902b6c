"""Paths as a user types them."""

from __future__ import annotations

import os
from pathlib import Path

from common.config import BadInput


def user_path(text: str, setting: str) -> Path:
    """Absolute, with `~` and `~user` expanded: no shell does that in `--run-dir=~/x`. Raises BadInput.

    It stays what it is when the folder that one is in changes later.
    """
    if not text.strip():
        raise BadInput(f"{setting} {text!r}: is empty; name a file or folder")
    if "\0" in text:
        raise BadInput(f"{setting} {text!r}: has a character that no path can have; name a file or folder")
    expanded = os.path.expanduser(text)  # pathlib would take ./~ for ~
    if text.startswith("~") and expanded == text:
        home = text.split("/", maxsplit=1)[0]
        raise BadInput(f"{setting} {text}: {home} is nobody's home folder here; write the path out, or ./{text}")
    try:
        return Path(expanded).absolute()
    except OSError as error:
        raise BadInput(
            f"{setting} {text}: the folder that you are in is gone ({error.strerror}); go to another"
        ) from None
