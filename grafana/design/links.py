"""Links from one dashboard to another, which keep time and variables."""

from urllib.parse import quote

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.models import dashboard as models

UIDS = {
    "overview": "Overview", "http": "HTTP", "apis": "APIs", "scraping": "Scraping", "components": "Components",
    "users": "Users", "errors": "Errors", "error": "Error", "alerts": "Alerts", "slo": "Objectives",
    "samples": "Samples", "monitoring": "Monitoring", "runbook": "Runbook",
}  # fmt: skip
"""The names of all dashboards, and their titles on buttons: platform-NAME is the uid, NAME.json the file."""


def to(name: str, /, **variables: str) -> str:
    """Return the path of a dashboard, with the time range and variables.

    Cells of a table's row are ${__data.fields.NAME}, labels of a series ${__field.labels.NAME}.
    Raises ValueError for an unknown dashboard.
    """
    if name not in UIDS:
        raise ValueError(f"link to {name}: no such dashboard, expected one of {', '.join(UIDS)}")
    given = "".join(f"&var-{key}={quote(value, safe='${}.:_')}" for key, value in variables.items())
    return f"/d/platform-{name}/{name}?${{__url_time_range}}{given}"


def keeping(name: str, *variables: str) -> str:
    """Return the path of a dashboard with the time range and these variables as they are chosen here."""
    return to(name) + "".join(f"&${{{variable}:queryparam}}" for variable in variables)


ALERTMANAGER = "Platform Alertmanager"
"""The name of the data source whose silences Grafana's own pages show; they use the name, not the uid."""


def silence(*labels: str) -> str:
    """Return the path of Grafana's form for a silence, filled with these columns of a table's row."""
    matchers = "".join(f"&matcher={label}%3D${{__data.fields.{label}:percentencode}}" for label in labels)
    return f"/alerting/silence/new?alertmanager={quote(ALERTMANAGER)}{matchers}"


def data_link(title: str, url: str) -> builders.DashboardLink:
    """Return a link from the figures of a panel: tiles, lines, bars."""
    return builders.DashboardLink(title).url(url).type(models.DashboardLinkType.LINK).target_blank(False)


def menu() -> builders.DashboardLink:
    """Return the menu of all dashboards."""
    link = builders.DashboardLink("Platform").type(models.DashboardLinkType.DASHBOARDS).tags(["platform"])
    return link.as_dropdown(True).include_vars(True).keep_time(True).icon("external link")


def button(name: str) -> builders.DashboardLink:
    """Return a button at the top that opens another dashboard with the same time and variables."""
    link = builders.DashboardLink(UIDS[name]).type(models.DashboardLinkType.LINK).url(f"/d/platform-{name}/{name}")
    return link.include_vars(True).keep_time(True).icon("dashboard")
