"""`q_network.pth` as bytes: what torch writes of a Q-network in the canonical form (common/params.py)."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from common.types import Params


class NetworkFile(NamedTuple):
    """A network as it lies on the disk."""

    version: int  # learner steps
    content: bytes


def network_file(params: Params) -> NetworkFile:
    """Of these params."""
    return NetworkFile(params.version, encode_network(params.arrays))


def encode_network(arrays: Mapping[str, NDArray[np.float32]]) -> bytes:
    """A state_dict that torch reads with weights_only=True."""
    import torch  # here, because it takes a second and the driver needs it only where no learner can do this

    buffer = io.BytesIO()
    torch.save({name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}, buffer)
    return buffer.getvalue()
