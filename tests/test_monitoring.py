"""What lies in monitoring/: held to Prometheus's own tool, to Grafana's own library, and to what is exported."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog import plugins
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from driver.reporting.ray_metrics import METRICS
from monitoring.dashboard import FILE, encode

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "monitoring"
ALERTS = FOLDER / "alerts.yml"
EXPORTED = {metric.exported_name for metric in METRICS}
BOARD: dict[str, Any] = json.loads(FILE.read_text())
PANELS = [panel for panel in BOARD["panels"] if panel["type"] != "row"]

plugins.register_default_plugins()
promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool, of Prometheus, is not installed")


def run_promtool(*arguments: str | Path) -> None:
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def metric_names(expr: str) -> set[str]:
    return set(re.findall(r"\bray_\w+", expr))


def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(ALERTS.read_text())["groups"]
    return group["rules"]


# The files


@pytest.mark.parametrize("path", sorted(FOLDER.rglob("*.yml")), ids=lambda path: path.name)
def test_the_yaml_files_parse(path: Path) -> None:
    assert yaml.safe_load(path.read_text())


@promtool
@pytest.mark.parametrize("name", ["prometheus.yml", "prometheus-laptop.yml"])
def test_prometheus_takes_its_configuration_with_the_rules(name: str) -> None:
    assert yaml.safe_load((FOLDER / name).read_text())["rule_files"] == [ALERTS.name]
    run_promtool("check", "config", FOLDER / name)


@promtool
def test_prometheus_takes_the_rules() -> None:
    run_promtool("check", "rules", "--lint-fatal", ALERTS)


def test_every_alert_says_what_is_wrong_and_what_to_do() -> None:
    for rule in rules():
        assert rule["alert"].startswith("Dqn")
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert "$labels.run" in rule["annotations"]["summary"]
        assert len(rule["annotations"]["description"]) > 100


def test_every_alert_is_explained_in_the_docs() -> None:
    docs = (ROOT / "docs" / "monitoring.md").read_text()
    assert [rule["alert"] for rule in rules() if rule["alert"] not in docs] == []


def test_the_docs_list_exactly_the_metrics_that_are_exported() -> None:
    docs = (ROOT / "docs" / "monitoring.md").read_text()
    assert set(re.findall(r"`(ray_dqn_\w+)`", docs)) == EXPORTED


def test_alerts_use_only_metrics_that_are_exported() -> None:
    used = {name for rule in rules() for name in metric_names(rule["expr"])}
    assert used
    assert used <= EXPORTED


# The dashboard


def test_the_dashboard_is_what_its_program_makes() -> None:
    assert FILE.read_text() == encode(), "run python -m monitoring.dashboard"


def test_the_dashboard_has_grafanas_schema_in_every_field() -> None:
    """Its models drop what they do not know."""
    decoded = Dashboard.from_json(BOARD)
    assert json.loads(JSONEncoder().encode(decoded)) == BOARD
    assert BOARD["schemaVersion"] == Dashboard().schema_version == 41


def test_the_dashboard_has_its_own_uid_and_rows() -> None:
    assert BOARD["uid"] == "distributed-dqn"
    rows = [panel["title"] for panel in BOARD["panels"] if panel["type"] == "row"]
    assert rows == ["Throughput", "Learning", "Lag and waits", "Health"]


def test_panels_have_numbers_of_their_own_and_do_not_overlap() -> None:
    ids = [panel["id"] for panel in BOARD["panels"]]
    assert len(set(ids)) == len(ids)
    taken: set[tuple[int, int]] = set()
    for panel in BOARD["panels"]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        cells = {(at["x"] + i, at["y"] + j) for i in range(at["w"]) for j in range(at["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_a_panel_is_described_has_a_unit_and_names_its_lines(panel: dict[str, Any]) -> None:
    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["targets"]
    for target in panel["targets"]:
        assert "{{run}}" in target["legendFormat"]
        assert target["datasource"]["uid"] == panel["datasource"]["uid"] == "${datasource}"
        assert 'run=~"$run"' in target["expr"]


def test_the_dashboard_shows_every_metric_that_is_exported_and_asks_for_no_other() -> None:
    shown = {name for panel in PANELS for target in panel["targets"] for name in metric_names(target["expr"])}
    assert shown == EXPORTED


def test_the_runs_to_choose_from_are_those_that_prometheus_knows() -> None:
    datasource, run = BOARD["templating"]["list"]
    assert (datasource["name"], datasource["type"], datasource["query"]) == ("datasource", "datasource", "prometheus")
    assert (run["name"], run["multi"], run["includeAll"]) == ("run", True, True)
    assert metric_names(run["query"]["query"]) <= EXPORTED
    assert run["datasource"]["uid"] == "${datasource}"


def test_grafana_finds_the_datasource_and_the_dashboards_folder() -> None:
    (datasource,) = yaml.safe_load((FOLDER / "grafana/provisioning/datasources/prometheus.yml").read_text())[
        "datasources"
    ]
    assert (datasource["name"], datasource["type"], datasource["isDefault"]) == ("Prometheus", "prometheus", True)
    (provider,) = yaml.safe_load((FOLDER / "grafana/provisioning/dashboards/distributed-dqn.yml").read_text())[
        "providers"
    ]
    assert provider["options"]["path"] == "/etc/grafana/dashboards"


# The alerts, by promtool's unit tests. A sample every 5 s; Ray reports every 10 s, so counts come in pairs.

STEP_SECONDS = 5
LABELS = 'instance="10.0.0.2:8080", WorkerId="01", run="a"'  # Ray adds some
Values = Sequence[float | None]  # one each 5 s; None: the series is gone


def minutes(values_per_minute: float) -> int:
    return int(values_per_minute * 60 / STEP_SECONDS)


def stairs(per_second: float, seconds: float, start: float = 0.0) -> list[float]:
    """A count that grows, as it is reported every 10 s."""
    return [start + per_second * 10 * (i // 2) for i in range(int(seconds / STEP_SECONDS))]


def rest(values: Values, seconds: float) -> list[float | None]:
    """And then it stays."""
    return [*values, *[values[-1]] * int(seconds / STEP_SECONDS)]


class Scene:
    """A run of two actors, healthy unless a test says otherwise, and the alerts that fire at some moment of it."""

    def __init__(self, minutes_on: float, gone_after: bool = False) -> None:
        """`gone_after`: the gauges of an ended run vanish, its counters stay as they were."""
        self.seconds = minutes_on * 60
        count = int(self.seconds / STEP_SECONDS)
        self._end = [None] * 2 if gone_after else []
        self.series: dict[str, Values] = {}
        for name, value in (("actors_alive", 2), ("actors_wanted", 2), ("target_sync_learner_steps", 100)):
            self.gauge(name, [float(value)] * count)
        self.series[f"ray_dqn_learner_steps_total{{{LABELS}}}"] = stairs(1300, self.seconds)
        self.series[f'ray_dqn_transitions_total{{{LABELS}, role="replay-0"}}'] = stairs(5000, self.seconds)
        for actor in "01":
            self.gauge("actor_restarts", [0.0] * count, actor)
            self.gauge("params_age_learner_steps", [100.0 * (i * 7 % 5) for i in range(count)], actor)
            self.gauge("params_age_seconds", [0.05 * (i * 7 % 5) for i in range(count)], actor)

    def gauge(self, name: str, values: Values, actor: str | None = None) -> None:
        tags = LABELS if actor is None else f'{LABELS}, actor_id="{actor}"'
        self.series[f"ray_dqn_{name}{{{tags}}}"] = [*values, *self._end]

    def count(self, name: str, values: Values) -> None:
        """Of a counter; None where there is no such series yet."""
        (key,) = [key for key in self.series if key.startswith(f"ray_dqn_{name}_total")]
        self.series[key] = values

    def without(self, prefix: str) -> None:
        self.series = {key: values for key, values in self.series.items() if not key.startswith(f"ray_dqn_{prefix}")}

    def check(self, folder: Path, *expected: tuple[float, set[str]]) -> None:
        """At each of these moments, in seconds, exactly these alerts fire; `DqnX 1` is that of actor 1."""
        tests = [
            {
                "expr": 'count by (alertname, run, actor_id) (ALERTS{alertstate="firing"})',
                "eval_time": f"{int(seconds)}s",
                "exp_samples": [{"labels": _alert_labels(alert), "value": 1} for alert in sorted(alerts)],
            }
            for seconds, alerts in expected
        ]
        content = {
            "rule_files": [str(ALERTS)],
            "evaluation_interval": f"{STEP_SECONDS}s",
            "tests": [
                {
                    "interval": f"{STEP_SECONDS}s",
                    "input_series": [
                        {"series": key, "values": _written(values)} for key, values in self.series.items()
                    ],
                    "promql_expr_test": tests,
                }
            ],
        }
        file = folder / "test.yml"
        file.write_text(yaml.safe_dump(content))
        run_promtool("test", "rules", file)

    def check_silent(self, folder: Path, until_minutes: float) -> None:
        """From the beginning on, every 5 seconds."""
        self.check(folder, *((float(at), set()) for at in range(0, int(until_minutes * 60), STEP_SECONDS)))


def _alert_labels(alert: str) -> str:
    name, _, actor = alert.partition(" ")
    return f'{{alertname="{name}", run="a"' + (f', actor_id="{actor}"' if actor else "") + "}"


def _written(values: Values) -> str:
    """None at the beginning: not there yet; later: Prometheus knows that it is gone."""
    words, seen = [], False
    for value in values:
        seen = seen or value is not None
        words.append(f"{value:.3f}" if value is not None else ("stale" if seen else "_"))
    return " ".join(words)


@promtool
def test_no_alert_fires_without_a_run(tmp_path: Path) -> None:
    scene = Scene(minutes_on=10)
    scene.series = {'up{instance="10.0.0.2:8080"}': [1.0] * minutes(10)}
    scene.check_silent(tmp_path, 10)


@promtool
def test_no_alert_fires_in_a_healthy_run(tmp_path: Path) -> None:
    Scene(minutes_on=15).check_silent(tmp_path, 15)


@promtool
def test_no_alert_fires_after_a_run_has_ended_though_its_counters_stay(tmp_path: Path) -> None:
    scene = Scene(minutes_on=5, gone_after=True)
    scene.count("learner_steps", rest(stairs(1300, 280), 1800))  # the gauges outlast the run by 20 s
    scene.count("transitions", rest(stairs(5000, 280), 1800))
    scene.check_silent(tmp_path, 25)


@promtool
def test_no_alert_fires_while_a_run_starts(tmp_path: Path) -> None:
    """80 s until all actors play, the first counts after 40 s."""
    scene = Scene(minutes_on=5)
    scene.gauge("actors_alive", [0.0] * 8 + [1.0] * 8 + [2.0] * (minutes(5) - 16))
    scene.count("transitions", [None] * 8 + stairs(5000, 260, start=1000))
    scene.count("learner_steps", [None] * 8 + stairs(1300, 260, start=1000))
    for name in ("params_age_learner_steps", "params_age_seconds"):
        scene.gauge(name, [None] * 8 + [0.0] * (minutes(5) - 8), "1")
    scene.check_silent(tmp_path, 5)


@promtool
def test_no_alert_fires_while_slow_environments_fill_the_replay(tmp_path: Path) -> None:
    scene = Scene(minutes_on=15)
    scene.count("transitions", stairs(1, 900, start=1))
    scene.count("learner_steps", [None] * minutes(10) + stairs(5, 300, start=5))
    scene.check_silent(tmp_path, 15)


@promtool
def test_no_alert_fires_where_a_slow_learner_makes_long_cycles(tmp_path: Path) -> None:
    """5 learner steps a second: acks, and with them params, come every 75 s, up to 375 learner steps late."""
    scene = Scene(minutes_on=15)
    scene.count("learner_steps", stairs(5, 900))
    for actor in "01":
        scene.gauge("params_age_learner_steps", [25.0 * (i % 15) for i in range(minutes(15))], actor)
        scene.gauge("params_age_seconds", [5.0 * (i % 15) for i in range(minutes(15))], actor)
    scene.check_silent(tmp_path, 15)


@promtool
def test_no_alert_fires_where_samples_happen_to_hit_the_oldest_params(tmp_path: Path) -> None:
    scene = Scene(minutes_on=10)
    scene.gauge("params_age_learner_steps", [375.0] * minutes(10), "1")
    scene.check_silent(tmp_path, 10)


@promtool
def test_a_learner_that_stops_is_told_within_90_seconds(tmp_path: Path) -> None:
    scene = Scene(minutes_on=15)
    scene.count("learner_steps", rest(stairs(1300, 600), 300))
    alert = {"DqnNoLearnerStep"}
    scene.check(tmp_path, (599, set()), (655, set()), (690, alert), (890, alert))


@promtool
def test_a_learner_that_goes_on_silences_the_alert(tmp_path: Path) -> None:
    scene = Scene(minutes_on=15)
    stopped = rest(stairs(1300, 300), 200)
    scene.count("learner_steps", [*stopped, *stairs(1300, 400, start=float(stopped[-1] or 0))])
    scene.check(tmp_path, (480, {"DqnNoLearnerStep"}), (530, set()), (890, set()))


@promtool
@pytest.mark.parametrize("missing", ["learner_steps", ""], ids=["no learner step", "nothing counted at all"])
def test_a_run_that_never_begins_to_learn_is_told(tmp_path: Path, missing: str) -> None:
    scene = Scene(minutes_on=5)
    scene.without("learner_steps")
    if missing:
        scene.count("transitions", rest([500.0], 295))
    else:
        scene.without("transitions")
    scene.check(tmp_path, (60, set()), (100, {"DqnNoLearnerStep"}), (290, {"DqnNoLearnerStep"}))


@promtool
def test_an_actor_whose_params_grow_old_is_told_by_its_id(tmp_path: Path) -> None:
    scene = Scene(minutes_on=15)
    healthy = minutes(10)
    grown = range(1, minutes(5) + 1)
    scene.gauge("params_age_learner_steps", [100.0] * healthy + [100.0 + 6500 * i for i in grown], "1")
    scene.gauge("params_age_seconds", [0.1] * healthy + [5.0 * i for i in grown], "1")
    scene.check(tmp_path, (599, set()), (640, set()), (670, {"DqnParamsOld 1"}), (890, {"DqnParamsOld 1"}))


@promtool
def test_params_within_3_intervals_are_not_old_for_whatever_time(tmp_path: Path) -> None:
    scene = Scene(minutes_on=10)
    scene.gauge("params_age_learner_steps", [300.0] * minutes(10), "1")
    scene.gauge("params_age_seconds", [5.0 * i for i in range(minutes(10))], "1")
    scene.check_silent(tmp_path, 10)


@promtool
def test_an_actor_restarted_3_times_in_10_minutes_is_told_by_its_id(tmp_path: Path) -> None:
    scene = Scene(minutes_on=20)
    scene.gauge(
        "actor_restarts", [0.0] * 24 + [1.0] * 36 + [2.0] * 36 + [3.0] * (minutes(20) - 96), "0"
    )  # 120, 300, 480
    scene.check(tmp_path, (475, set()), (485, {"DqnActorRestarts 0"}), (700, {"DqnActorRestarts 0"}), (730, set()))


@promtool
def test_restarts_that_are_far_apart_are_not_told(tmp_path: Path) -> None:
    scene = Scene(minutes_on=30)
    scene.gauge("actor_restarts", [float(i // minutes(5.5)) for i in range(minutes(30))], "0")
    scene.check_silent(tmp_path, 30)


@promtool
def test_missing_actors_are_told_after_2_minutes(tmp_path: Path) -> None:
    scene = Scene(minutes_on=10)
    scene.gauge("actors_alive", [2.0] * minutes(5) + [1.0] * minutes(5))
    scene.check(tmp_path, (415, set()), (425, {"DqnActorsMissing"}), (590, {"DqnActorsMissing"}))


@promtool
def test_actors_that_come_back_within_2_minutes_are_not_told(tmp_path: Path) -> None:
    scene = Scene(minutes_on=10)
    away = minutes(1.5)
    scene.gauge("actors_alive", ([2.0] * 12 + [1.0] * away) * 4)
    scene.check_silent(tmp_path, 10)
