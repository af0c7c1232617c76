"""The queries of panels, and the data sources that answer them.

Panels take their queries in one of three forms: SQL as a string, PromQL as a mapping from legends (of tables: from
headings) to expressions, and for all else the targets that the functions here make.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

from grafana_foundation_sdk.builders import prometheus
from grafana_foundation_sdk.cog import builder as cogbuilder
from grafana_foundation_sdk.cog import runtime, variants
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models.prometheus import PromQueryFormat, QueryEditorMode


@dataclass(frozen=True)
class Source:
    """A data source, which a variable chooses among those of its kind; name and uid are of the provisioned one."""

    variable: str
    title: str
    kind: str
    name: str
    uid: str

    def reference(self) -> common.DataSourceRef:
        """Return what panels and queries name it by."""
        return common.DataSourceRef(type_val=self.kind, uid=f"${{{self.variable}}}")


_SQL = "grafana-postgresql-datasource"
SOURCES = (
    Source("datasource", "Prometheus data source", "prometheus", "Platform Prometheus", "platform-prometheus"),
    Source("postgresql", "PostgreSQL data source", _SQL, "Platform PostgreSQL", "platform-postgresql"),
    # Users, addresses and stack traces: people without access get an error in place of the panel.
    Source(
        "restricted", "PostgreSQL, with users and traces", _SQL,
        "Platform PostgreSQL, restricted", "platform-postgresql-restricted",
    ),
)  # fmt: skip
PROMETHEUS, POSTGRESQL, RESTRICTED = (source.reference() for source in SOURCES)

# Grafana lists no Alertmanager in a variable of data sources, so these two are typed: its pages go by the name, actions
# by the uid.
ALERTMANAGER = Source(
    "alertmanager", "Name of the Alertmanager", "alertmanager", "Platform Alertmanager", "platform-alertmanager"
)
ISSUES = Source("issues", "Uid of the error issues", "alertmanager", "Platform error issues", "platform-issues")

RATE_STEP = "75s"
"""The shortest step of queries with $__rate_interval, which is at least four of it: the 5 minutes that rules judge. Of
the data source's shortest step four would miss what `backfill` wrote, a sample every few minutes."""

Target = cogbuilder.Builder[variants.Dataquery]
Asked = str | Mapping[str, str] | Sequence[Target]


class Sql(variants.Dataquery, cogbuilder.Builder[variants.Dataquery]):
    """A query of Grafana's PostgreSQL data source, which the SDK does not know, and its own builder."""

    def __init__(self, data: dict[str, Any]) -> None:
        self.data = data

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Return the query that was stored."""
        return cls(data)

    def to_json(self) -> dict[str, object]:
        """Return it as Grafana stores it."""
        return self.data

    def ref_id(self, ref_id: str) -> Self:
        """Name it within its panel."""
        self.data["refId"] = ref_id
        return self

    def build(self) -> Self:
        """Return the query."""
        return self


runtime.register_dataquery_variant(runtime.DataqueryConfig(_SQL, Sql.from_json))


def series(expression: str, legend: str) -> prometheus.Dataquery:
    """Return PromQL over the time range; the legend names labels in double braces."""
    return _promql(expression).range().legend_format(legend)


def now(expression: str, legend: str = "") -> prometheus.Dataquery:
    """Return PromQL at the end of the time range, a value per series."""
    return _promql(expression).instant().legend_format(legend or "__auto")


def rows(expression: str) -> prometheus.Dataquery:
    """Return PromQL at the end of the time range as rows of a table, a column per label and one named Value."""
    return _promql(expression).instant().format(PromQueryFormat.TABLE)


def buckets(expression: str) -> prometheus.Dataquery:
    """Return a histogram's rate by `le`, for a heatmap."""
    return _promql(expression).range().format(PromQueryFormat.HEATMAP).legend_format("{{le}}").exemplar(True)


def threshold_lines(expression: str) -> prometheus.Dataquery:
    """Return the query of dashed lines, a series per severity: see grafana.queries.shared.threshold."""
    return series(expression, "{{severity}} threshold")


def sql(
    text: str, *, shape: Literal["table", "time_series"] = "table", source: common.DataSourceRef = POSTGRESQL
) -> Sql:
    """Return a query of views; as time series its columns are time, metric (text) and value."""
    query = {"datasource": source.to_json(), "editorMode": "code", "format": shape, "rawQuery": True, "rawSql": text}
    return Sql(query)


def restricted(text: str, *, shape: Literal["table", "time_series"] = "table") -> list[Target]:
    """Return a query of the views that show users, addresses and stack traces."""
    return [sql(text, shape=shape, source=RESTRICTED)]


# Views of what applications write; the others are of our own records.
_EVENTS = re.compile(
    r"\bmonitoring_(?:views|restricted)\.(?!(?:alert_notification|manual_alert|audit|sdk_ledger|release)\b)\w"
)
WITHOUT_ADOPTED = " Apps whose tables were adopted are not in it."


def left_out(found: Sequence[Target]) -> str:
    """Return the sentence that queries of events need: rows of adopted tables stay in the application's database."""
    return WITHOUT_ADOPTED if any(isinstance(one, Sql) and _EVENTS.search(one.data["rawSql"]) for one in found) else ""


def over_time(asked: Asked) -> list[Target]:
    """Return the targets of a chart."""
    if isinstance(asked, str):
        return [sql(asked, shape="time_series")]
    return [series(query, legend) for legend, query in asked.items()] if isinstance(asked, Mapping) else list(asked)


def at_end(asked: Asked) -> list[Target]:
    """Return the targets of figures at the end of the time range."""
    if isinstance(asked, str):
        return [sql(asked)]
    return [now(query, legend) for legend, query in asked.items()] if isinstance(asked, Mapping) else list(asked)


def _promql(expression: str) -> prometheus.Dataquery:
    query = prometheus.Dataquery().expr(expression).editor_mode(QueryEditorMode.CODE).datasource(PROMETHEUS)
    return query.interval(RATE_STEP) if "$__rate_interval" in expression else query
