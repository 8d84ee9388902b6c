"""A real Prometheus beside a run, with the rules and the scrape settings of monitoring/."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import yaml

from benchmarks.launching import ROOT
from common.config import BadInput

_UP_SECONDS = 30.0
_ANSWER_SECONDS = 10.0


class Alert(NamedTuple):
    """One that fires."""

    name: str
    actor_id: str  # "" where it is about the whole run
    summary: str


class Prometheus:
    """On loopback, at a port of its own, while the context lasts."""

    def __init__(self, folder: Path, discovery: Path) -> None:
        """`discovery`: the file in which Ray's dashboard lists its ports. Raises BadInput without Prometheus."""
        program = shutil.which("prometheus")
        if program is None:
            raise BadInput("prometheus: not found; install it (Debian: prometheus) or put its folder into PATH")
        config = yaml.safe_load((ROOT / "monitoring" / "prometheus-laptop.yml").read_text())
        shutil.copy(ROOT / "monitoring" / "alerts.yml", folder)
        config["scrape_configs"][0]["file_sd_configs"][0]["files"] = [str(discovery)]
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._folder = folder  # it runs there, so that its pages name its files without folders
        self._log = folder / "prometheus.log"
        self._command = [
            program,
            "--config.file=prometheus.yml",
            "--storage.tsdb.path=prometheus",
            f"--web.listen-address=127.0.0.1:{port}",
        ]
        self._open = urllib.request.build_opener(urllib.request.ProxyHandler({})).open  # loopback, whatever is set

    def __enter__(self) -> Self:
        with self._log.open("w") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=subprocess.STDOUT, cwd=self._folder)
        deadline = time.monotonic() + _UP_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                self.query("vector(1)")
            except OSError:
                time.sleep(0.2)
            else:
                return self
        self._process.kill()
        raise RuntimeError(f"prometheus did not come up:\n{self._log.read_text()}")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait(timeout=30)

    def query(self, expr: str) -> list[dict[str, Any]]:
        """The vector that an expression is now."""
        return list(self._ask("query", query=expr)["result"])

    def query_range(self, expr: str, seconds: float, step_seconds: int) -> list[dict[str, Any]]:
        """Its series over the last `seconds`, as a chart asks for them."""
        now = time.time()
        return list(self._ask("query_range", query=expr, start=now - seconds, end=now, step=step_seconds)["result"])

    def label_values(self, label: str, metric: str) -> list[str]:
        """The values that a label of a metric has had."""
        return list(self._ask(f"label/{label}/values", **{"match[]": metric}))

    def firing(self) -> list[Alert]:
        """The alerts that fire now."""
        alerts = self._ask("alerts")["alerts"]
        return [
            Alert(
                alert["labels"]["alertname"],
                alert["labels"].get("actor_id", ""),
                alert["annotations"].get("summary", ""),
            )
            for alert in alerts
            if alert["state"] == "firing"
        ]

    def _ask(self, path: str, **parameters: Any) -> Any:
        with self._open(
            f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}", timeout=_ANSWER_SECONDS
        ) as reply:
            return json.load(reply)["data"]


def free_port() -> int:
    """One on loopback on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
