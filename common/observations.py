"""Observations of every kind as flat float32 rows, in the order and with the values of `gymnasium.spaces.flatten`.

Dict and Tuple spaces are trees, and Gymnasium's vector classes keep them so: a Dict of `[E, ...]` arrays. What is done
with an observation is done leaf by leaf, for all environments at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

_FRAME_SIDE = 32  # an image has two sides at least as long; symbols on a grid are fewer


class Leaf(NamedTuple):
    """One space in a tree."""

    name: str  # where in the tree, such as `camera.left` or `1`; empty where there is no tree
    space: spaces.Space[Any]


def leaves(space: spaces.Space[Any], name: str = "") -> list[Leaf]:
    """In the order of the flat observation; a space that is no tree is its own leaf."""
    parts = parts_of(space)
    if parts is None:
        return [Leaf(name, space)]
    return [leaf for key, part in parts for leaf in leaves(part, _below(name, key))]


def leaf_values(space: spaces.Space[Any], observation: Any, name: str = "") -> Iterator[tuple[Leaf, Any]]:
    """The leaves with what one observation has in each."""
    parts = parts_of(space)
    if parts is None:
        yield Leaf(name, space), observation
        return
    for key, part in parts:
        yield from leaf_values(part, observation[key], _below(name, key))


def parts_of(space: spaces.Space[Any]) -> list[tuple[Any, spaces.Space[Any]]] | None:
    """What a Dict or Tuple space holds, by key or position; None of another."""
    if isinstance(space, spaces.Dict):
        return list(space.spaces.items())
    if isinstance(space, spaces.Tuple):
        return list(enumerate(space.spaces))
    return None


def has_numbers(space: spaces.Space[Any]) -> bool:
    """Whether a leaf can be flattened."""
    return isinstance(space, spaces.Box | spaces.MultiBinary | spaces.Discrete | spaces.MultiDiscrete)


def bounds(space: spaces.Space[Any]) -> tuple[Float64, Float64]:
    """Low and high of each number of the flat observation, `[D]`; infinite where there is none."""
    pairs = [_leaf_bounds(leaf.space) for leaf in leaves(space)]
    low, high = [np.zeros(0), *(low for low, _ in pairs)], [np.zeros(0), *(high for _, high in pairs)]
    return np.concatenate(low), np.concatenate(high)


def image_shape(space: spaces.Space[Any]) -> tuple[int, ...]:
    """Of the largest image among the leaves; empty where there is none."""
    found = [
        leaf.space.shape
        for leaf in leaves(space)
        if isinstance(leaf.space, spaces.Box)
        and leaf.space.dtype == np.uint8
        and sum(side >= _FRAME_SIDE for side in leaf.space.shape) >= 2
    ]
    return max(found, key=lambda shape: int(np.prod(shape)), default=())


def flatten(space: spaces.Space[Any], observation: Any, count: int) -> Float32:
    """`[count, ...]`, or a tree of such -> a fresh `[count, D]` float32 array, never a view: environments reuse theirs.

    Integers of Discrete and MultiDiscrete spaces become one-hot. Raises ValueError on integers outside their space, and
    on another shape than the space's.
    """
    parts = parts_of(space)
    if parts is not None:
        columns = [flatten(part, observation[key], count) for key, part in parts]
        return np.concatenate([np.zeros((count, 0), dtype=np.float32), *columns], axis=1)
    values = np.asarray(observation)
    if values.shape != (count, *(space.shape or ())):
        raise ValueError(f"observations have shape {values.shape}, expected {(count, *(space.shape or ()))} of {space}")
    if isinstance(space, spaces.Discrete):
        return _one_hot(space, values.reshape(count, 1), np.array([space.start]), np.array([space.n]))
    if isinstance(space, spaces.MultiDiscrete):
        return _one_hot(space, values.reshape(count, -1), space.start.ravel(), space.nvec.ravel())
    return values.reshape(count, -1).astype(np.float32)


def flatten_one(space: spaces.Space[Any], observation: Any) -> Float32:
    """One observation -> `[D]`."""
    row: Float32 = flatten(space, _row_of_one(space, observation), 1)[0]
    return row


def one_of(space: spaces.Space[Any], observations: Any, index: int) -> Any:
    """The observation of environment `index`, where each has its own entry, or where the tree has `[E, ...]` leaves."""
    parts = parts_of(space)
    if parts is None or not isinstance(observations, Mapping | tuple):
        return observations[index]
    picked = {key: one_of(part, observations[key], index) for key, part in parts}
    return picked if isinstance(space, spaces.Dict) else tuple(picked.values())


def _row_of_one(space: spaces.Space[Any], observation: Any) -> Any:
    parts = parts_of(space)
    if parts is None:
        return np.asarray(observation)[None]
    return {key: _row_of_one(part, observation[key]) for key, part in parts}


def _below(name: str, key: Any) -> str:
    return f"{name}.{key}" if name else str(key)


def _leaf_bounds(space: spaces.Space[Any]) -> tuple[Float64, Float64]:
    if isinstance(space, spaces.Box):
        return space.low.astype(np.float64).ravel(), space.high.astype(np.float64).ravel()
    size = spaces.flatdim(space)
    return np.zeros(size), np.ones(size)


def _one_hot(space: spaces.Space[Any], values: NDArray[Any], start: NDArray[Any], sizes: NDArray[Any]) -> Float32:
    """`[count, K]` integers -> `[count, sum of sizes]`, for the price of the result."""
    start, sizes = start.astype(np.int64), sizes.astype(np.int64)  # spaces may have unsigned ones
    positions = values.astype(np.int64) - start
    outside = (positions < 0) | (positions >= sizes)
    if outside.any():
        raise ValueError(f"the observation {values[outside.any(axis=1)][0]} lies outside its space {space}")
    count, total = len(values), int(sizes.sum())
    rows = np.zeros((count, total), dtype=np.float32)
    rows[np.arange(count)[:, None], positions + (np.cumsum(sizes) - sizes)] = 1.0
    return rows
