"""One Ray session: embedded in this process's life, or a running cluster that is attached to."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import psutil
import ray
from ray.exceptions import RuntimeEnvSetupError

from common.config import BadInput
from driver.lean_ray import lean
from driver.processes import descendants, kill
from driver.ray_environment import token_file
from driver.resources import OBJECT_STORE_BYTES

_EXCLUDED_FROM_CLUSTER = [".git", ".venv", "venv", "runs", "results", "docs", "*.parquet", "__pycache__", ".mypy_cache"]
_PROCESSES_END_SECONDS = 0.1  # what is left of Ray then only looks for its parent now and then, with nothing to save
_ANSWER_SECONDS = 5.0  # for somebody to listen at an address


class RaySession:
    """Started by `start_embedded` or `attach`; ended by `close`."""

    def __init__(self, description: str, dashboard_url: str | None, embedded: bool) -> None:
        self.description = description
        self.dashboard_url = dashboard_url
        self.embedded = embedded

    def close(self) -> None:
        """Leaves Ray; an embedded one ends with all its processes."""
        children = descendants() if self.embedded else []
        ray.shutdown()
        if self.embedded:
            _, alive = psutil.wait_procs(children, timeout=_PROCESSES_END_SECONDS)
            kill(alive)


def start_embedded(cpus: int, dashboard: bool) -> RaySession:
    """A Ray of our own, on loopback only, never one that happens to run here."""
    with lean(dashboard):
        context = _init(
            address="local",
            num_cpus=max(cpus, os.cpu_count() or 1),
            include_dashboard=dashboard,
            object_store_memory=OBJECT_STORE_BYTES,
        )
    _narrow_token_file()
    return RaySession(f"embedded Ray {ray.__version__}", _url(context), embedded=True)


def attach(address: str) -> RaySession:
    """A running cluster. Raises BadInput where it cannot be reached."""
    if address.startswith("ray://"):
        raise BadInput(f"--address {address}: Ray Client is too slow for this; use ray job submit on the cluster")
    if address != "auto":
        _refuse_a_silent_address(address)
    try:
        context = _init(address=address, runtime_env=_runtime_env())
    except (ConnectionError, RuntimeError, ValueError, RuntimeEnvSetupError) as error:
        reason = " ".join(str(error).split())[:300]
        raise BadInput(
            f"--address {address}: no Ray cluster answers there ({reason}); use auto or host:port of a running head, "
            "or leave it out. A protected one wants its token in RAY_AUTH_TOKEN, in a file that RAY_AUTH_TOKEN_PATH "
            "names, or in ~/.ray/auth_token"
        ) from None
    nodes = [node for node in ray.nodes() if node["Alive"]]
    where = f"Ray {ray.__version__} cluster at {address}, {len(nodes)} nodes, {cluster_cpus():g} CPUs"
    return RaySession(where, _url(context), embedded=False)


def cluster_cpus() -> float:
    """Logical CPUs of all nodes."""
    return float(ray.cluster_resources().get("CPU", 0))


def cluster_memory() -> int:
    """Bytes of all nodes that Ray gives to processes."""
    return int(ray.cluster_resources().get("memory", 0))


def leave_ray() -> None:
    """From whatever state its start was left in."""
    ray.shutdown()


def _init(**options: Any) -> Any:
    return ray.init(log_to_driver=False, logging_level="ERROR", **options)


def _refuse_a_silent_address(address: str) -> None:
    """Ray would try again for minutes. Raises BadInput."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise BadInput(f"--address {address}: must be auto, or host:port of a running head such as 10.0.0.1:6379")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER_SECONDS).close()
    except (OSError, UnicodeError) as error:
        raise BadInput(
            f"--address {address}: nobody listens there ({error}); use auto or host:port of a running head, "
            "or leave it out"
        ) from None


def _url(context: Any) -> str | None:
    url = context.dashboard_url
    return f"http://{url}" if url else None


def _runtime_env() -> dict[str, Any] | None:
    """Brings the working tree to every node, unless a submitted job did already."""
    if "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ:
        return None
    root = Path(__file__).resolve().parent.parent
    return {"working_dir": str(root), "excludes": _EXCLUDED_FROM_CLUSTER}


def _narrow_token_file() -> None:
    """Ray writes its token readable by everybody under the usual umask."""
    token = token_file()
    if token.is_file() and token.stat().st_uid == os.getuid():
        token.chmod(0o600)
