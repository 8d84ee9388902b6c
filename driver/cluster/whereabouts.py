"""Where a process of the run is, and with which versions. Imported by every role's process: it stays light."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NamedTuple

import ray

_PACKAGES = ("ray", "numpy", "torch", "gymnasium")


class Whereabouts(NamedTuple):
    """A process of the run."""

    node_id: str
    address: str  # of its node
    host: str
    pid: int
    versions: dict[str, str]  # see `versions`; empty where nobody asked

    @property
    def node(self) -> str:
        """For messages."""
        return f"{self.host} ({self.address})"

    def is_same_process(self, other: Whereabouts) -> bool:
        """Ray starts a new one for a Ray actor that it restarts."""
        return (self.node_id, self.pid) == (other.node_id, other.pid)


def versions() -> dict[str, str]:
    """Of what must be the same in all processes of a run."""
    found = {"Python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package).partition("+")[0]  # CPU and CUDA builds of torch may mix
        except PackageNotFoundError:
            found[package] = "missing"
    return found


def whereabouts(_role: Any = None, with_versions: bool = True) -> Whereabouts:
    """Of this process; a role gets it by `__ray_call__`."""
    return Whereabouts(
        node_id=ray.get_runtime_context().get_node_id(),
        address=ray.util.get_node_ip_address(),
        host=platform.node(),
        pid=os.getpid(),
        versions=versions() if with_versions else {},
    )


def mismatch(ours: Mapping[str, str], theirs: Whereabouts) -> str | None:
    """`node w (10.0.0.2) has numpy 1.26.4, the driver 2.4.6`; None where all are the same."""
    different = [name for name in ours if theirs.versions.get(name) != ours[name]]
    if not different:
        return None
    other = ", ".join(f"{name} {theirs.versions.get(name)}" for name in different)
    return f"node {theirs.node} has {other}, the driver {', '.join(f'{name} {ours[name]}' for name in different)}"
