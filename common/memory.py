"""How much memory there is, and how much this process holds."""

from __future__ import annotations

from pathlib import Path


def available_memory() -> int:
    """Bytes that this process's machine or container can still give."""
    import psutil  # here, because the roles should not pay for it at their start

    available = int(psutil.virtual_memory().available)
    limit, used = _read_int("/sys/fs/cgroup/memory.max"), _read_int("/sys/fs/cgroup/memory.current")
    if limit is not None and used is not None:
        available = min(available, max(0, limit - used))
    return available


def held_memory() -> int:
    """Bytes in memory of this process, and of those that it has started."""
    import psutil  # as above

    this = psutil.Process()
    held = int(this.memory_info().rss)
    for child in this.children(recursive=True):
        try:
            held += int(child.memory_info().rss)
        except psutil.Error:  # it has ended since
            continue
    return held


def _read_int(path: str) -> int | None:
    try:
        return int(Path(path).read_text())
    except (OSError, ValueError):  # no such limit, or "max"
        return None
