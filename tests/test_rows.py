"""Packed rows against the columns they were made of."""

from __future__ import annotations

import numpy as np
import pytest
from fakes import assert_rows_are, transitions
from hypothesis import given
from hypothesis import strategies as st

from common.rows import columns, pack, row_dtype, write


@given(count=st.integers(0, 5), observation_size=st.integers(1, 5))
def test_packing_keeps_every_value_type_and_shape(count: int, observation_size: int) -> None:
    rows = pack(transitions(range(count), observation_size))
    assert rows.dtype == row_dtype(observation_size)
    assert rows["id"].tolist() == [0] * count
    assert_rows_are(rows, range(count))


def test_columns_are_views() -> None:
    rows = pack(transitions(range(3)))
    columns(rows).reward[1] = 99.0
    assert rows["reward"].tolist() == [0.0, 99.0, 2.0]


def test_writing_leaves_the_ids() -> None:
    rows = np.zeros(3, dtype=row_dtype(2))
    rows["id"] = [7, 8, 9]
    write(rows, transitions(range(3)))
    assert rows["id"].tolist() == [7, 8, 9]


def test_no_padding_is_shipped() -> None:
    for observation_size in range(1, 9):
        assert row_dtype(observation_size).itemsize == 24 + 8 * observation_size


@pytest.mark.parametrize(
    ("field", "shape"),
    [
        ("observation", (3, 5)),
        ("observation", (3,)),
        ("observation", (1, 2)),
        ("action", (3, 1)),
        ("action", (2,)),
        ("reward", (3, 1)),
        ("discount", (4,)),
        ("next_observation", (3, 1)),
    ],
)
def test_columns_of_another_shape_are_refused(field: str, shape: tuple[int, ...]) -> None:
    chunk = transitions(range(3))
    chunk = chunk._replace(**{field: np.zeros(shape, dtype=getattr(chunk, field).dtype)})
    with pytest.raises(ValueError, match=r"has shape .*, expected"):
        write(np.zeros(3, dtype=row_dtype(2)), chunk)
