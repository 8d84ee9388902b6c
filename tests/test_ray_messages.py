"""What of Ray's own messages is told."""

from __future__ import annotations

import pytest
from ray._private import worker

from driver.ray_messages import about_memory, hand_to

MEMORY = (
    "1 worker(s) were killed due to the node running low on memory. Memory on the node (IP: 127.0.0.1, ID: bd6f) was "
    "1.63GB used / 23.54GB limit (0.069181)\nOOM kill reason: Memory usage exceeded threshold\n"
)
DEATH = "A worker died or was killed while executing a task by an unexpected system error."
TOLD = "the node's memory ran low: Ray killed a process of this run (1.63GB used / 23.54GB limit)"


def test_only_that_memory_ran_low_is_told() -> None:
    assert about_memory(MEMORY) == TOLD
    assert about_memory("the node running low on memory") == TOLD.partition(" (")[0]
    assert about_memory(DEATH) is None


def test_it_is_handed_on_and_nothing_is_printed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray's thread calls this function with what the raylet publishes."""
    monkeypatch.setattr(worker, "print_to_stdstream", worker.print_to_stdstream)  # put back afterwards
    said: list[str] = []
    hand_to(said.append)
    for text in (DEATH, MEMORY):
        worker.print_to_stdstream({"lines": [text], "pid": "raylet", "is_err": False}, ignore_prefix=False)
    assert said == [TOLD]
    assert "".join(capsys.readouterr()) == ""
