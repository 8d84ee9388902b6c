"""Does every chart have data, does every alert fire when its fault is caused, and is it silent otherwise? On Linux.

A real run and a real Prometheus that scrapes it. Faults are caused from outside: processes are stopped and killed.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from benchmarks.launching import ROOT, endless_run, new_folder, wait_for
from benchmarks.prometheus import Prometheus
from benchmarks.watching import processes_by_role
from common.config import BadInput

_TICK_SECONDS = 1.0
_PATIENCE_SECONDS = 300.0  # for an alert to fire or to end
_START_SECONDS = 90.0
_KILLS = 3
_RATE_INTERVAL = "40s"  # what Grafana makes of $__rate_interval, with the time interval of our datasource


@dataclass(frozen=True)
class Monitoring:
    """Runs launch.py beside a Prometheus, asks what the dashboard asks, and causes the fault of each alert."""

    actors: int = 8
    """Actor processes of the run."""
    healthy_seconds: float = 180.0
    """Seconds in which no alert may fire, before the faults."""
    after_seconds: float = 120.0
    """Seconds after the run's end in which no alert may begin to fire."""
    report_interval_ms: int = 10_000
    """Milliseconds between two reports of Ray's metrics; Ray's own setting is 10,000."""
    runs: Path | None = None
    """Folder for the run [a temporary one]."""


def measure_monitoring(settings: Monitoring) -> list[dict[str, Any]]:
    """One row for each query of the dashboard, and one for each alert and each time that should be silent."""
    if not 1000 <= settings.report_interval_ms <= 20_000:
        raise BadInput(
            f"--report-interval-ms {settings.report_interval_ms}: must lie in [1000, 20000], as alerts need it"
        )
    folder = new_folder(settings.runs)
    ray_folder = Path(tempfile.mkdtemp(prefix="dqn-ray-", dir="/tmp"))  # short: it holds sockets
    discovery = ray_folder / "ray" / "session_latest" / "prom_metrics_service_discovery.json"
    options = ["--actors", str(settings.actors), "--actor-restarts-per-minute", str(10 * _KILLS)]
    environment = {
        **os.environ,
        "RAY_TMPDIR": str(ray_folder),
        "RAY_metrics_report_interval_ms": str(settings.report_interval_ms),
    }
    try:
        with Prometheus(folder, discovery) as prometheus, endless_run(options, folder, environment) as run:
            rows = Check(settings, prometheus, run).measure()
    finally:
        shutil.rmtree(ray_folder, ignore_errors=True)
    report(rows)
    return rows


class Check:
    """One run from its start to after its end."""

    def __init__(self, settings: Monitoring, prometheus: Prometheus, run: subprocess.Popen[bytes]) -> None:
        self._settings = settings
        self._prometheus = prometheus
        self._run = run
        self._driver = psutil.Process(run.pid)
        self._told_to_end = False

    def measure(self) -> list[dict[str, Any]]:
        """In this order: a healthy time, the charts, the faults, the end."""
        self._wait(
            "the run's first metrics", lambda: bool(self._prometheus.query("ray_dqn_actors_wanted")), _START_SECONDS
        )
        rows = [self._silence("healthy", self._settings.healthy_seconds)]
        rows += self._ask_for_charts()
        rows += self._stop("learner", "DqnNoLearnerStep")
        rows += self._stop("actor", "DqnParamsOld", "DqnActorsMissing")
        rows += self._kill_again_and_again()
        self._told_to_end = True
        self._run.send_signal(signal.SIGINT)
        self._run.wait(timeout=60)
        ended = time.monotonic()
        self._wait("the end of all alerts", lambda: not self._prometheus.firing())
        silent_after = time.monotonic() - ended
        return [
            *rows,
            {**self._silence("after the end", self._settings.after_seconds), "silent_after_seconds": silent_after},
        ]

    def _ask_for_charts(self) -> list[dict[str, Any]]:
        dashboard = json.loads((ROOT / "monitoring/grafana/dashboards/distributed-dqn.json").read_text())
        runs = self._prometheus.label_values("run", "ray_dqn_actors_wanted")
        rows = []
        for panel in dashboard["panels"]:
            for target in panel.get("targets", []):
                expr = target["expr"].replace("$run", "|".join(runs)).replace("$__rate_interval", _RATE_INTERVAL)
                series = self._prometheus.query_range(expr, 60, 15)
                last = [float(one["values"][-1][1]) for one in series]
                rows.append(
                    {"part": "chart", "panel": panel["title"], "expr": expr, "series": len(series), "last": last}
                )
        return rows

    def _stop(self, role: str, *alerts: str) -> list[dict[str, Any]]:
        """The first process of this role stands still until these alerts fire."""
        process = self._processes(role)[0]
        process.suspend()
        try:
            rows = self._until_they_fire(f"{role} stopped", *alerts)
        finally:
            with suppress(psutil.NoSuchProcess):
                process.resume()
        return self._until_they_end(rows)

    def _kill_again_and_again(self) -> list[dict[str, Any]]:
        """The same actor, each time once its new process is up; it counts from the last kill on."""
        known = self._processes("actor")
        process = known[0]
        for _ in range(_KILLS):
            process.kill()
            began = time.monotonic()
            process = self._replacement(known)
            known.append(process)
        rows = self._until_they_fire(f"actor killed {_KILLS} times", "DqnActorRestarts", began=began)
        return [{**row, "seconds_to_end": None} for row in rows]  # not within 10 minutes

    def _replacement(self, known: list[psutil.Process]) -> psutil.Process:
        """The process that is new, once it plays: a worker gets its title when it becomes an actor."""
        found: list[psutil.Process] = []

        def look() -> bool:
            found[:] = [process for process in self._processes("actor") if process not in known]
            return bool(found) and found[0].cpu_times().user > 0.2

        self._wait("a replaced actor", look)
        return found[0]

    def _until_they_fire(self, fault: str, *alerts: str, began: float | None = None) -> list[dict[str, Any]]:
        began = time.monotonic() if began is None else began
        fired: dict[str, dict[str, Any]] = {}

        def look() -> bool:
            for alert in self._prometheus.firing():
                if alert.name not in fired:
                    fired[alert.name] = {
                        "part": "alert",
                        "fault": fault,
                        "alert": alert.name,
                        "wanted": alert.name in alerts,
                        "seconds_to_fire": time.monotonic() - began,
                        "summary": alert.summary,
                    }
            return set(alerts) <= set(fired)

        self._wait(f"{', '.join(alerts)} after: {fault}", look)
        return list(fired.values())

    def _until_they_end(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        began = time.monotonic()
        self._wait("the end of all alerts", lambda: not self._prometheus.firing())
        return [{**row, "seconds_to_end": time.monotonic() - began} for row in rows]

    def _silence(self, name: str, seconds: float) -> dict[str, Any]:
        """What fired in this time; nothing should."""
        began = time.monotonic()
        fired: set[str] = set()
        while time.monotonic() - began < seconds:
            fired |= {alert.name for alert in self._prometheus.firing()}
            time.sleep(_TICK_SECONDS)
        return {"part": "silence", "when": name, "seconds": seconds, "fired": sorted(fired)}

    def _processes(self, role: str) -> list[psutil.Process]:
        return [process for found, process in processes_by_role(self._driver) if found == role]

    def _wait(self, what: str, done: Callable[[], bool], patience: float = _PATIENCE_SECONDS) -> None:
        """Raises RuntimeError when it takes too long, or when the run ends before it was told to."""
        wait_for(what, done, patience, None if self._told_to_end else self._run)


def report(rows: list[dict[str, Any]]) -> None:
    """A table of the charts, one of the alerts, and the silences."""
    charts = Table(title="the dashboard's queries", box=SIMPLE)
    for column in ("panel", "series", "lowest", "highest"):
        charts.add_column(column, justify="left" if column == "panel" else "right")
    for row in _of(rows, "chart"):
        last = row["last"]
        charts.add_row(
            row["panel"],
            str(row["series"]),
            f"{min(last):,.3g}" if last else "no data",
            f"{max(last):,.3g}" if last else "no data",
        )
    Console().print(charts)
    alerts = Table(title="faults and alerts", box=SIMPLE)
    for column in ("fault", "alert", "fires after", "ends after"):
        alerts.add_column(column, justify="right" if "after" in column else "left")
    for row in _of(rows, "alert"):
        end = row["seconds_to_end"]
        alerts.add_row(
            row["fault"],
            row["alert"] + ("" if row["wanted"] else " (not expected)"),
            f"{row['seconds_to_fire']:.0f} s",
            "-" if end is None else f"{end:.0f} s",
        )
    Console().print(alerts)
    for row in _of(rows, "silence"):
        print(f"{row['when']}, {row['seconds']:.0f} s: {', '.join(row['fired']) or 'no alert'}")
        if "silent_after_seconds" in row:
            print(f"the alert that still fired at the end of the run ended {row['silent_after_seconds']:.0f} s later")
    empty = [row["panel"] for row in _of(rows, "chart") if not row["series"]]
    print(f"queries with data: {len(_of(rows, 'chart')) - len(empty)} of {len(_of(rows, 'chart'))}")


def _of(rows: list[dict[str, Any]], part: str) -> list[dict[str, Any]]:
    return [row for row in rows if row["part"] == part]
