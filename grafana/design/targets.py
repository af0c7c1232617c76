"""Ask the data sources: queries of panels, and what they are asked of."""

from typing import Any, Literal, Self

from grafana_foundation_sdk.builders import prometheus
from grafana_foundation_sdk.cog import builder as cogbuilder
from grafana_foundation_sdk.cog import runtime, variants
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models.prometheus import PromQueryFormat, QueryEditorMode

PROMETHEUS = common.DataSourceRef(type_val="prometheus", uid="platform-prometheus")
POSTGRESQL = common.DataSourceRef(type_val="grafana-postgresql-datasource", uid="platform-postgresql")
# Users, addresses and stack traces: whoever may not see them gets an error in place of the panel.
RESTRICTED = common.DataSourceRef(type_val="grafana-postgresql-datasource", uid="platform-postgresql-restricted")
ALERTMANAGER = common.DataSourceRef(type_val="alertmanager", uid="platform-alertmanager")

Target = cogbuilder.Builder[variants.Dataquery]


class SqlQuery(variants.Dataquery):
    """Hold one query of Grafana's PostgreSQL data source, of which the SDK knows nothing."""

    def __init__(self, data: dict[str, Any]) -> None:
        self.data = data

    def to_json(self) -> dict[str, object]:
        """Return it as Grafana stores it."""
        return self.data

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Return the query that was stored."""
        return cls(data)


runtime.register_dataquery_variant(runtime.DataqueryConfig("grafana-postgresql-datasource", SqlQuery.from_json))


class SqlBuilder(cogbuilder.Builder[variants.Dataquery]):
    """Build a query of SQL as the SDK's builders do theirs."""

    def __init__(self, source: common.DataSourceRef, sql: str, shape: str) -> None:
        self._data: dict[str, Any] = {
            "datasource": source.to_json(),
            "editorMode": "code",
            "format": shape,
            "rawQuery": True,
            "rawSql": sql,
        }

    def ref_id(self, ref_id: str) -> Self:
        """Name it within its panel."""
        self._data["refId"] = ref_id
        return self

    def build(self) -> SqlQuery:
        """Return the query."""
        return SqlQuery(self._data)


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
    """Return a histogram's rate by `le`, as heatmaps want it."""
    return _promql(expression).range().format(PromQueryFormat.HEATMAP).legend_format("{{le}}")


def threshold_lines(expression: str) -> prometheus.Dataquery:
    """Return the query of dashed lines, a series per severity: see grafana.queries.shared.threshold."""
    return series(expression, "{{severity}} threshold")


def sql(
    text: str, *, shape: Literal["table", "time_series"] = "table", source: common.DataSourceRef = POSTGRESQL
) -> SqlBuilder:
    """Return a query of views; as time series its columns are time, metric (text) and value."""
    return SqlBuilder(source, text, shape)


def _promql(expression: str) -> prometheus.Dataquery:
    return prometheus.Dataquery().expr(expression).editor_mode(QueryEditorMode.CODE).datasource(PROMETHEUS)
