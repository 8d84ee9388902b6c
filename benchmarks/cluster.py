"""A Ray cluster on hosts of its own, for what only several machines show: see hosts.py."""

from __future__ import annotations

import secrets
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.hosts import Host, Network
from benchmarks.launching import ROOT

_BIN = Path(sys.executable).parent
_PORT = 6379
_HEALTH_PORTS = {"head": (8265, "/api/gcs_healthz"), "worker": (52365, "/api/local_raylet_healthz")}
_UP_SECONDS = 90.0
OBJECT_STORE_BYTES = 128 * 1024**2


class Cluster:
    """A head and what joins it. The token is the cluster's; every host has its file."""

    def __init__(self, network: Network, environment: Mapping[str, str] | None = None) -> None:
        """`environment`: for every process of the cluster."""
        self.network = network
        self.token = secrets.token_hex(32)
        self._token_file = network.folder / "token"
        self._token_file.write_text(self.token)
        self.environment = {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(self._token_file),
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_worker_niceness": "0",
            **(environment or {}),
        }
        self.head = network.add("head")
        self.address = f"{self.head.address}:{_PORT}"
        self.start_node(
            self.head,
            ["--head", f"--port={_PORT}", "--dashboard-host=0.0.0.0", "--dashboard-port=8265", "--num-cpus=0"],
        )

    def add_node(self, name: str = "worker", cpus: int = 3, hidden: Sequence[Path] = (), *options: str) -> Host:
        """A host that has joined."""
        host = self.network.add(name, hidden=hidden)
        self.start_node(host, [f"--address={self.address}", f"--num-cpus={cpus}", *options])
        return host

    def start_node(self, host: Host, options: Sequence[str]) -> None:
        """`ray start` on it; returns once it answers."""
        common = [f"--node-ip-address={host.address}", "--metrics-export-port=8080"]
        command = [str(_BIN / "ray"), "start", *options, *common, f"--object-store-memory={OBJECT_STORE_BYTES}"]
        started = host.run(command, self.environment, timeout=_UP_SECONDS)
        if started.returncode != 0:
            raise RuntimeError(f"{host.name}: {' '.join(command)}\n{started.stdout}\n{started.stderr}")
        port, path = _HEALTH_PORTS["head" if "--head" in options else "worker"]
        deadline = time.monotonic() + _UP_SECONDS
        check = [sys.executable, str(ROOT / "docker" / "healthy.py"), str(port), path]
        while host.run(check).returncode != 0:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{host.name} is not healthy after {_UP_SECONDS:.0f} s")

    def launch(self, host: Host, options: Sequence[str], log: Path) -> subprocess.Popen[str]:
        """`launch.py` on a host of the cluster."""
        command = [sys.executable, str(ROOT / "launch.py"), *options]
        with log.open("w") as file:
            return host.start(
                command, self.environment, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, cwd=ROOT
            )
