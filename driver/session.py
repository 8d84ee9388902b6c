"""One Ray session, whatever kind it is of."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import psutil
import ray

from driver.processes import descendants, kill

if TYPE_CHECKING:
    from driver.cluster.head import Head

_CLOSING_SECONDS = 4.0  # a healthy Ray takes one or two
_PROCESSES_END_SECONDS = 0.1  # what is left of Ray then only looks for its parent now and then, with nothing to save


class RaySession:
    """Made by `start_embedded` or `attach`; ended by `close`."""

    def __init__(
        self,
        description: str,
        dashboard_url: str | None,
        head: Head | None,
        token_note: str | None = None,
        folder_note: str | None = None,
        lasting: ExitStack | None = None,
    ) -> None:
        """`head`: of a cluster; None embedded. `token_note`: see embedded_token. `lasting`: to be left in the end.

        `folder_note`: where Ray's files are, if that is not where the user wants them.
        """
        self.description = description
        self.dashboard_url = dashboard_url
        self.head = head
        self.embedded = head is None
        self.token_note = token_note
        self.folder_note = folder_note
        self._lasting = lasting or ExitStack()

    def close(self) -> None:
        """Leaves Ray; an embedded one ends with all its processes, and within seconds whatever state it is in."""
        children = descendants() if self.embedded else []
        patience = threading.Timer(_CLOSING_SECONDS, kill, [children])  # what hangs without them goes on without them
        patience.daemon = True
        patience.start()
        with self._lasting:
            ray.shutdown()
            patience.cancel()
            if self.embedded:
                _, alive = psutil.wait_procs(children, timeout=_PROCESSES_END_SECONDS)
                kill(alive)


def init_ray(**options: Any) -> Any:
    """Ray's context. Raises what Ray does."""
    return ray.init(log_to_driver=False, logging_level="ERROR", **options)


def dashboard_url(context: Any) -> str | None:
    """Of Ray's context; None where there is no dashboard."""
    url = context.dashboard_url
    return f"http://{url}" if url else None


def cluster_memory() -> int:
    """Bytes of all nodes that Ray gives to processes."""
    return int(ray.cluster_resources().get("memory", 0))


def cluster_gpus() -> float:
    """GPUs of all nodes, as Ray counts them."""
    return float(ray.cluster_resources().get("GPU", 0.0))


def own_node() -> str:
    """The id of the node through which this driver works."""
    return str(ray.get_runtime_context().get_node_id())


def leave_ray() -> None:
    """From whatever state its start was left in."""
    ray.shutdown()
