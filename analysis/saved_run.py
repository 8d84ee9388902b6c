"""Reading a run folder back. Nothing that is read can run code."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.config import BadInput
from common.params import layer_shapes
from common.run_files import CONFIG, Q_NETWORK, SUMMARY


def read_config(run: Path, setting: str) -> dict[str, Any]:
    """The config.json of a run. Raises BadInput, naming `setting`, where there is no such run."""
    try:
        config: dict[str, Any] = json.loads((run / CONFIG).read_text())
        _ = config["settings"]["env"], config["environment"]["solved_return"]  # what every reader needs
    except OSError as error:
        raise BadInput(
            f"{setting} {run}: no run folder ({CONFIG}: {error.strerror}); name one that a run wrote"
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{setting} {run}: its {CONFIG} is damaged ({error}); name another run") from None
    return config


def read_network(run: Path, setting: str) -> dict[str, NDArray[np.float32]]:
    """The canonical arrays of q_network.pth. Raises BadInput, naming `setting`, where it is missing or damaged."""
    import torch  # here, because only this needs it and it takes a second

    path = run / Q_NETWORK
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise BadInput(f"{setting} {run}: no {Q_NETWORK} there ({error.strerror}); name a run that saved one") from None
    except (RuntimeError, pickle.UnpicklingError, EOFError, ValueError, KeyError):
        raise BadInput(
            f"{setting} {run}: its {Q_NETWORK} is damaged or holds more than tensors; it was not loaded"
        ) from None
    try:
        arrays = {str(name): np.ascontiguousarray(tensor.numpy(), dtype=np.float32) for name, tensor in state.items()}
        weights = [array for name, array in arrays.items() if name.endswith("weight")]
        shapes = layer_shapes(weights[0].shape[1], [len(weight) for weight in weights[:-1]], len(weights[-1]))
        if {name: array.shape for name, array in arrays.items()} != shapes:
            raise ValueError("not a chain of linear layers")
    except (AttributeError, IndexError, TypeError, ValueError):
        raise BadInput(f"{setting} {run}: its {Q_NETWORK} holds no Q-network of this project") from None
    return arrays


def read_table(run: Path, name: str, setting: str) -> Any:
    """A pyarrow Table of a run. Raises BadInput, naming `setting`, where it is missing or damaged."""
    import pyarrow.lib
    import pyarrow.parquet

    try:
        return pyarrow.parquet.read_table(run / name)
    except OSError:
        raise BadInput(f"{setting} {run}: no {name} there; name a run folder") from None
    except pyarrow.lib.ArrowException as error:
        reason = " ".join(str(error).split())[:200]
        raise BadInput(f"{setting} {run}: its {name} is damaged ({reason}); name another run") from None


def read_summary(run: Path) -> dict[str, Any]:
    """The summary of a finished run; empty for one that is still running or was killed."""
    try:
        summary: dict[str, Any] = json.loads((run / SUMMARY).read_text())
    except (OSError, ValueError):
        return {}
    return summary
