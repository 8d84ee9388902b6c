"""The ring against a plain dictionary."""

from __future__ import annotations

import numpy as np
import pytest
from fakes import assert_rows_are, packed
from hypothesis import given, settings
from hypothesis import strategies as st

from replay_server.buffer import ReplayBuffer

Operation = tuple[str, int]


def filled(capacity: int, count: int) -> ReplayBuffer:
    """A ring of items that hold their own ids."""
    buffer = ReplayBuffer(capacity, observation_size=2)
    buffer.insert(packed(range(count)))
    return buffer


class NaiveBuffer:
    """Keeps everything, by number; an item holds its own id."""

    def __init__(self, capacity: int, shard: int = 0, shards: int = 1) -> None:
        self.capacity = capacity
        self.shard, self.shards = shard, shards
        self.inserted = 0
        self.priorities: dict[int, float] = {}
        self.evicted_updates = 0

    @property
    def alive(self) -> range:
        return self.ids(max(0, self.inserted - self.capacity), self.inserted)

    def ids(self, first: int, end: int) -> range:
        """Of the items with these numbers."""
        return range(first * self.shards + self.shard, end * self.shards + self.shard, self.shards)

    def update(self, ids: list[int], priority: list[float]) -> None:
        for id_, value in zip(ids, priority, strict=True):
            if id_ in self.alive:
                self.priorities[id_] = value
            else:
                self.evicted_updates += 1


def check_equal(buffer: ReplayBuffer, naive: NaiveBuffer) -> None:
    """Raises unless both hold the same items, and no others."""
    alive = np.array(naive.alive, dtype=np.int64)
    assert buffer.inserted == naive.inserted
    assert buffer.size == len(alive) <= buffer.capacity
    assert buffer.evicted_updates == naive.evicted_updates
    assert_rows_are(buffer.gather(alive), naive.alive)
    expected = [naive.priorities.get(id_, float("nan")) for id_ in naive.alive]
    np.testing.assert_array_equal(buffer.priorities(alive), np.array(expected, dtype=np.float32))
    for gone in (naive.alive.start - naive.shards, naive.alive.stop):
        with pytest.raises(KeyError):
            buffer.gather(np.array([gone]))


operations = st.one_of(
    st.tuples(st.just("insert"), st.integers(0, 30)),  # chunks larger than the ring too
    st.tuples(st.just("sample"), st.integers(1, 10)),
    st.tuples(st.just("update"), st.integers(1, 10)),
)


@settings(max_examples=100, deadline=None)
@given(
    capacity=st.integers(1, 12),
    todo=st.lists(operations, max_size=20),
    seed=st.integers(0, 1000),
    place=st.one_of(st.just((0, 1)), st.integers(1, 5).flatmap(lambda n: st.tuples(st.integers(0, n - 1), st.just(n)))),
)
def test_the_ring_holds_what_a_dictionary_of_the_newest_items_holds(
    capacity: int, todo: list[Operation], seed: int, place: tuple[int, int]
) -> None:
    """As a single ring, and as one of several shards."""
    rng = np.random.default_rng(seed)
    buffer, naive = ReplayBuffer(capacity, 2, *place), NaiveBuffer(capacity, *place)
    given_out: set[int] = set()
    for operation, count in todo:
        if operation == "insert":
            expected = naive.ids(naive.inserted, naive.inserted + count)
            ids = buffer.insert(packed(expected))
            assert ids.dtype == np.int64
            assert ids.tolist() == list(expected)
            assert given_out.isdisjoint(expected)
            given_out.update(expected)
            naive.inserted += count
        elif operation == "sample" and naive.inserted:
            batch = buffer.sample(count, rng)
            assert set(batch["id"].tolist()) <= set(naive.alive)
            assert_rows_are(batch, batch["id"])
        elif operation == "update":
            tried = naive.ids(max(-1, naive.inserted - 2 * capacity), naive.inserted + 3)
            ids = rng.choice(np.array(tried), size=min(count, 3), replace=False)
            priority = rng.random(len(ids)).astype(np.float32)
            buffer.update_priorities(ids, priority)
            naive.update(ids.tolist(), priority.tolist())
        check_equal(buffer, naive)


def test_ids_rise_for_ever_while_slots_are_used_again() -> None:
    buffer = ReplayBuffer(3, observation_size=2)
    ids = [buffer.insert(packed([first, first + 1])).tolist() for first in (0, 2, 4, 6)]
    assert ids == [[0, 1], [2, 3], [4, 5], [6, 7]]
    assert buffer.size == 3
    assert_rows_are(buffer.gather(np.array([7, 5, 6])), [7, 5, 6])


def test_of_a_chunk_larger_than_the_ring_the_end_stays() -> None:
    buffer = filled(capacity=4, count=1)
    assert buffer.insert(packed(range(1, 12))).tolist() == list(range(1, 12))
    assert_rows_are(buffer.gather(np.array([8, 9, 10, 11])), [8, 9, 10, 11])
    with pytest.raises(KeyError, match=r"alive are 8\.\.11"):
        buffer.gather(np.array([7]))


def test_sampling_is_uniform_over_the_items_alive() -> None:
    """50 items alive, 1,000 draws of each expected: chi-square with 49 degrees of freedom passes 85.4 once in 1,000."""
    buffer = filled(capacity=50, count=120)
    ids = buffer.sample(50_000, np.random.default_rng(1))["id"]
    assert ids.min() == 70
    assert ids.max() == 119
    counts = np.bincount(ids - 70, minlength=50)
    assert ((counts - 1000.0) ** 2 / 1000).sum() < 85.4


def test_sampling_repeats_with_its_generator() -> None:
    buffer = filled(capacity=50, count=120)
    first, again, other = (buffer.sample(20, np.random.default_rng(seed))["id"].tolist() for seed in (1, 1, 2))
    assert first == again != other


def test_a_sampled_batch_is_nobody_elses() -> None:
    """Neither does writing to it change the ring, nor does inserting change it."""
    buffer = filled(capacity=4, count=4)
    batch = buffer.sample(6, np.random.default_rng(1))
    kept = batch["id"].copy()
    buffer.insert(packed(range(4, 8)))
    assert_rows_are(batch, kept)
    newer = buffer.gather(np.array([4, 5, 6, 7]))
    for rows in (newer, batch):
        rows["observation"] = 99
    assert_rows_are(buffer.gather(np.array([4, 5, 6, 7])), [4, 5, 6, 7])


def test_rows_are_copied_in() -> None:
    buffer = ReplayBuffer(10, observation_size=2)
    rows = packed(range(3))
    buffer.insert(rows)
    rows["observation"] = 99
    assert_rows_are(buffer.gather(np.arange(3)), range(3))


def test_priorities_are_stored_by_id_and_those_of_evicted_items_only_counted() -> None:
    buffer = filled(capacity=3, count=5)  # alive: 2, 3, 4
    buffer.update_priorities(np.array([4, 0, 2, 1]), np.array([0.4, 9, 0.2, 9], dtype=np.float32))
    assert buffer.evicted_updates == 2
    assert buffer.priorities(np.array([2, 4])).tolist() == pytest.approx([0.2, 0.4])
    assert np.isnan(buffer.priorities(np.array([3]))).all()


def test_a_new_item_does_not_inherit_the_priority_of_its_slot() -> None:
    buffer = filled(capacity=2, count=2)
    buffer.update_priorities(np.array([0, 1]), np.array([0.5, 0.5], dtype=np.float32))
    buffer.insert(packed([2]))
    assert buffer.priorities(np.array([1])).tolist() == [0.5]
    assert np.isnan(buffer.priorities(np.array([2]))).all()


def test_rows_of_another_observation_size_are_refused_and_nothing_is_stored() -> None:
    buffer = ReplayBuffer(10, observation_size=2)
    with pytest.raises(ValueError, match="expected"):
        buffer.insert(packed(range(3), observation_size=1))
    assert buffer.inserted == 0


def test_an_empty_ring_has_nothing_to_sample() -> None:
    with pytest.raises(ValueError, match="4 rows asked of an empty replay buffer"):
        ReplayBuffer(10, observation_size=2).sample(4, np.random.default_rng(1))


@pytest.mark.parametrize("capacity", [0, -5])
def test_a_capacity_below_1_is_refused(capacity: int) -> None:
    with pytest.raises(ValueError, match=f"capacity must be at least 1, got {capacity}"):
        ReplayBuffer(capacity, observation_size=2)


@pytest.mark.parametrize(("shard", "shards"), [(-1, 2), (2, 2), (0, 0)])
def test_a_shard_that_there_is_not_is_refused(shard: int, shards: int) -> None:
    with pytest.raises(ValueError, match=f"shard {shard} of {shards}"):
        ReplayBuffer(10, observation_size=2, shard=shard, shards=shards)


def test_ids_of_another_shard_are_refused_and_change_nothing() -> None:
    buffer = ReplayBuffer(10, observation_size=2, shard=1, shards=3)
    assert buffer.insert(packed([1, 4, 7])).tolist() == [1, 4, 7]
    strangers = np.array([4, 5, 6])
    with pytest.raises(ValueError, match=r"ids of other shards than 1 of 3: \[5 6\]"):
        buffer.update_priorities(strangers, np.ones(3, dtype=np.float32))
    with pytest.raises(ValueError, match=r"ids of other shards"):
        buffer.gather(strangers)
    assert np.isnan(buffer.priorities(np.array([4]))).all()
    assert buffer.evicted_updates == 0


def test_the_ids_of_several_shards_are_those_of_one_ring() -> None:
    rings = [ReplayBuffer(10, 2, shard, 3) for shard in range(3)]
    ids = np.concatenate([ring.insert(packed(range(4))) for ring in rings])
    assert sorted(ids.tolist()) == list(range(12))
