"""The event files of --tensorboard, read back as records."""

from __future__ import annotations

import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from moments import progress
from tensorboardX.proto.event_pb2 import Event

from common.time_use import columns
from common.types import Look, LookKind
from driver.reporting.run_folder import RunFolder, metrics_schema
from driver.reporting.tensorboard import EventFile, scalars

ROOT = Path(__file__).resolve().parent.parent


def read_events(folder: Path) -> list[Any]:
    """Events of the one file, up to its end or the first that is cut off: length, its checksum, event, its checksum."""
    (file,) = folder.glob("events.out.tfevents.*")
    content, events, place = file.read_bytes(), [], 0
    while place + 12 <= len(content):
        (length,) = struct.unpack_from("<Q", content, place)
        if place + 12 + length + 4 > len(content):
            break
        events.append(Event.FromString(content[place + 12 : place + 12 + length]))
        place += length + 16
    return events


def values(event: Any) -> dict[str, float]:
    return {value.tag: value.simple_value for value in event.summary.value}


def look(kind: LookKind) -> Look:
    return Look(
        version=400,
        env_steps=1900,
        kind=kind,
        seed=2**62,
        returns=np.full(100, 480.0),
        unended=0,
        longest_env_steps=480,
        mean=480.0,
        std=0.0,
        interval_low=480.0,
        interval_high=480.0,
        confidence=0.95,
        solved=kind == "confirmation",
    )


def test_a_run_folder_writes_its_rows_to_an_event_file_too(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, tensorboard=True)
    folder.add_progress(progress(env_steps=1000, learner_steps=50, env_steps_per_second=500.0, evaluation_return=7.0))
    folder.add_progress(progress(env_steps=2000, loss=0.25, policy_lag_recent=80.0, actors_alive=8))
    folder.add_look(look("look"), seconds=3.0)
    folder.add_look(look("confirmation"), seconds=3.0)
    folder.flush()
    version, first, second, seen, confirmed = read_events(tmp_path / "tensorboard")  # though it is not closed
    assert version.file_version == "brain.Event:2"
    assert [event.step for event in (first, second, seen, confirmed)] == [1000, 2000, 1900, 1900]
    assert values(first)["throughput/env_steps_per_second"] == 500.0
    assert values(first)["throughput/learner_steps"] == 50.0
    assert "learning/loss" not in values(first)  # nothing measured yet
    assert "evaluation_return" not in {tag.split("/")[1] for tag in values(first)}  # it belongs to the look's steps
    assert values(second)["learning/loss"] == 0.25
    assert values(second)["lag/policy_lag_recent"] == 80.0
    assert values(second)["health/actors_alive"] == 8.0
    assert values(seen)["evaluation/evaluation_return"] == 480.0
    assert values(confirmed)["confirmation/solved"] == 1.0
    folder.close()


def test_the_wall_time_is_that_of_the_row(tmp_path: Path) -> None:
    file = EventFile(tmp_path / "tensorboard")
    file.add({"kind": "progress", "env_steps": 7}, wall_time=1234.5)
    file.close()
    _, event = read_events(tmp_path / "tensorboard")
    assert (event.wall_time, event.step) == (1234.5, 7)


def test_every_number_of_a_row_has_a_scalar_named_like_its_column() -> None:
    figures = {name: 1 if hint is int else 1.0 for name, hint in _numbers().items()}
    row = {"kind": "progress", **figures, "waiting_for": "nobody", **dict.fromkeys(columns(), 1.0)}
    tags = scalars(row)
    assert {tag.split("/")[1] for tag in tags} == set(row) - {"kind", "waiting_for", "evaluation_return"}
    assert {tag.split("/")[0] for tag in tags} == {"throughput", "learning", "lag", "health", "time_use"}


def _numbers() -> dict[str, type]:
    """The columns of a moment, without those of looks alone."""
    import pyarrow as pa

    schema = metrics_schema()
    names = [name for name in schema.names if name in type(progress())._fields]
    kinds = {pa.int64(): int, pa.float64(): float}
    return {name: kinds[schema.field(name).type] for name in names if schema.field(name).type in kinds}


@pytest.mark.parametrize("lost_bytes", [1, 20, 60])
def test_a_file_that_ends_in_the_middle_of_a_record_reads_up_to_there(tmp_path: Path, lost_bytes: int) -> None:
    """As a killed run may leave it."""
    file = EventFile(tmp_path / "tensorboard")
    for env_steps in (100, 200, 300):
        file.add({"kind": "progress", "env_steps": env_steps, "loss": 1.0, "epsilon": 0.5}, wall_time=1.0)
    file.close()
    (written,) = (tmp_path / "tensorboard").iterdir()
    written.write_bytes(written.read_bytes()[:-lost_bytes])
    assert [event.step for event in read_events(tmp_path / "tensorboard")] == [0, 100, 200]


def test_event_files_do_without_torch_and_leave_it_importable(tmp_path: Path) -> None:
    """tensorboardX would import it, which costs the driver a second and 150 MB."""
    code = (
        "import sys; from pathlib import Path; from driver.reporting.tensorboard import EventFile; "
        f"file = EventFile(Path({str(tmp_path / 'tensorboard')!r})); "
        "file.add({'kind': 'progress', 'env_steps': 1, 'loss': 1.0}, 1.0); file.close(); "
        "assert 'torch' not in sys.modules; import torch; assert torch.zeros(1).item() == 0"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_nobody_who_did_not_ask_waits_for_tensorboardx() -> None:
    code = "import sys, driver.training; sys.exit('tensorboardX' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_without_the_option_there_are_no_event_files(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.add_progress(progress())
    folder.flush()
    folder.close()
    assert not (tmp_path / "tensorboard").exists()
