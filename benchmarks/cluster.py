"""The cluster of docker-compose.yml without Docker: its services' own commands on hosts of hosts.py.

So what only several machines show can be tried: a node lost, a cable cut, a token that is wrong.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from benchmarks.hosts import Host, Network
from benchmarks.launching import ROOT

FILE = ROOT / "docker-compose.yml"
_TOKEN_PLACE = Path("/run/secrets/ray_auth_token")
_PATIENCE_SECONDS = 240.0  # a busy machine starts Ray twice
CODE = ("actors", "analysis", "benchmarks", "common", "driver", "learner", "replay_server")


def read_compose(**variables: str) -> dict[str, Any]:
    """docker-compose.yml with its variables filled in, as Compose does it."""
    text = re.sub(r"\$\{(\w+):-([^}]*)\}", lambda match: variables.get(match[1], match[2]), FILE.read_text())
    content: dict[str, Any] = yaml.safe_load(text.replace("$$", "$"))
    return content


class Cluster:
    """The head; workers and drivers join it."""

    def __init__(self, network: Network, token: str, environment: Mapping[str, str] | None = None) -> None:
        """`environment`: for every process, over what the file says."""
        self.network = network
        self._services = read_compose()["services"]
        self._over = dict(environment or {})
        self._token_file = network.folder / "token"
        self._token_file.write_text(token)
        self.head = self._start("head", {})

    def add_worker(
        self, cpus: int | None = None, with_code: bool = True, mounted: Mapping[Path, Path] | None = None
    ) -> Host:
        """One more, up and healthy. `cpus`: other than the file's. Without code it has nothing of this project."""
        hidden = [] if with_code else [ROOT / name for name in CODE]
        return self._start("worker", {} if cpus is None else {"--num-cpus": str(cpus)}, hidden, mounted)

    def add_job_host(self) -> Host:
        """Where a driver may run: the job's service, which joins the cluster and then becomes its command."""
        host = self._host("job")
        joined = host.run([*self._services["job"]["entrypoint"], "true"], self._environment("job"), _PATIENCE_SECONDS)
        if joined.returncode != 0:
            raise RuntimeError(f"job: {joined.stdout}\n{joined.stderr}")
        return host

    def add_stranger(self) -> Host:
        """A host with code and token that has not joined."""
        return self._host("job")

    def launch(self, host: Host, options: Sequence[str], log: Path) -> subprocess.Popen[str]:
        """`launch.py` on a host of the cluster that has the code; both outputs go to `log`."""
        with log.open("w") as file:
            return host.start(
                ["python", str(ROOT / "launch.py"), *options], self._environment("job"),
                stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, cwd=ROOT,
            )  # fmt: skip

    def try_launch(
        self, host: Host, options: Sequence[str], environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """`launch.py` to its end. An empty variable in `environment` is one that is not set."""
        command = ["env", *(f"--unset={name}" for name, value in (environment or {}).items() if not value)]
        return host.run(
            [*command, "python", str(ROOT / "launch.py"), *options],
            {**self._environment("job"), **(environment or {})},
            timeout=_PATIENCE_SECONDS,
        )

    def run_job(self, host: Host, *options: str) -> subprocess.CompletedProcess[str]:
        """The command of the job's service, with further options, to its end; where its entrypoint has run already."""
        return self.run(host, [*self._services["job"]["command"], *options])

    def run(self, host: Host, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """To its end, with the environment of the job's service."""
        return host.run(command, self._environment("job"), 2 * _PATIENCE_SECONDS)

    def start_prometheus(self) -> Callable[[str], list[dict[str, Any]]]:
        """On a host of its own, with monitoring/prometheus.yml. Returns what answers a query."""
        host = self.network.add("prometheus")
        config = ROOT / "monitoring" / "prometheus.yml"
        with (host.folder / "output").open("w") as file:
            host.start(
                ["prometheus", f"--config.file={config}", "--storage.tsdb.path=/tmp/prometheus"],
                stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT,
            )  # fmt: skip
        ask = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1]).read().decode())"

        def query(expr: str) -> list[dict[str, Any]]:
            url = f"http://127.0.0.1:9090/api/v1/query?{urllib.parse.urlencode({'query': expr})}"
            answer = host.run([sys.executable, "-c", ask, url], {"http_proxy": ""})
            if answer.returncode != 0:
                return []  # not up yet
            content: list[dict[str, Any]] = json.loads(answer.stdout)["data"]["result"]
            return content

        return query

    def _host(self, service: str, hidden: Sequence[Path] = (), mounted: Mapping[Path, Path] | None = None) -> Host:
        content = self._services[service]
        size = content["shm_size"].removesuffix("b")
        networks = content["networks"]
        aliases = networks["cluster"]["aliases"] if isinstance(networks, dict) else ()
        return self.network.add(service, size, hidden, {self._token_file: _TOKEN_PLACE, **(mounted or {})}, aliases)

    def _start(
        self,
        service: str,
        options: Mapping[str, str],
        hidden: Sequence[Path] = (),
        mounted: Mapping[Path, Path] | None = None,
    ) -> Host:
        host = self._host(service, hidden, mounted)
        command = [
            f"{name}={options[name]}" if (name := word.partition("=")[0]) in options else word
            for word in self._services[service]["command"]
        ]
        output = host.folder / "output"
        check = self._services[service]["healthcheck"]["test"][1:]
        deadline = time.monotonic() + _PATIENCE_SECONDS
        node: subprocess.Popen[str] | None = None
        while host.run(check, self._environment(service)).returncode != 0:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{service} is not healthy: {output.read_text()}")
            if node is None or node.poll() is not None:  # on a busy machine Ray gives up; Compose starts it again too
                with output.open("a") as file:
                    node = host.start(
                        command, self._environment(service),
                        stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, cwd=ROOT,
                    )  # fmt: skip
            time.sleep(0.2)
        return host

    def _environment(self, service: str) -> dict[str, str]:
        """What the file gives, and where this machine has python and ray, which in the image are everywhere."""
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        return {"PATH": path, **self._services[service]["environment"], **self._over}
