"""The roles in turns in one process."""

from __future__ import annotations

from benchmarks.one_process import OneProcess, measure_one_process

SETTINGS = OneProcess(env_steps=4000, seeds=1, option=("--hidden 8 --actors 2",), looks=2, episodes=3)


def test_two_runs_of_one_seed_are_equal_and_take_the_steps_that_are_due() -> None:
    first, second = (measure_one_process(SETTINGS) for _ in range(2))
    assert first == second
    assert [row["env_steps"] // 2000 for row in first] == [1, 2]
    last = first[-1]
    assert abs(128 * last["learner_steps"] - 32 * (last["env_steps"] - 1000)) < 32 * 300  # samples, but for a call
    assert 0 <= last["silent_units"] <= 1
