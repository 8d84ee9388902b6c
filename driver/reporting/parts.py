"""A run's tables at rest: folders of Parquet parts, and their columns.

A part is written under another name and renamed, so a killed run loses only what was not written yet, and readers never
see half a part, nor a folder without one.
"""

from __future__ import annotations

import shutil
import typing
from pathlib import Path
from typing import Any

from common.time_use import columns
from driver.reporting.progress import Progress


class PartWriter:
    """A folder of Parquet parts, `part-00000.parquet` and so on, that reads as one table."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._part = 0

    def write(self, table: Any) -> None:
        """One part; the first is written even without rows, so that the folder reads. Raises OSError."""
        import pyarrow.parquet as pq

        if table.num_rows == 0 and self._part:
            return
        name = f"part-{self._part:05d}.parquet"
        if self._folder.exists():
            place, temporary = self._folder / name, self._folder / f".{name}"  # readers skip leading dots
            written = temporary
        else:
            place, temporary = self._folder, self._folder.with_name(f".{self._folder.name}")
            temporary.mkdir(exist_ok=True)
            written = temporary / name
        try:
            pq.write_table(table, written, write_page_checksum=True)  # whoever reads it can tell a flipped value
            temporary.rename(place)
        except OSError:
            shutil.rmtree(temporary, ignore_errors=True) if temporary.is_dir() else temporary.unlink(missing_ok=True)
            raise
        self._part += 1

    def lost(self) -> int:
        """Parts that were written and are not there any more."""
        return self._part - sum(1 for _ in self._folder.glob("part-*.parquet"))


def episode_schema() -> Any:
    """The columns of episodes.parquet."""
    import pyarrow as pa

    return pa.schema(
        [
            ("episode", pa.int64()),
            ("seconds", pa.float64()),
            ("env_steps", pa.int64()),
            ("learner_steps", pa.int64()),
            ("actor_id", pa.int32()),
            ("incarnation", pa.int32()),
            ("episode_return", pa.float64()),
            ("length_env_steps", pa.int64()),
            ("epsilon", pa.float32()),
            ("params_version", pa.int64()),
            ("terminated", pa.bool_()),
        ]
    )


def metrics_schema() -> Any:
    """The columns of metrics.parquet: Progress, and those of looks; what a row's kind lacks is null."""
    import pyarrow as pa

    types = {int: pa.int64(), float: pa.float64(), str: pa.string()}
    hints = {name: hint for name, hint in typing.get_type_hints(Progress).items() if name != "time_use"}
    progress = [(name, types[(typing.get_args(hint) or (hint,))[0]]) for name, hint in hints.items()]
    return pa.schema(
        [
            ("kind", pa.string()),
            *progress,
            *((name, pa.float64()) for name in columns()),
            ("evaluation_std", pa.float64()),
            ("evaluation_interval_low", pa.float64()),
            ("evaluation_interval_high", pa.float64()),
            ("evaluation_confidence", pa.float64()),
            ("evaluation_min", pa.float64()),
            ("evaluation_max", pa.float64()),
            ("evaluation_episodes", pa.int64()),
            ("evaluation_unended", pa.int64()),
            ("evaluation_seed", pa.int64()),
            ("solved", pa.bool_()),
        ]
    )
