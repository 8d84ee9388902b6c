"""Reading a run folder back, also one of other hands. Nothing that is read can run code.

Each reader says what it needs, and gets it in the types that it named, or one line that names the file.
"""

from __future__ import annotations

import io
import json
import types
import typing
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.config import BadInput
from common.params import layer_shapes
from common.return_text import interval_text, return_text
from common.run_files import CONFIG, Q_NETWORK, SUMMARY
from common.types import EnvironmentSpec

Needs = Mapping[str, Any]
"""Dotted name -> its type: str, bool, int, float (whole or not), `tuple[float, float]`, or one of these `| None`."""

ARROW_TYPES = {str: "string", bool: "bool", int: "int64", float: "float64"}
_MOST_REASON = 200  # characters
_MOST_INT = 2**63


def read_config(run: Path, setting: str, needs: Needs | None = None) -> dict[str, Any]:
    """The config.json of a run. Raises BadInput, naming `setting`, where there is no such run, or it lacks `needs`."""
    config = _read_json(run, CONFIG, setting)
    if config is None:
        raise BadInput(f"{setting} {run}: no run folder (it has no {CONFIG}); name one that a run wrote")
    always = {"settings.env": str, "environment.solved_return": float | None}
    check(config, always | dict(needs or {}), f"{setting} {run}: its {CONFIG}")
    return config


def read_summary(run: Path, setting: str, needs: Needs) -> dict[str, Any]:
    """The summary of a finished run; empty for one that is still running or was killed. Raises BadInput."""
    summary = _read_json(run, SUMMARY, setting)
    if summary is None:
        return {}
    check(summary, needs, f"{setting} {run}: its {SUMMARY}")
    return summary


def check(content: Mapping[str, Any], needs: Needs, what: str) -> None:
    """Raises BadInput, about `what`, on the first of `needs` that is missing or of another type."""
    for name, kind in needs.items():
        value: Any = content
        for key in name.split("."):
            if not isinstance(value, dict) or key not in value:
                raise BadInput(f"{what} is damaged (no {name}); name another run")
            value = value[key]
        if not _is(value, kind):
            shown = " ".join(json.dumps(value).split())[:40]
            wanted = kind.__name__ if isinstance(kind, type) else str(kind)
            raise BadInput(f"{what} is damaged ({name} is {shown}, no {wanted}); name another run")


def read_network(run: Path, setting: str) -> dict[str, NDArray[np.float32]]:
    """The canonical arrays of q_network.pth. Raises BadInput, naming `setting`, where it is missing or damaged."""
    import torch  # here, because only this needs it and it takes a second

    path = run / Q_NETWORK
    if path.exists() and not path.is_file():
        raise BadInput(f"{setting} {run}: its {Q_NETWORK} is no file; name a run that saved one")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BadInput(f"{setting} {run}: no {Q_NETWORK} there ({error.strerror}); name a run that saved one") from None
    try:
        verified = _verified(content)
    except ValueError as error:
        raise BadInput(f"{setting} {run}: its {Q_NETWORK} is damaged ({error}); it was not loaded") from None
    try:
        state = torch.load(verified, map_location="cpu", weights_only=True)
    except Exception:  # torch's unpickler can raise whatever the content makes it
        raise BadInput(
            f"{setting} {run}: its {Q_NETWORK} is damaged or holds more than tensors; it was not loaded"
        ) from None
    try:
        arrays = _canonical(state)
    except Exception as error:  # a dictionary of tensors of any kind, sparse ones included: torch can raise anything
        reason = one_line(error) if isinstance(error, ValueError) else type(error).__name__
        raise BadInput(f"{setting} {run}: its {Q_NETWORK} holds no Q-network of this project ({reason})") from None
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise BadInput(f"{setting} {run}: its {Q_NETWORK} holds values that are no numbers, in {name}")
    return arrays


def later_is_saved(summary: Mapping[str, Any]) -> bool:
    """Whether the saved network is a better one than that which solved, confirmed as well."""
    return summary.get("saved_as") == "confirmed" and summary["saved_learner_steps"] != summary["solved_learner_steps"]


def how_good(summary: Mapping[str, Any]) -> str:
    """The saved network, by what had no part in its choice where there is that."""
    if summary["confirmation_return"] is None or summary["confirmation_interval"] is None:
        return f"{return_text(summary['evaluation_return'])} in its only look"
    low, high = summary["confirmation_interval"]
    return f"{interval_text(summary['confirmation_return'], low, high)} on fresh episodes"


def one_line(error: BaseException) -> str:
    """What it says, short, and without characters of a damaged file that a terminal would act on."""
    text: str = _printable(" ".join(str(error).split()))
    return text[:_MOST_REASON] or type(error).__name__


def misfit(
    arrays: Mapping[str, NDArray[np.float32]], environment: EnvironmentSpec, trained_on: str | None
) -> str | None:
    """Why a saved network cannot play this environment, or None. `trained_on`: the environment of its run, if known."""
    *_, bias = arrays.values()
    takes, knows = next(iter(arrays.values())).shape[1], len(bias)
    if (takes, knows) == (environment.observation_size, environment.action_count):
        return None
    sizes = (
        f"its network takes {takes} numbers and knows {knows} actions, "
        f"{environment.id} gives {environment.observation_size} and has {environment.action_count}"
    )
    if trained_on is None:
        return f"{sizes}; it was trained on another environment"
    if trained_on == environment.id:
        return f"{sizes}; the environment has changed since it was trained"
    return f"{sizes}; it was trained on another environment, {trained_on}"


def read_table(run: Path, name: str, setting: str, columns: Mapping[str, str]) -> Any:
    """A pyarrow Table of a run: these columns, in these Arrow types. Raises BadInput, naming `setting`.

    `name`: of a folder of parts, or of one part.
    """
    import pyarrow as pa

    path = run / name
    if not path.exists():
        raise BadInput(f"{setting} {run}: no {name} there; name a run folder")
    parts = [path] if path.is_file() else sorted(part for part in path.glob("*.parquet") if part.name[0] not in "._")
    if not parts:
        raise BadInput(f"{setting} {run}: its {name} has no parts yet; try again, or name another run")
    return pa.concat_tables([_read_part(run, part, setting, columns) for part in parts])


def _read_part(run: Path, part: Path, setting: str, columns: Mapping[str, str]) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    name = part.relative_to(run)
    try:
        with pq.ParquetFile(part, page_checksum_verification=True) as file:
            missing = [column for column in columns if file.schema_arrow.names.count(column) != 1]
            if missing:
                raise BadInput(f"{setting} {run}: its {name} has no column {missing[0]!r}; name another run")
            table = file.read(columns=list(columns))
        wanted = {column: pa.type_for_alias(kind) for column, kind in columns.items()}
        arrays = [table[column].cast(kind, safe=not pa.types.is_floating(kind)) for column, kind in wanted.items()]
        table = pa.table(arrays, names=list(columns))
        table.validate(full=True)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise BadInput(f"{setting} {run}: its {name} is damaged ({one_line(error)}); name another run") from None
    return table


def _read_json(run: Path, name: str, setting: str) -> dict[str, Any] | None:
    """None where there is no such file. Raises BadInput on anything but an object."""
    path = run / name
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):  # a pipe would wait for ever
            raise BadInput(f"{setting} {run}: its {name} is no file; name another run")
        content = _printable(json.loads(path.read_text(encoding="utf-8")))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise BadInput(f"{setting} {run}: its {name} cannot be read ({error.strerror}); name another run") from None
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{setting} {run}: its {name} is damaged ({one_line(error)}); name another run") from None
    if not isinstance(content, dict):
        raise BadInput(f"{setting} {run}: its {name} is damaged (no JSON object); name another run")
    return content


def _printable(content: Any) -> Any:
    """Its texts without what would move a terminal's cursor or cannot be encoded; JSON can hold both."""
    match content:
        case str():
            return "".join(
                character if character.isprintable() or character in "\n\t" else "?" for character in content
            )
        case list():
            return [_printable(value) for value in content]
        case dict():
            return {_printable(name): _printable(value) for name, value in content.items()}
    return content


def _is(value: Any, kind: Any) -> bool:
    if isinstance(kind, types.UnionType):
        return any(_is(value, one) for one in typing.get_args(kind))
    if typing.get_origin(kind) is tuple:
        kinds = typing.get_args(kind)
        return isinstance(value, list) and len(value) == len(kinds) and all(map(_is, value, kinds))
    if kind is float:
        return _is(value, int) or isinstance(value, float)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool) and abs(value) < _MOST_INT
    return isinstance(value, kind)


def _verified(content: bytes) -> io.BytesIO:
    """A file of torch's, its checksums verified, in a container of our own making. Raises ValueError on a damaged one.

    torch verifies no checksum, and reads damaged containers otherwise than zipfile does: a flipped attribute makes it
    take a record for a folder, and what was in memory for its values.
    """
    verified = io.BytesIO()
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as damaged, zipfile.ZipFile(verified, "w") as whole:
            names = damaged.namelist()
            if len(set(names)) < len(names):
                raise ValueError("two records of one name")
            for record in damaged.infolist():
                if record.compress_type != zipfile.ZIP_STORED:
                    raise ValueError(f"{record.filename} is compressed, which torch's are not")
                whole.writestr(record.filename, damaged.read(record))
    except Exception as error:  # damaged bytes make zipfile raise nearly anything
        raise ValueError(one_line(error)) from None
    verified.seek(0)
    return verified


def _canonical(state: Any) -> dict[str, NDArray[np.float32]]:
    """Raises ValueError, or whatever torch does, where these are no layers of a Q-network in forward order."""
    arrays = {}
    for name, tensor in state.items():
        if not tensor.is_floating_point():
            raise ValueError(f"{name} is {tensor.dtype}")
        arrays[str(name)] = np.ascontiguousarray(tensor.detach().float().numpy(), dtype=np.float32)
    weights = [array for name, array in arrays.items() if name.endswith("weight")]
    if not weights or any(weight.ndim != 2 or weight.size == 0 for weight in weights):
        raise ValueError("not a chain of linear layers")
    shapes = layer_shapes(weights[0].shape[1], [len(weight) for weight in weights[:-1]], len(weights[-1]))
    if [(name, array.shape) for name, array in arrays.items()] != list(shapes.items()):
        raise ValueError("not a chain of linear layers")
    return arrays
