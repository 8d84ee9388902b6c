"""One Ray session: embedded in this process's life, or a running cluster that is attached to."""

from __future__ import annotations

import math
import os
import socket
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import ray
from ray.exceptions import RayError

from common.config import BadInput
from driver.code_for_nodes import runtime_env
from driver.lean_ray import lean
from driver.processes import descendants, kill
from driver.ray_environment import RayDidNotStart
from driver.ray_token import embedded_token
from driver.resources import OBJECT_STORE_BYTES

if TYPE_CHECKING:
    from driver.head import Head

_PROCESSES_END_SECONDS = 0.1  # what is left of Ray then only looks for its parent now and then, with nothing to save


class RaySession:
    """Started by `start_embedded` or `attach`; ended by `close`."""

    def __init__(
        self,
        description: str,
        dashboard_url: str | None,
        head: Head | None,
        token_note: str | None = None,
        lasting: ExitStack | None = None,
    ) -> None:
        """`head`: of a cluster; None embedded. `token_note`: see embedded_token. `lasting`: to be left in the end."""
        self.description = description
        self.dashboard_url = dashboard_url
        self.head = head
        self.embedded = head is None
        self.token_note = token_note
        self._lasting = lasting or ExitStack()

    def close(self) -> None:
        """Leaves Ray; an embedded one ends with all its processes."""
        children = descendants() if self.embedded else []
        with self._lasting:
            ray.shutdown()
            if self.embedded:
                _, alive = psutil.wait_procs(children, timeout=_PROCESSES_END_SECONDS)
                kill(alive)


def start_embedded(cpus: float, dashboard: bool, dashboard_port: int | None = None) -> RaySession:
    """A Ray of our own, on loopback only, never one that happens to run here.

    Raises BadInput on a port in use, and where there is no token for it; RayDidNotStart where it does not come up.
    """
    if dashboard and dashboard_port is not None:
        _check_free(dashboard_port)
    with ExitStack() as lasting:
        token_note = lasting.enter_context(embedded_token())
        with lean(dashboard):
            try:
                context = _init(
                    address="local",
                    num_cpus=max(math.ceil(cpus), os.cpu_count() or 1),
                    include_dashboard=dashboard,
                    dashboard_port=dashboard_port,
                    object_store_memory=OBJECT_STORE_BYTES,
                )
            except Exception as error:  # Ray raises just that
                ray.shutdown()
                raise RayDidNotStart(
                    f"Ray did not start ({' '.join(str(error).split())[:200]}); on a busy machine it gives up: try "
                    "again. Its logs are in /tmp/ray/session_latest/logs"
                ) from error
        _keep_others_out(Path(context.address_info["session_dir"]))
        return RaySession(f"embedded Ray {ray.__version__}", _url(context), None, token_note, lasting=lasting.pop_all())


def attach(address: str, env: str) -> RaySession:
    """A running cluster; the module named in `env` travels along. Raises BadInput where it cannot be joined."""
    from driver.head import find_head  # here, because an embedded run needs none of what it imports

    head = find_head(address)
    ray_version = head.knock()
    if ray_version != ray.__version__:
        raise BadInput(f"--address {address}: the cluster runs Ray {ray_version}, the driver {ray.__version__}")
    head.check_node_of_this_host()
    try:
        context = _init(address=head.address, runtime_env=runtime_env(env))
    except (ConnectionError, RuntimeError, ValueError, RayError) as error:
        reason = " ".join(str(error).split())[:300]
        raise BadInput(f"--address {address}: the Ray cluster there does not take this run in ({reason})") from None
    nodes = head.nodes()
    cpus = sum(node.resources.get("CPU", 0.0) for node in nodes)
    where = f"{address} ({head.address})" if address == "auto" else address
    return RaySession(
        f"Ray {ray.__version__} cluster at {where}: {len(nodes)} nodes, {cpus:g} CPUs", _url(context), head
    )


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


def _init(**options: Any) -> Any:
    return ray.init(log_to_driver=False, logging_level="ERROR", **options)


def _check_free(port: int) -> None:
    with socket.socket() as probe:
        # As the dashboard does: the connections of one that has ended linger for a minute, in nobody's way.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise BadInput(
                f"--dashboard-port {port}: cannot be listened on ({error.strerror}); name another, or leave it out for "
                "the next free one from 8265 on"
            ) from None


def _keep_others_out(session: Path) -> None:
    """Who may write to Ray's sockets there can run jobs without the token; the umask alone would decide who may."""
    for path in (session / "sockets").iterdir():
        path.chmod(0o600)


def _url(context: Any) -> str | None:
    url = context.dashboard_url
    return f"http://{url}" if url else None
