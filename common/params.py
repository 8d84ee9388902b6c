"""The canonical form of a Q-network, the same on the wire, in the actors and in `q_network.pth`.

A plain ReLU network from the raw flattened observation to Q-values: arrays named like the state_dict of
`torch.nn.Sequential(Linear, ReLU, Linear, ...)`: "0.weight" [out, in], "0.bias" [out], "2.weight" ... float32.
Observation scaling is folded into the first layer and dueling into the last, because both are linear there.
"""

import itertools
import json
import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from common.types import Params

_HEADER_SIZE_BYTES = 4


def layer_shapes(observation_size: int, hidden: Sequence[int], action_count: int) -> dict[str, tuple[int, ...]]:
    """Name -> shape of every array, in forward order."""
    sizes = [observation_size, *hidden, action_count]
    shapes: dict[str, tuple[int, ...]] = {}
    for layer, (fan_in, fan_out) in enumerate(itertools.pairwise(sizes)):
        shapes[f"{2 * layer}.weight"] = (fan_out, fan_in)
        shapes[f"{2 * layer}.bias"] = (fan_out,)
    return shapes


def check_arrays(arrays: Mapping[str, NDArray[np.float32]], expected: Mapping[str, tuple[int, ...]]) -> None:
    """Raises ValueError unless the names, their order and the shapes are the expected ones."""
    got = {name: tuple(array.shape) for name, array in arrays.items()}
    if list(got.items()) != list(expected.items()):
        raise ValueError(f"params have the arrays {describe(got)}, but this run needs {describe(expected)}")


def encode(params: Params) -> bytes:
    """One buffer, which Ray ships as it is; anything else it pickles anew for each receiver."""
    shapes = {name: array.shape for name, array in params.arrays.items()}
    header = json.dumps([params.version, params.env_steps, shapes]).encode()
    arrays = (array.tobytes() for array in params.arrays.values())
    return b"".join([*arrays, header, len(header).to_bytes(_HEADER_SIZE_BYTES, "little")])


def decode(message: bytes) -> Params:
    """The params of `encode`; their arrays are read-only views of the message."""
    header_end = len(message) - _HEADER_SIZE_BYTES
    header_size = int.from_bytes(message[header_end:], "little")
    version, env_steps, shapes = json.loads(message[header_end - header_size : header_end])
    arrays: dict[str, NDArray[np.float32]] = {}
    first = 0
    for name, shape in shapes.items():
        array: NDArray[np.float32] = np.frombuffer(message, np.float32, math.prod(shape), first)
        arrays[name] = array.reshape(shape)
        first += array.nbytes
    return Params(version, env_steps, arrays)


def describe(shapes: Mapping[str, tuple[int, ...]]) -> str:
    """`4-128-128-2` for the shapes of a plain network, else every name with its shape."""
    weights = [shape for name, shape in shapes.items() if name.endswith("weight")]
    plain = (
        bool(weights)
        and all(len(shape) == 2 for shape in weights)
        and dict(shapes) == layer_shapes(weights[0][1], [shape[0] for shape in weights[:-1]], weights[-1][0])
    )
    if plain:
        return "-".join(str(size) for size in [weights[0][1], *(shape[0] for shape in weights)])
    return ", ".join(f"{name} {shape}" for name, shape in shapes.items()) or "none"
