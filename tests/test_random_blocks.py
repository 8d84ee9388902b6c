"""Random numbers out of blocks are those of the generator, each once."""

from __future__ import annotations

import numpy as np
import pytest

from replay_server.random_blocks import RandomBlocks

BLOCK = 2**15


def test_numbers_come_in_the_generators_order_and_each_once() -> None:
    blocks, plain = RandomBlocks(np.random.default_rng(7)), np.random.default_rng(7)
    drawn = np.concatenate([blocks.random(size) for size in (1, 100, 0, 27)])
    np.testing.assert_array_equal(drawn, plain.random(128))


@pytest.mark.parametrize("size", [BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK])
def test_any_size_is_served_and_nothing_is_handed_out_twice(size: int) -> None:
    blocks = RandomBlocks(np.random.default_rng(7))
    parts = [blocks.random(number) for number in (5, size, 5, size)]
    assert [len(part) for part in parts] == [5, size, 5, size]
    drawn = np.concatenate(parts)
    assert len(np.unique(drawn)) == len(drawn)  # of 53 random bits
    assert (drawn.min() >= 0, drawn.max() < 1) == (True, True)


def test_an_earlier_draw_keeps_its_values() -> None:
    blocks = RandomBlocks(np.random.default_rng(7))
    first = blocks.random(10)
    copy = first.copy()
    for _ in range(4):
        blocks.random(BLOCK // 2)
    np.testing.assert_array_equal(first, copy)
