"""The marks on all charts of a dashboard: alerts and releases."""

from grafana_foundation_sdk.builders import dashboard as builders

from grafana.design.targets import PROMETHEUS, series
from grafana.queries import shared


def alerts(expression: str = shared.GRAVE_ALERTS) -> builders.AnnotationQuery:
    """Return the marks where a grave alert fired."""
    mark = _mark("Alerts", "red", expression).title_format("{{alertname}}")
    return mark.text_format("{{severity}} {{app}} {{api}} {{scraper}} {{component}} {{name}} {{source}}").step("60s")


def releases() -> builders.AnnotationQuery:
    """Return the marks where a release of an app was first seen; the series' value is the time."""
    mark = _mark("Releases", "blue", shared.RELEASES).title_format("{{app}} {{release}}")
    return mark.text_format("First seen").use_value_for_time(True)


def _mark(name: str, color: str, expression: str) -> builders.AnnotationQuery:
    mark = builders.AnnotationQuery().name(name).datasource(PROMETHEUS).enable(True).hide(False).icon_color(color)
    return mark.target(series(expression, "").ref_id("Anno")).expr(expression)
