"""The rows of metrics.parquet as TensorBoard event files, for those who ask for them."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from numbers import Real
from pathlib import Path
from typing import Any

from common.time_use import columns

_THROUGHPUT = (
    "seconds", "env_steps", "transitions", "learner_steps", "episodes", "chunks",
    "env_steps_per_second", "learner_steps_per_second", "samples_per_insert",
)  # fmt: skip
_LEARNING = (
    "recent_return",
    "epsilon",
    "loss",
    "mean_q",
    "q_spread",
    "silent_units",
    "mean_abs_td_error",
    "learning_rate",
    "target_syncs",
)
_LAG_PREFIXES = ("policy_lag_", "params_delay_")
_OF_LOOKS = {
    "look": "evaluation",
    "second_look": "second_look",
    "confirmation": "confirmation",
}  # a row's kind -> its group
_OF_LOOKS_PASSED_OVER = ("seconds", "env_steps", "evaluation_seed")
_PASSED_OVER = ("evaluation_return",)  # it is in the rows of looks, where it belongs to other environment steps


class EventFile:
    """One run's scalars, `group/column`; the step is environment steps."""

    def __init__(self, folder: Path) -> None:
        with _without_torch():
            from tensorboardX.event_file_writer import EventsWriter  # only who asks for it waits for this

        folder.mkdir()
        self._writer = EventsWriter(str(folder / "events"))

    def add(self, row: Mapping[str, Any], wall_time: float) -> None:
        """A row of metrics.parquet, of any kind; `wall_time` as of time.time()."""
        from tensorboardX.proto.event_pb2 import Event
        from tensorboardX.proto.summary_pb2 import Summary

        values = [Summary.Value(tag=tag, simple_value=value) for tag, value in scalars(row).items()]
        self._writer.write_event(Event(wall_time=wall_time, step=int(row["env_steps"]), summary=Summary(value=values)))

    def flush(self) -> None:
        """What was added is in the file."""
        self._writer.flush()

    def close(self) -> None:
        """Flushes too."""
        self._writer.close()


def scalars(row: Mapping[str, Any]) -> dict[str, float]:
    """Tag -> value, of the numbers in a row of metrics.parquet."""
    kind = row["kind"]
    passed_over = _OF_LOOKS_PASSED_OVER if kind in _OF_LOOKS else _PASSED_OVER
    return {
        f"{_OF_LOOKS.get(kind) or _group(name)}/{name}": float(value)
        for name, value in row.items()
        if isinstance(value, Real) and name not in passed_over
    }


def _group(column: str) -> str:
    if column in columns():
        return "time_use"
    if column in _THROUGHPUT:
        return "throughput"
    if column in _LEARNING:
        return "learning"
    return "lag" if column.startswith(_LAG_PREFIXES) else "health"


@contextmanager
def _without_torch() -> Iterator[None]:
    """tensorboardX imports torch wherever it is installed, to accept tensors: a second and 150 MB of the driver's."""
    if "torch" in sys.modules:
        yield
        return
    sys.modules["torch"] = None  # type: ignore[assignment]  # an import of it now fails, as if there were none
    try:
        yield
    finally:
        del sys.modules["torch"]
