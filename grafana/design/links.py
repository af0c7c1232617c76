"""Links from one dashboard to another, which keep time and variables."""

from urllib.parse import quote

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.models import dashboard as models

from grafana.design.targets import ALERTMANAGER, ISSUES, SOURCES

UIDS = {
    "overview": "Overview", "alerts": "Alerts", "errors": "Errors", "error": "Error", "http": "HTTP", "apis": "APIs",
    "scraping": "Scraping", "users": "Users", "components": "Components", "slo": "Objectives", "samples": "Samples",
    "monitoring": "Monitoring", "runbook": "Runbook",
}  # fmt: skip
"""The names of all dashboards, and their titles, in the order of use: platform-NAME is the uid, NAME.json the file."""

# An issue's own page is opened from a row of one, and shows nothing without.
MENU = [name for name in UIDS if name != "error"]


# What every dashboard has, so that a link keeps it.
_DATA_SOURCES = "".join(f"&${{{source.variable}:queryparam}}" for source in (*SOURCES, ALERTMANAGER, ISSUES))


def to(name: str, /, **variables: str) -> str:
    """Return the path of a dashboard, with the time range, the data sources and variables.

    Cells of a table's row are ${__data.fields.NAME}, labels of a series ${__field.labels.NAME}.
    The name may be a cell too. Raises ValueError for an unknown dashboard.
    """
    if name not in UIDS and not name.startswith("${"):
        raise ValueError(f"link to {name}: no such dashboard, expected one of {', '.join(UIDS)}")
    given = "".join(f"&var-{key}={quote(value, safe='${}.:_')}" for key, value in variables.items())
    return f"/d/platform-{name}/{name}?${{__url_time_range}}{_DATA_SOURCES}{given}"


def keeping(name: str, *variables: str) -> str:
    """Return the path of a dashboard with the time range and these variables as they are chosen here."""
    return to(name) + "".join(f"&${{{variable}:queryparam}}" for variable in variables)


RUNBOOK = ("Runbook", to("runbook", alert="${__data.fields.alertname:percentencode}"))
"""The title and path of the entry of a row's alert in the runbook."""


def silence(*labels: str) -> str:
    """Return the path of Grafana's form for a silence, filled with these columns of a table's row."""
    matchers = "".join(f"&matcher={label}%3D${{__data.fields.{label}:percentencode}}" for label in labels)
    return f"/alerting/silence/new?alertmanager=${{{ALERTMANAGER.variable}:percentencode}}{matchers}"


def data_link(title: str, url: str) -> builders.DashboardLink:
    """Return a link from the figures of a panel: tiles, lines, bars."""
    return builders.DashboardLink(title).url(url).type(models.DashboardLinkType.LINK).target_blank(False)


def menu() -> list[builders.DashboardLink]:
    """Return the links at the top of every dashboard, which keep time and variables."""
    found = [builders.DashboardLink(UIDS[name]).url(f"/d/platform-{name}/{name}") for name in MENU]
    return [link.type(models.DashboardLinkType.LINK).include_vars(True).keep_time(True).icon("") for link in found]
