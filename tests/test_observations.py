"""Observations of every kind as flat rows, on the cases that Gymnasium has and on its own `flatten`."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector.utils import batch_space, concatenate, create_empty_array

from common.observations import bounds, flatten, flatten_one, image_shape, leaves, one_of


@pytest.mark.parametrize(
    ("space", "observation", "expected"),
    [
        (spaces.Box(-9, 9, (2,), np.float64), np.array([[0.5, 1], [2, 3]]), [[0.5, 1], [2, 3]]),
        (spaces.Box(-9, 9, (2,), np.int64), np.array([[-1, 2]]), [[-1, 2]]),
        (spaces.Box(0, 255, (1, 2, 2), np.uint8), np.array([[[[1, 2], [3, 255]]]], np.uint8), [[1, 2, 3, 255]]),
        (spaces.Box(-9, 9, (), np.float32), np.array([4.0, 5.0], np.float32), [[4], [5]]),
        (spaces.Discrete(3), np.array([0, 2]), [[1, 0, 0], [0, 0, 1]]),
        (spaces.Discrete(3, start=-1), np.array([-1, 1]), [[1, 0, 0], [0, 0, 1]]),
        (spaces.MultiDiscrete([3, 2]), np.array([[2, 0], [0, 1]]), [[0, 0, 1, 1, 0], [1, 0, 0, 0, 1]]),
        (spaces.MultiDiscrete([3, 2], start=[5, -1]), np.array([[7, -1]]), [[0, 0, 1, 1, 0]]),
        (spaces.MultiDiscrete([[2, 2], [1, 2]]), np.array([[[0, 1], [0, 1]]]), [[1, 0, 0, 1, 1, 0, 1]]),
        (spaces.MultiDiscrete(np.array([3, 2]), dtype=np.uint8), np.array([[2, 0]], np.uint8), [[0, 0, 1, 1, 0]]),
        (spaces.MultiDiscrete(np.array([3, 2]), dtype=np.uint32), np.array([[2, 0]], np.uint32), [[0, 0, 1, 1, 0]]),
        (spaces.MultiBinary(3), np.array([[1, 0, 1]], np.int8), [[1, 0, 1]]),
    ],
    ids=lambda value: str(value) if isinstance(value, spaces.Space) else "",
)
def test_observations_of_any_kind_become_flat_float32(
    space: spaces.Space[Any], observation: np.ndarray, expected: list[list[float]]
) -> None:
    flat = flatten(space, observation, len(expected))
    assert flat.dtype == np.float32
    assert flat.tolist() == expected
    for row, raw in zip(flat, observation, strict=True):
        if space.contains(raw):
            np.testing.assert_array_equal(row, spaces.flatten(space, raw))


@pytest.mark.parametrize(
    ("space", "observation", "value"),
    [
        (spaces.Discrete(3), [1, -1], r"\[-1\]"),
        (spaces.Discrete(3), [3, 1], r"\[3\]"),
        (spaces.Discrete(3, start=7), [7, 6], r"\[6\]"),
        (spaces.Discrete(3, start=7), [10, 7], r"\[10\]"),
        (spaces.Discrete(3, start=-1), [-2, 0], r"\[-2\]"),
        (spaces.MultiDiscrete([3, 2]), [[0, 0], [0, -1]], r"\[ *0 +-1\]"),
        (spaces.MultiDiscrete([3, 2]), [[0, 2], [0, 0]], r"\[ *0 +2\]"),
        (spaces.MultiDiscrete([3, 2], start=[5, 5]), [[4, 5], [5, 5]], r"\[ *4 +5\]"),
        (spaces.MultiDiscrete([[2, 2], [1, 2]]), [[[0, 1], [-1, 1]]] * 2, r"\[ *0 +1 +-1 +1\]"),
    ],
    ids=str,
)
def test_an_integer_outside_its_space_is_refused_with_value_and_space(
    space: spaces.Space[Any], observation: list[Any], value: str
) -> None:
    with pytest.raises(ValueError, match=rf"the observation {value} lies outside its space .*Discrete\("):
        flatten(space, np.array(observation), 2)


@pytest.mark.parametrize(
    ("space", "shape"),
    [
        (spaces.Box(-9, 9, (2, 3), np.float32), (4, 3, 2)),
        (spaces.Box(-9, 9, (2,), np.float32), (2, 4)),
        (spaces.Discrete(3), (4, 1)),
        (spaces.MultiBinary(3), (4, 4)),
    ],
    ids=str,
)
def test_observations_of_another_shape_than_their_space_are_refused(
    space: spaces.Space[Any], shape: tuple[int, ...]
) -> None:
    with pytest.raises(ValueError, match="observations have shape"):
        flatten(space, np.zeros(shape, dtype=np.int64), 4)


@pytest.mark.parametrize(
    ("space", "observation"),
    [(spaces.Discrete(20_000), [19_999] * 12), (spaces.MultiDiscrete([20_000, 10]), [[19_999, 9]] * 12)],
    ids=str,
)
def test_many_states_cost_the_size_of_the_result(space: spaces.Space[Any], observation: list[Any]) -> None:
    """The identity matrix of 20,000 states is 1,600 MB; 12 rows are 1 MB."""
    values = np.array(observation)
    tracemalloc.start()
    flat = flatten(space, values, 12)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert flat.sum() == values.size
    assert peak < 1.1 * flat.nbytes


def test_a_multidiscrete_of_the_largest_unsigned_integers_is_one_hot_too() -> None:
    """Gymnasium's own flatten fails on it."""
    space = spaces.MultiDiscrete(np.array([3, 2]), dtype=np.uint64)
    assert flatten(space, np.array([[2, 0]], np.uint64), 1).tolist() == [[0, 0, 1, 1, 0]]


def test_a_flat_observation_is_never_a_view() -> None:
    raw = np.zeros((2, 3), dtype=np.float32)
    flat = flatten(spaces.Box(-9, 9, (3,), np.float32), raw, 2)
    assert not np.shares_memory(flat, raw)


NUMBERS = spaces.Box(-9, 9, (2, 3), np.float64)
TREES = [
    spaces.Dict({"image": NUMBERS, "direction": spaces.Discrete(4, start=-1)}),
    spaces.Dict(z=spaces.MultiBinary(3), a=spaces.MultiDiscrete([3, 2], start=[5, -1])),
    spaces.Tuple([spaces.Discrete(32), spaces.Discrete(11), spaces.Discrete(2)]),
    spaces.Tuple(
        [spaces.Dict({"deep": spaces.Tuple([NUMBERS, spaces.Discrete(3)])}), spaces.Box(0, 255, (4,), np.uint8)]
    ),
    spaces.Dict(a=spaces.Dict(b=spaces.Dict(c=spaces.Discrete(5))), d=spaces.Box(-1, 1, (), np.float32)),
    spaces.Dict(left=spaces.MultiDiscrete(np.array([3, 2]), dtype=np.uint8), right=spaces.MultiBinary([2, 2])),
]


@pytest.mark.parametrize("space", TREES, ids=str)
def test_trees_are_flattened_as_gymnasium_does_one_by_one_and_together(space: spaces.Space[Any]) -> None:
    space.seed(3)
    samples = [space.sample() for _ in range(5)]
    expected = np.array([spaces.flatten(space, sample) for sample in samples], dtype=np.float32)
    together = concatenate(space, samples, create_empty_array(space, n=5))
    assert batch_space(space, 5).contains(together)
    flat = flatten(space, together, 5)
    assert (flat.dtype, flat.shape) == (np.float32, (5, spaces.flatdim(space)))
    np.testing.assert_array_equal(flat, expected)
    for number, sample in enumerate(samples):
        np.testing.assert_array_equal(flatten_one(space, sample), expected[number])
        np.testing.assert_array_equal(flatten_one(space, one_of(space, together, number)), expected[number])
        apart = np.array([*samples, None], dtype=object)[:-1]  # as the infos of Gymnasium hold final observations
        np.testing.assert_array_equal(flatten_one(space, one_of(space, apart, number)), expected[number])


def test_leaves_are_named_by_their_way_through_the_tree_and_each_has_its_bounds() -> None:
    space = spaces.Dict(
        a=spaces.Tuple([spaces.Discrete(2), spaces.Box(-3, 7, (1,), np.float32)]), b=spaces.MultiBinary(1)
    )
    assert [leaf.name for leaf in leaves(space)] == ["a.0", "a.1", "b"]
    low, high = bounds(space)
    assert (low.tolist(), high.tolist()) == ([0, 0, -3, 0], [1, 1, 7, 1])
    assert [leaf.name for leaf in leaves(spaces.Discrete(3))] == [""]


def test_an_integer_outside_a_leaf_is_refused_with_the_space_of_the_leaf() -> None:
    space = spaces.Dict(a=spaces.Discrete(3), b=spaces.Discrete(5))
    with pytest.raises(ValueError, match=r"the observation \[4\] lies outside its space Discrete\(3\)"):
        flatten(space, {"a": np.array([0, 4]), "b": np.array([4, 4])}, 2)


@pytest.mark.parametrize(
    ("shape", "dtype", "is_image"),
    [
        ((210, 160, 3), np.uint8, True),
        ((84, 84), np.uint8, True),
        ((4, 84, 84), np.uint8, True),
        ((12, 64, 64, 3), np.uint8, True),
        ((10, 10, 4), np.bool_, False),  # MinAtar
        ((7, 7, 3), np.uint8, False),  # MiniGrid
        ((128,), np.uint8, False),  # the memory of an Atari machine
        ((40, 40), np.float32, False),
        ((128, 3), np.uint8, False),
    ],
)
def test_an_image_is_of_bytes_and_has_two_long_sides(shape: tuple[int, ...], dtype: type, is_image: bool) -> None:
    space = spaces.Box(0, 1, shape, dtype) if dtype != np.uint8 else spaces.Box(0, 255, shape, np.uint8)
    assert image_shape(space) == (shape if is_image else ())
    assert image_shape(spaces.Dict(small=spaces.Discrete(3), other=space)) == (shape if is_image else ())
