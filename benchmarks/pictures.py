"""The pictures of docs/monitoring.md: what a person sees of a real run in a real browser. On Linux, with Chromium.

Ray's dashboard is opened as a person opens it, with the token in its dialog. Beside it runs a Prometheus with the
scrape settings and alert rules of monitoring/.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode

import yaml
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from benchmarks.launching import ROOT, endless_run, new_folder, wait_for
from benchmarks.prometheus import Prometheus, free_port
from common.config import BadInput

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

_CHROMIUM = ("chromium", "chromium-browser", "google-chrome")  # as Debian, Ubuntu and Google call it
_SWITCHES = (  # the browser asks nobody but the pages
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_WINDOW = {"width": 1280, "height": 2400}  # pixels; so high that no page scrolls, as bars would lie across its picture
_PATIENCE_SECONDS = 60.0  # for a page to show what it should
_START_SECONDS = 120.0  # for the first learner step that Prometheus sees
_RATE_SECONDS = 30
_MARGIN = 16  # pixels below what a picture is about


class Chart(NamedTuple):
    """One of Prometheus's graph page: what it asks for, and a label of each of its lines."""

    expr: str
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Pictures:
    """Takes the pictures of docs/monitoring.md: Ray's dashboard and Prometheus, beside a real run, in Chromium."""

    folder: Path = Path("docs/pictures")
    """Where the pictures go; those of the same name are replaced."""
    actors: int = 8
    """Actor processes of the run, at least 4: one picture is about actor-3."""
    seconds: int = 60
    """Seconds of training that the charts show."""
    runs: Path | None = None
    """Folder for the run [a temporary one]."""


def take_pictures(settings: Pictures) -> list[dict[str, Any]]:
    """One row for each picture. Raises BadInput without Chromium, Playwright or Prometheus."""
    if settings.actors < 4:
        raise BadInput(f"--actors {settings.actors}: must be at least 4, as one picture is about actor-3")
    if settings.seconds < 1:
        raise BadInput(f"--seconds {settings.seconds}: must be at least 1")
    settings.folder.mkdir(parents=True, exist_ok=True)
    folder = new_folder(settings.runs)
    ray_folder = Path(tempfile.mkdtemp(prefix="dqn-ray-", dir="/tmp"))  # short: it holds sockets
    discovery = ray_folder / "ray" / "session_latest" / "prom_metrics_service_discovery.json"
    port = free_port()
    options = ["--actors", str(settings.actors), "--dashboard-port", str(port)]
    # Ray's own settings, and a home of its own: the token with which the browser logs in is of no use after the run.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environment |= {"HOME": str(ray_folder), "RAY_TMPDIR": str(ray_folder), "RAY_metrics_report_interval_ms": "1000"}
    trained = f"ray_dqn_learner_steps_total offset {settings.seconds + _RATE_SECONDS}s"
    try:
        with (
            _browser_page() as page,
            Prometheus(folder, discovery) as prometheus,
            endless_run(options, folder, environment) as run,
        ):
            patience = settings.seconds + _RATE_SECONDS + _START_SECONDS
            wait_for(f"{settings.seconds} s of training", lambda: bool(prometheus.query(trained)), patience, run)
            token = (ray_folder / ".ray" / "auth_token").read_text().strip()
            camera = Camera(page, settings)
            camera.log_in(f"http://127.0.0.1:{port}", token)
            rows = [
                camera.actors(),
                camera.actor("actor-3"),
                camera.processes("ray::actor-3"),
                camera.throughput(prometheus.url),
                camera.lag(prometheus.url),
                camera.alerts(prometheus.url),
            ]
    finally:
        shutil.rmtree(ray_folder, ignore_errors=True)
    report(rows)
    return rows


class Camera:
    """Opens pages and takes their pictures once they show what they should."""

    def __init__(self, page: Page, settings: Pictures) -> None:
        self._page = page
        self._settings = settings
        self._actors = [f"actor-{index}" for index in range(settings.actors)]
        self._dashboard = ""

    def log_in(self, dashboard: str, token: str) -> None:
        """Gives Ray's dashboard the token that it asks for."""
        self._dashboard = dashboard
        self._page.goto(f"{dashboard}/#/actors")
        self._page.get_by_label("Authentication Token", exact=True).click()
        self._page.keyboard.insert_text(token)  # an error of fill() would repeat it
        with self._page.expect_event("load"):  # once it is let in, the dashboard loads itself again
            self._page.keyboard.press("Enter")

    def actors(self) -> dict[str, Any]:
        """Ray's list of all actors, by name."""
        self._page.goto(f"{self._dashboard}/#/actors")
        self._page.get_by_label("Page Size").fill(str(self._settings.actors + 10))
        for name in (*self._actors, "learner", "replay-0", "evaluator"):
            self._row(name).wait_for()
        self._page.get_by_role("checkbox").check()  # Reverse: the first to start comes first
        self._page.evaluate("document.activeElement.blur()")
        return self._take("ray-actors", self._page.get_by_role("table"))

    def actor(self, name: str) -> dict[str, Any]:
        """Ray's page of one actor, reached from the list."""
        self._row(name).get_by_role("link").first.click()
        self._page.get_by_text("Required Resources").wait_for()
        return self._take("ray-actor", self._page.get_by_text("Logs", exact=True).last)  # the first is a tab

    def processes(self, title: str) -> dict[str, Any]:
        """Ray's list of processes by title, down to that one."""
        self._page.goto(f"{self._dashboard}/#/cluster")
        for name in (*self._actors, "learner", "evaluator", "replay-0"):  # the last has another title now and then
            self._row(f"ray::{name}").wait_for()
        return self._take("ray-processes", self._row(title), top=self._page.get_by_role("table"))

    def throughput(self, prometheus: str) -> dict[str, Any]:
        """Environment steps by actor, and learner steps."""
        rate = f"[{_RATE_SECONDS}s]"
        return self._charts(
            "prometheus-throughput",
            prometheus,
            Chart(f"sum by (actor_id) (rate(ray_dqn_env_steps_total{rate}))", self._of_each_actor()),
            Chart(f"sum by (role) (rate(ray_dqn_learner_steps_total{rate}))", ('role="learner"',)),
        )

    def lag(self, prometheus: str) -> dict[str, Any]:
        """The age of each actor's params, and the policy lag of what comes to the replay."""
        return self._charts(
            "prometheus-lag",
            prometheus,
            Chart("max by (actor_id) (ray_dqn_params_age_learner_steps)", self._of_each_actor()),
            Chart("max by (role) (ray_dqn_policy_lag_learner_steps)", ('role="replay"',)),
        )

    def alerts(self, prometheus: str) -> dict[str, Any]:
        """Our rules, none of which fires."""
        rules = yaml.safe_load((ROOT / "monitoring" / "alerts.yml").read_text())["groups"][0]["rules"]
        self._page.goto(f"{prometheus}/graph")
        self._page.get_by_role("link", name="Alerts").click()  # its address is not the same in all builds
        self._page.get_by_text(f"Inactive ({len(rules)})").wait_for()
        return self._take("prometheus-alerts", self._page.get_by_text(max(rule["alert"] for rule in rules)).first)

    def _charts(self, name: str, prometheus: str, *charts: Chart) -> dict[str, Any]:
        query: dict[str, str] = {}
        for index, chart in enumerate(charts):
            panel = {"expr": chart.expr, "tab": "0", "stacked": "0", "range_input": f"{self._settings.seconds}s"}
            query |= {f"g{index}.{key}": value for key, value in panel.items()}
        self._page.goto(f"{prometheus}/graph?{urlencode(query)}")
        for chart in charts:
            for label in chart.labels:
                self._page.get_by_text(label).wait_for()  # a legend comes with its lines, and only with data
        self._page.evaluate("document.activeElement.blur()")
        return self._take(name, self._page.get_by_text(charts[-1].labels[-1]))

    def _of_each_actor(self) -> tuple[str, ...]:
        return tuple(f'actor_id="{index}"' for index in range(self._settings.actors))

    def _row(self, text: str) -> Locator:
        """The row of a table in which a cell has this text and no other."""
        cell = self._page.get_by_role("cell", name=text, exact=True)
        return self._page.get_by_role("row").filter(has=cell)

    def _take(self, name: str, bottom: Locator, top: Locator | None = None) -> dict[str, Any]:
        """The page from the upper left corner of `top`, else its own, to the end of `bottom`."""
        file = self._settings.folder / f"{name}.png"
        bottom.wait_for()
        left, first = (0.0, 0.0) if top is None else (_box(top)["x"], _box(top)["y"])
        last = _box(bottom)["y"] + _box(bottom)["height"] + _MARGIN
        clip = {"x": left, "y": first, "width": _WINDOW["width"] - left, "height": last - first}
        self._page.screenshot(path=file, clip=clip, animations="disabled")
        size = {"width": round(clip["width"]), "height": round(clip["height"]), "bytes": file.stat().st_size}
        return {"picture": str(file), **size}


def _box(element: Locator) -> dict[str, float]:
    """Where it is, in pixels of the window."""
    box = element.bounding_box()
    assert box is not None, element  # it was waited for
    return dict(box)


@contextmanager
def _browser_page() -> Iterator[Page]:
    """An empty page of a new browser without a past. Raises BadInput where there is none."""
    program = next(filter(None, map(shutil.which, _CHROMIUM)), None)
    if program is None:
        raise BadInput(f"{_CHROMIUM[0]}: not found; install it (Debian: chromium) or put its folder into PATH")
    try:
        from playwright.sync_api import sync_playwright  # of an extra, which no other benchmark needs
    except ImportError:
        raise BadInput('playwright: not installed; pip install -e ".[pictures]"') from None
    with sync_playwright() as playwright:
        # Each launch has a profile of its own, which ends with it. Chromium's sandbox refuses to work for root.
        browser = playwright.chromium.launch(
            executable_path=program, args=_SWITCHES, chromium_sandbox=os.geteuid() != 0
        )
        with browser:
            page = browser.new_page(viewport=_WINDOW)
            page.set_default_timeout(_PATIENCE_SECONDS * 1000)
            yield page


def report(rows: list[dict[str, Any]]) -> None:
    """A table of the pictures and their sizes."""
    table = Table(title="pictures", box=SIMPLE)
    for column in ("picture", "pixels", "kB"):
        table.add_column(column, justify="left" if column == "picture" else "right")
    for row in rows:
        table.add_row(row["picture"], f"{row['width']} x {row['height']}", f"{row['bytes'] / 1000:.0f}")
    Console().print(table)
