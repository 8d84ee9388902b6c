"""`--config FILE`: settings from TOML or JSON, named as their options are, or from a run's config.json."""

from __future__ import annotations

import dataclasses
import difflib
import json
import tomllib
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from common.config import BadInput, Config
from common.paths import user_path

_MOST_BYTES = 1_000_000  # some other file was meant
_MOST_SHOWN = 60  # characters of a value
_OF_ONE_RUN = ("run_dir",)  # of a run's config.json: what the next run cannot share with it
_KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}


class SettingsFile(NamedTuple):
    """What a file says, by the names of the fields in Config."""

    name: str  # as given
    values: Mapping[str, Any]

    def over(self, config: Config) -> Config:
        """The file's settings over others. Nothing is refused yet: the command line may still change what it needs."""
        changed = {}
        for section in dataclasses.fields(config):
            before = getattr(config, section.name)
            changed[section.name] = _unchecked(
                type(before),
                {
                    field.name: self.values.get(field.name, getattr(before, field.name))
                    for field in dataclasses.fields(before)
                },
            )
        return typing.cast("Config", _unchecked(Config, changed))


def read_settings(given: str) -> SettingsFile:
    """Raises BadInput in one line, which names the file and the line or the key."""
    path = user_path(given, "--config")
    content = _parsed(_text(path, given), given, is_json=path.suffix == ".json")
    skipped: set[str] = set()
    if isinstance(content.get("settings"), dict):  # a run's
        filled_in = content.get("filled_in", [])
        skipped = {*_OF_ONE_RUN, *(name for name in filled_in if isinstance(name, str))}
        content = content["settings"]
    hints = _hints()
    values: dict[str, Any] = {}
    for key, value in content.items():
        name = key.replace("-", "_")
        if name not in hints:
            raise BadInput(f"--config {given}: {key}: unknown; {_nearest(name, value, hints)}")
        if name in values:
            raise BadInput(f"--config {given}: {key}: given twice, with - and with _; leave one out")
        if name not in skipped:
            values[name] = _typed(value, hints[name], f"--config {given}: {key}")
    return SettingsFile(given, values)


def _unchecked(kind: type, values: Mapping[str, Any]) -> Any:
    made: Any = object.__new__(kind)
    for name, value in values.items():
        object.__setattr__(made, name, value)
    return made


def _hints() -> dict[str, Any]:
    sections = typing.get_type_hints(Config).values()
    return {name: hint for section in sections for name, hint in typing.get_type_hints(section).items()}


def _text(path: Path, given: str) -> str:
    if path.is_dir():
        inside = path / "config.json"
        works = f"its settings are in {given.rstrip('/')}/config.json" if inside.is_file() else "name a file"
        raise BadInput(f"--config {given}: is a folder; {works}")
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise BadInput(f"--config {given}: cannot be read ({error.strerror}); name a TOML or JSON file") from None
    if len(content) > _MOST_BYTES:
        raise BadInput(f"--config {given}: is larger than {_MOST_BYTES:,} bytes; name a file of settings")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BadInput(f"--config {given}: is no text in UTF-8; name a TOML or JSON file") from None


def _parsed(text: str, given: str, is_json: bool) -> dict[str, Any]:
    """JSON by its suffix or its first character, with which no TOML can begin; else TOML."""
    is_json = is_json or text.lstrip().startswith("{")
    kind = "JSON" if is_json else "TOML"
    try:
        content = json.loads(text, object_pairs_hook=_once) if is_json else tomllib.loads(text)
    except json.JSONDecodeError as error:
        raise BadInput(
            f"--config {given}: line {error.lineno}, column {error.colno}: {error.msg}; correct its JSON"
        ) from None
    except (ValueError, RecursionError) as error:  # tomllib's own names the line
        raise BadInput(f"--config {given}: {' '.join(str(error).split())}; correct its {kind}") from None
    if not isinstance(content, dict):
        raise BadInput(f'--config {given}: is no object of settings; write it as {{"seed": 1}}')
    return content


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """TOML refuses a second one by itself."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"{key} is given twice")
        found[key] = value
    return found


def _nearest(name: str, value: Any, hints: Mapping[str, Any]) -> str:
    if isinstance(value, dict):
        return "settings have no sections here; write each as NAME = VALUE at the top"
    near = difflib.get_close_matches(name, hints, n=1, cutoff=0.5)
    return f"the nearest known setting is {near[0]}" if near else "launch.py --help lists what is known"


def _typed(value: Any, hint: Any, what: str) -> Any:
    """As the field's type has it: a list becomes a tuple, 3 a float, 1e6 a whole number. Raises BadInput."""
    try:
        return _converted(value, hint)
    except (ValueError, OverflowError):
        shown = " ".join(json.dumps(value, default=str).split())
        shown = shown if len(shown) <= _MOST_SHOWN else f"{shown[:_MOST_SHOWN]}..."
        raise BadInput(f"{what} {shown}: must be {_wanted(hint)}") from None


def _converted(value: Any, hint: Any) -> Any:
    """Raises ValueError or OverflowError."""
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        (inner,) = (part for part in parts if part is not types.NoneType)
        is_none = value is None or (value == "none" and inner is not str)  # TOML has no null
        return None if is_none else _converted(value, inner)
    if origin is tuple and isinstance(value, list):
        return tuple(_converted(entry, parts[0]) for entry in value)
    if origin is Literal and isinstance(value, str) and value in parts:
        return value
    if hint in (int, float) and isinstance(value, int | float) and not isinstance(value, bool):
        if hint is int and int(value) != value:
            raise ValueError
        return hint(value)
    if hint in (bool, str) and isinstance(value, hint):
        return value
    raise ValueError


def _wanted(hint: Any) -> str:
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        (inner,) = (part for part in parts if part is not types.NoneType)
        return _wanted(inner) if inner is str else f'{_wanted(inner)}, or "none"'
    if origin is tuple:
        return "a list of whole numbers, such as [128, 128]" if parts[0] is int else 'a list of texts, such as ["a=1"]'
    if origin is Literal:
        return " or ".join(f'"{part}"' for part in parts)
    return _KINDS[hint]
