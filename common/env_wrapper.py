"""The user's own wrapper, as `--env-wrapper MODULE:FUNCTION` names it: it goes around every copy of the environment."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable
from typing import Any

import gymnasium

from common.config import BadInput
from common.user_code import blame, guarded

_EXAMPLE = "my_wrappers:flat or gymnasium.wrappers:FlattenObservation"


def wrapped(env: gymnasium.Env[Any, Any], wrapper: str) -> gymnasium.Env[Any, Any]:
    """The environment inside the wrapper. Raises BadInput."""
    function = _find(wrapper)
    try:
        result: Any = guarded(function, env)
    except Exception as error:  # a user's code may raise anything
        raise BadInput(f"--env-wrapper {wrapper}: {blame(error)}") from error
    if not isinstance(result, gymnasium.Env):
        raise BadInput(
            f"--env-wrapper {wrapper}: returned {type(result).__name__}, and no gymnasium.Env; return the environment "
            "with a gymnasium.Wrapper around it"
        )
    return result


def _find(wrapper: str) -> Callable[..., Any]:
    module, _, name = wrapper.partition(":")
    try:
        found: Any = guarded(importlib.import_module, module)
    except Exception as error:  # as above
        missing = isinstance(error, ModuleNotFoundError) and module.startswith(error.name or " ")
        works = "; name a module of an installed package or of the folder you start in" if missing else ""
        why = str(error) if missing else blame(error)
        raise BadInput(f"--env-wrapper {wrapper}: {why}{works}") from error
    for part in name.split("."):
        if not hasattr(found, part):
            known = [known for known in dir(found) if callable(getattr(found, known, None))]
            near = difflib.get_close_matches(part, known, n=1, cutoff=0.5)
            works = f"the nearest there is {near[0]}" if near else f"name a function of it, such as {_EXAMPLE}"
            raise BadInput(f"--env-wrapper {wrapper}: {module} has no {name}; {works}")
        found = getattr(found, part)
    if not callable(found):
        raise BadInput(
            f"--env-wrapper {wrapper}: {name} is {type(found).__name__}, and no function; name one that takes an "
            "environment and returns one"
        )
    function: Callable[..., Any] = found
    return function
