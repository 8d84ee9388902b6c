"""The run folder on disks that fail."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from common.config import Config
from common.types import EnvironmentSpec, Episodes
from driver.reporting.parts import PartWriter, metrics_schema
from driver.reporting.reserve import Reserve
from driver.reporting.run_dir import CLAIM
from driver.reporting.run_folder import RunFolder
from replay_server.episode_log import EpisodeRows

NETWORK = bytes(range(256)) * 64  # 16 KiB
SPEC = EnvironmentSpec("CartPole-v1", 4, 2, (0.0,) * 4, (1.0,) * 4, 475.0)


class Folder(RunFolder):
    """Keeps what is said."""

    def __init__(self, path: Path, reserve_bytes: int = 0, tensorboard: bool = False) -> None:
        self.said: list[str] = []
        super().__init__(path, tensorboard, self.said.append, reserve_bytes)


def add_episodes(folder: RunFolder, first: int, count: int) -> None:
    episodes = Episodes(
        np.arange(first, first + count, dtype=np.float64),
        np.full(count, 10),
        np.full(count, 0.1, dtype=np.float32),
        np.full(count, 100),
        np.full(count, True),
    )
    folder.add_episodes([EpisodeRows(episodes, 0, 0, 10, 100)], first, 1.0)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """256 KiB; a file system of its own."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "none", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("only root can mount a small disk")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def fill(disk: Path) -> Path:
    """To the last byte."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(4096)):
            pass
    return filler


def test_on_a_full_disk_networks_and_summary_are_saved_and_rows_wait_for_room(small_disk: Path) -> None:
    folder = Folder(small_disk, reserve_bytes=100_000)
    folder.write_config(Config(), SPEC, 475.0)
    add_episodes(folder, 0, 5)
    folder.flush()
    filler = fill(small_disk)
    for last in range(3):  # each beside the one before it
        folder.write_network("q_network.pth", NETWORK + bytes([last]))
        add_episodes(folder, 5 + last, 1)
        folder.flush()
    folder.write_summary({"solved": False})
    assert (small_disk / "q_network.pth").read_bytes() == NETWORK + bytes([2])
    assert (small_disk / "summary.json").read_text() == '{\n  "solved": false\n}\n'
    assert pq.read_table(small_disk / "episodes.parquet").num_rows == 5
    assert len(folder.said) == 1
    assert "episodes.parquet cannot be written (" in folder.said[0]
    filler.unlink()
    assert folder.finish() == {}
    assert pq.read_table(small_disk / "episodes.parquet")["episode"].to_pylist() == list(range(8))
    folder.close()
    assert not (small_disk / CLAIM).exists()


def test_rows_that_wait_too_long_for_room_are_dropped_and_counted(small_disk: Path) -> None:
    folder = RunFolder(small_disk, say=lambda line: None, most_waiting=3)
    folder.flush()
    filler = fill(small_disk)
    for number in range(5):
        add_episodes(folder, number, 1)
        folder.flush()
    filler.unlink()
    assert folder.finish() == {"episodes.parquet": "2 of its rows waited too long for room"}
    assert pq.read_table(small_disk / "episodes.parquet")["episode"].to_pylist() == [2, 3, 4]


def test_what_is_missing_in_the_end_is_named(small_disk: Path) -> None:
    folder = Folder(small_disk)
    folder.flush()
    fill(small_disk)
    folder.write_network("q_network.pth", NETWORK)
    add_episodes(folder, 0, 1)
    missing = folder.finish()
    assert set(missing) == {"q_network.pth", "episodes.parquet"}
    assert missing["q_network.pth"] == "No space left on device"
    folder.finish()
    assert len(folder.said) == 2  # once for each


def test_a_folder_that_is_deleted_meanwhile_is_made_again_and_what_went_with_it_is_named(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "run", reserve_bytes=1000)
    folder.write_config(Config(), SPEC, 475.0)
    folder.write_network("q_network.pth", NETWORK)
    add_episodes(folder, 0, 1)
    folder.flush()
    shutil.rmtree(tmp_path / "run")
    add_episodes(folder, 1, 2)
    folder.write_summary({"solved": False})
    assert folder.finish() == {
        "episodes.parquet": "1 of its parts were deleted",
        "metrics.parquet": "1 of its parts were deleted",
    }
    folder.close()
    assert (tmp_path / "run" / "q_network.pth").read_bytes() == NETWORK
    assert {entry.name for entry in (tmp_path / "run").iterdir()} == {
        "config.json", "q_network.pth", "summary.json", "episodes.parquet",
    }  # fmt: skip
    assert pq.read_table(tmp_path / "run" / "episodes.parquet")["episode"].to_pylist() == [1, 2]


def test_event_files_that_cannot_be_written_are_missed_by_nobody(tmp_path: Path) -> None:
    (tmp_path / "tensorboard").touch()
    folder = Folder(tmp_path, tensorboard=True)
    assert len(folder.said) == 1
    assert "tensorboard cannot be written" in folder.said[0]
    assert folder.finish() == {}
    folder.close()


def test_a_table_is_there_with_its_first_part_or_not_at_all(small_disk: Path) -> None:
    """A reader that looks in between takes an empty folder for a table without columns."""
    filler = fill(small_disk)
    parts = PartWriter(small_disk / "metrics.parquet")
    with pytest.raises(OSError, match="No space left"):
        parts.write(metrics_schema().empty_table())
    assert [entry.name for entry in small_disk.iterdir()] == ["filler"]
    filler.unlink()
    parts.write(metrics_schema().empty_table())
    assert [entry.name for entry in (small_disk / "metrics.parquet").iterdir()] == ["part-00000.parquet"]
    assert pq.read_table(small_disk / "metrics.parquet").num_rows == 0


def test_a_reserve_is_spent_only_where_the_disk_is_full(tmp_path: Path) -> None:
    reserve = Reserve(tmp_path / "reserve", 10_000)
    reserve.hold()
    assert os.stat(tmp_path / "reserve").st_blocks * 512 >= 10_000
    tries: list[bool] = []

    def fail(number: int) -> None:
        tries.append((tmp_path / "reserve").exists())
        raise OSError(number, os.strerror(number))

    with pytest.raises(PermissionError):
        reserve.spend(lambda: fail(errno.EACCES))
    assert tries == [True]
    with pytest.raises(OSError, match="No space"):
        reserve.spend(lambda: fail(errno.ENOSPC))
    assert tries == [True, True, False]
    assert (tmp_path / "reserve").stat().st_size == 10_000  # held again


def test_numbers_that_json_does_not_have_are_null(tmp_path: Path) -> None:
    RunFolder(tmp_path).write_summary({"mean": float("nan"), "interval": [float("-inf"), 1.0], "steps": 3})
    assert json.loads((tmp_path / "summary.json").read_text()) == {"mean": None, "interval": [None, 1.0], "steps": 3}
    assert "NaN" not in (tmp_path / "summary.json").read_text()
