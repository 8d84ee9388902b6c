"""Arguments for the environment's constructor, as `--env-args` gives them: NAME=VALUE, one text each.

They stay texts until a copy of the environment is made, because `{index}` in a value is the number of the copy.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

INDEX = "{index}"
EVALUATOR_COPIES = 100  # at most; they play the episodes of a look side by side

_WORDS = {"true": True, "false": False, "none": None}
_AMBIGUOUS = ("yes", "no", "on", "off", "null")  # as texts they would all count as true
_WHOLE = re.compile(r"[+-]?(0|[1-9]\d*)")
_DECIMAL = re.compile(r"[+-]?((0|[1-9]\d*)(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
_SUM = re.compile(rf"([+-]?\d+)\+{re.escape(INDEX)}")
_JSON_STARTS = ("[", "{", '"')
_OURS = ("id", "disable_env_checker", "num_envs", "vectorization_mode", "vector_kwargs", "wrappers")


_DOTTED = r"[^\W\d]\w*(\.[^\W\d]\w*)*"
_WRAPPER = re.compile(rf"{_DOTTED}:{_DOTTED}")


class Copies(NamedTuple):
    """The first number of each role's copies of the environment. Actors have those from 0 on."""

    evaluator: int
    probe: int  # the one that is tried before the run starts
    evaluate: int  # of the command, which may run beside the training


def copies(of_actors: int) -> Copies:
    """Numbers beside the `of_actors` environments of all actors: no two copies that live at once share one."""
    probe = of_actors + EVALUATOR_COPIES
    return Copies(evaluator=of_actors, probe=probe, evaluate=probe + 1)


def is_wrapper(text: str) -> bool:
    """Whether it has the form that `--env-wrapper` needs, MODULE:FUNCTION."""
    return _WRAPPER.fullmatch(text) is not None


def has_index(settings: Sequence[str]) -> bool:
    """Whether copies get different arguments."""
    return any(INDEX in setting for setting in settings)


def arguments(settings: Sequence[str], index: int) -> dict[str, Any]:
    """The keyword arguments of copy `index`. Raises ValueError, beginning with the setting that is malformed."""
    found: dict[str, Any] = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals or not name.isidentifier():
            raise ValueError(f"{setting}: must be NAME=VALUE, such as is_slippery=false")
        if name in found:
            raise ValueError(f"{setting}: {name} is given twice; leave one out")
        if name in _OURS:
            raise ValueError(f"{setting}: {name} is set by this program; leave it out")
        if value.lower() in _AMBIGUOUS:
            raise ValueError(f"{setting}: write true, false or none; a text is {name}='\"{value}\"'")
        try:
            found[name] = _value(value, index)
        except ValueError as error:
            raise ValueError(
                f"{setting}: begins like JSON but is not ({error}); quote the whole in the shell, and texts in it by "
                '", or begin a plain text otherwise'
            ) from None
    return found


def _value(text: str, index: int) -> Any:
    if (sum_of := _SUM.fullmatch(text)) is not None:
        return int(sum_of[1]) + index
    text = text.replace(INDEX, str(index))
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    if _WHOLE.fullmatch(text):
        return int(text)
    if _DECIMAL.fullmatch(text):
        return float(text)
    if text.startswith(_JSON_STARTS):
        return json.loads(text)
    return text
