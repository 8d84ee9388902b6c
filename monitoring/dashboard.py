"""The JSON of Grafana's dashboard, made from panels.py with Grafana's own library, which holds it to Grafana's schema.

python -m monitoring.dashboard      writes grafana/dashboards/distributed-dqn.json anew
"""

from __future__ import annotations

from pathlib import Path

from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.builders import prometheus, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common, dashboard

from monitoring.panels import ROWS, RUNS, Panel

FILE = Path(__file__).parent / "grafana" / "dashboards" / "distributed-dqn.json"
UID = "distributed-dqn"
_DATASOURCE = common.DataSourceRef(type_val="prometheus", uid="${datasource}")
_HEIGHT = 8


def build() -> dashboard.Dashboard:
    """The whole of it."""
    built = (
        builders.Dashboard("Distributed DQN")
        .uid(UID)
        .description("Runs of launch.py: throughput, learning, lag and waits, health. See docs/monitoring.md.")
        .tags(["distributed-dqn", "ray"])
        .time("now-30m", "now")
        .refresh("10s")
        .tooltip(dashboard.DashboardCursorSync.CROSSHAIR)
        .with_variable(builders.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
        .with_variable(_run_variable())
        .annotation(_alerts())
    )
    numbers = iter(range(1, 1000))
    for title, panels in ROWS.items():
        built.with_row(builders.Row(title).id(next(numbers)))
        for panel in panels:
            built.with_panel(_chart(panel, next(numbers)))
    return built.build()


def encode() -> str:
    """As the file holds it."""
    return JSONEncoder(sort_keys=True, indent=2).encode(build()) + "\n"


def _run_variable() -> builders.QueryVariable:
    """The runs of the time shown, newest first, as their names begin with the time."""
    return (
        builders.QueryVariable("run")
        .label("Run")
        .datasource(_DATASOURCE)
        .query({"query": RUNS, "refId": "StandardVariableQuery"})
        .refresh(dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(dashboard.VariableSort.ALPHABETICAL_DESC)
        .multi(True)
        .include_all(True)
        .all_value(".+")
        .current(dashboard.VariableOption(text=["All"], value=["$__all"], selected=True))
    )


def _alerts() -> builders.AnnotationQuery:
    """Marks on every chart while a rule of alerts.yml fires."""
    return (
        builders.AnnotationQuery()
        .name("Alerts")
        .datasource(_DATASOURCE)
        .enable(True)
        .icon_color("red")
        .expr('ALERTS{alertname=~"Dqn.+", alertstate="firing", run=~"$run"}')
    )


def _chart(panel: Panel, number: int) -> timeseries.Panel:
    chart = (
        timeseries.Panel()
        .id(number)
        .title(panel.title)
        .description(panel.description)
        .datasource(_DATASOURCE)
        .unit(panel.unit)
        .span(panel.width)
        .height(_HEIGHT)
        .line_width(1)
        .fill_opacity(0)
        .show_points(common.VisibilityMode.NEVER)
        .legend(
            common_builders.VizLegendOptions()
            .display_mode(common.LegendDisplayMode.TABLE)
            .placement(common.LegendPlacement.BOTTOM)
            .show_legend(True)
            .calcs(["lastNotNull", "mean"])
        )
        .tooltip(
            common_builders.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI).sort(common.SortOrder.DESCENDING)
        )
    )
    if panel.logarithmic:
        chart.scale_distribution(common_builders.ScaleDistributionConfig().type(common.ScaleDistribution.LOG).log(10))
    else:
        chart.axis_soft_min(0)
    for index, query in enumerate(panel.queries):
        chart.with_target(
            prometheus.Dataquery()
            .ref_id(chr(ord("A") + index))
            .datasource(_DATASOURCE)
            .expr(query.expr)
            .legend_format(query.legend)
            .range()
        )
    return chart


if __name__ == "__main__":
    FILE.write_text(encode())
