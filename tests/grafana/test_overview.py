"""What the overview shows for given series, in a real Prometheus, and what comes first on a phone."""

import re
import time
from collections.abc import Mapping
from typing import Any

import pytest

from exporter.indicators import ALERTS, INDICATORS
from grafana.queries import health, matrix
from tests.grafana.boards import DASHBOARDS, every, panels
from tests.grafana.conftest import FLAGS
from tests.grafana.remote_write import write
from tests.servers import PrometheusBinaries, ServerFactory
from tools.stack.servers import Prometheus

RED, YELLOW, HEALTHY, GREY = "red", "yellow", "rgba(86, 166, 75, 0.25)", "#8e8e8e"
# A phone, in px: its height, what Grafana and the browser take of it above the first panel, a unit of the grid with its
# gap, and how much of a table its title, headings and first row are.
PHONE_PX, ABOVE_PX, UNIT_PX, FIRST_ROW_PX = 844, 380, 38, 120

Series = Mapping[str, float]


def state(app: str, indicator: str, value: float) -> Series:
    """Return the recorded state of an indicator."""
    return {f'app_indicator:platform_health:state{{app="{app}",indicator="{indicator}"}}': value}


def alert(name: str, severity: str, /, since: float = 0, **labels: str) -> Series:
    """Return what Prometheus stores of a firing alert."""
    found = {"alertname": name, "severity": severity, **labels}
    shown = ",".join(f'{label}="{value}"' for label, value in found.items())
    return {f'ALERTS{{{shown},alertstate="firing"}}': 1, f"ALERTS_FOR_STATE{{{shown}}}": since}


SHOP = {
    **state("shop", "http_latency_seconds", 2),
    **state("shop", "http_slow_ratio", 1),
    'app:platform_http_request_duration_seconds:mean5m{app="shop"}': 1.234,
    **state("shop", "http_error_ratio", 0),
    'app:platform_http_request_errors:ratio5m{app="shop"}': 0.00812,
    **state("shop", "api_success_ratio", 0),
    **state("shop", "api_forbidden_ratio", 1),
    'app_api:platform_api_call_successes:ratio5m{app="shop",api="maps"}': 0.99,
    'app_api:platform_api_call_forbidden:ratio5m{app="shop",api="maps"}': 0.01,
    'app_api:platform_api_call_forbidden:ratio5m{app="shop",api="mail"}': 0.2567,
    **state("shop", "http_requests_fall_ratio", -1),
    'app:platform_http_requests:rate5m{app="shop"}': 0.05,
    **state("shop", "login_failures", -1),
}
CRAWLER = {
    **state("crawler", "scraping_failure_ratio", 0),
    'app_scraper:platform_scraping_run_failures:ratio5m{app="crawler",scraper="news"}': 0.03,
    'app_scraper:platform_scraping_run_failures:ratio5m{app="crawler",scraper="prices"}': 0.01,
    **state("crawler", "scraping_heartbeat_age_seconds", 0),
    'platform_scraping_jobs{app="crawler",scraper="news",status="running",instance="a"}': 3,
    'platform_scraping_jobs{app="crawler",scraper="news",status="running",instance="b"}': 3,
    'platform_scraping_jobs{app="crawler",scraper="prices",status="running",instance="a"}': 1,
    **alert("PlatformJobMissed", "high", app="crawler", scraper="nightly"),
    **state("crawler", "app_silence_ratio", 2),
    'app:platform_events_idle:ratio{app="crawler"}': 7.25,
    'app:platform_events_idle:seconds{app="crawler"}': 5400,
    **state("crawler", "error_burst_factor", 0),
    'app_severity:platform_errors:rate5m{app="crawler",severity="low"}': 0.01,
    'app_severity:platform_errors:rate5m{app="crawler",severity="high"}': 0.01,
}
WORKER = {
    **state("worker", "app_silence_ratio", 0),
    'app:platform_events_idle:seconds{app="worker"}': 5400,
    **state("worker", "api_quota_seconds", 1),
    'app_api:platform_api_quota_seconds:predicted{app="worker",api="maps"}': 1500,
    'app_slo:platform_slo_error_budget:remaining30d{app="worker",slo="http_latency"}': 0.75,
    'app_slo:platform_slo_error_budget:remaining30d{app="worker",slo="scraping_success"}': -91,
}
ARCHIVE = state("archive", "http_latency_seconds", 0)


class Shown:
    """A Prometheus with some series, and what the overview shows of them."""

    def __init__(self, server: Prometheus, *given: Series) -> None:
        self._server, self._at = server, time.time()
        stamp = round(self._at * 1000) - 1000
        together = {name: value for one in given for name, value in one.items()}
        write(server.url, [(_labels(series), [(stamp, value)]) for series, value in together.items()])

    def ask(self, promql: str) -> list[dict[str, Any]]:
        """Return the result of a query with all apps chosen."""
        found: list[dict[str, Any]] = self._server.query(promql.replace("$app", ".*"), at=self._at)
        return found

    def cells(self, app: str) -> dict[str, tuple[str, str]]:
        """Return text and colour of an app's cells, by the column's heading; without those that show nothing."""
        found = {}
        for column in matrix.COLUMNS:
            for series in self.ask(column.query()):
                if series["metric"]["app"] == app:
                    assert column.heading not in found, "a cell has one value"
                    found[column.heading] = _shown(column.label, series["metric"][column.label])
        return found


def _labels(series: str) -> dict[str, str]:
    name, _, labels = series.partition("{")
    return {"__name__": name, **dict(re.findall(r'(\w+)="([^"]*)"', labels))}


def _shown(column: str, value: str) -> tuple[str, str]:
    """Return what Grafana makes of a cell: the first of the column's mappings whose pattern it matches."""
    for mapping in _override("Apps", column)["mappings"]:
        result = mapping["options"]["result"]
        if match := re.match(mapping["options"].get("pattern", "never$"), value):
            text = match.expand(result["text"].replace("$", "\\"))
            return text.replace("\u00a0", " ").strip(), result["color"]
    raise AssertionError(f"{value!r} has no mapping")


def _panel(title: str) -> dict[str, Any]:
    [found] = [panel for panel in panels(DASHBOARDS["overview"]) if panel["title"] == title]
    return found


def _override(title: str, column: str) -> dict[str, Any]:
    overrides = _panel(title)["fieldConfig"]["overrides"]
    [found] = [one for one in overrides if one["matcher"] == {"id": "byName", "options": column}]
    return {one["id"]: one["value"] for one in found["properties"]}


@pytest.fixture(scope="module")
def shown(session_servers: ServerFactory) -> Shown:
    """Return four apps of different kinds, and what is wrong with them."""
    binary = PrometheusBinaries.of("stable").prometheus
    server = session_servers.start(Prometheus, name="overview", binary=binary, flags=FLAGS)
    return Shown(
        server,
        *(SHOP, CRAWLER, WORKER, ARCHIVE),
        alert("PlatformHttpLatencyHigh", "critical", 1_700_000_000, app="shop", indicator="http_latency_seconds"),
        alert("PlatformComponentDown", "critical", 1_700_000_060, component="redis", name="main"),
        alert("PlatformApiForbidden", "medium", app="shop", api="mail", indicator="api_forbidden_ratio"),
        alert("PlatformAlertEnded", "low", app="shop", ended="PlatformHttpErrorsHigh"),
        alert("PlatformWatchdog", "none"),
    )


def test_a_cell_says_what_is_wrong(shown: Shown) -> None:
    """It has the colour of the worst indicator and its figure, of the worst API; its name where it is not the usual."""
    cells = shown.cells("shop")

    assert cells["Response time"] == ("1.2 s", RED)
    assert cells["External APIs"] == ("Bans 25.7 %", YELLOW)
    assert shown.cells("crawler")["Traffic"] == ("Silent 7.3x", RED)
    assert shown.cells("worker")["External APIs"] == ("Quotas 25 min", YELLOW)


def test_a_healthy_cell_shows_the_usual_figure(shown: Shown) -> None:
    """Each replica's jobs count once; what has no figure is at least said to be healthy."""
    assert shown.cells("shop")["Errors"] == ("0.8 %", HEALTHY)
    assert shown.cells("crawler")["Scraping"] == ("3 % fail", HEALTHY)
    assert shown.cells("crawler")["Errors"] == ("1.2/min", HEALTHY)
    assert shown.cells("worker")["Traffic"] == ("90 min ago", HEALTHY)
    assert shown.cells("archive")["Response time"] == ("OK", HEALTHY)


def test_unknown_is_grey(shown: Shown) -> None:
    """Too few events say nothing: the figure is shown where there is one, and is not a health score."""
    cells = shown.cells("shop")

    assert cells["Traffic"] == ("3/min", GREY)
    assert cells["Users"] == ("Unknown", GREY)


def test_alerts_without_a_state_count_too(shown: Shown) -> None:
    """A job that did not run and a budget that is used up are not an indicator's."""
    assert shown.cells("crawler")["Jobs"] == ("Missed", YELLOW)
    assert shown.cells("worker")["Error budget"] == ("0 % left", YELLOW)


def test_what_an_app_does_not_do_is_empty(shown: Shown) -> None:
    """A crawler serves no requests, calls no APIs, has no users: there is no cell, and the panel shows none."""
    assert shown.cells("crawler").keys() == {"Traffic", "Errors", "Scraping", "Jobs"}
    assert shown.cells("archive").keys() == {"Response time"}


def test_the_worst_app_is_first(shown: Shown) -> None:
    """One critical state outweighs all warnings; then two warnings one; what is healthy or unknown comes last."""
    found = {one["metric"]["app"]: float(one["value"][1]) for one in shown.ask(matrix.worst())}

    assert sorted(found, key=lambda app: -found[app]) == ["shop", "crawler", "worker", "archive"]
    assert found["crawler"] == 128 + 1
    sorts = [one["options"]["sort"] for one in _panel("Apps")["transformations"] if one["id"] == "sortBy"]
    last = chr(ord("A") + len(matrix.COLUMNS))
    assert _panel("Apps")["targets"][-1]["expr"] == matrix.worst()
    assert sorts == [[{"field": "app", "desc": False}], [{"field": f"Value #{last} (lastNotNull)", "desc": True}]]


def test_firing_alerts_have_subject_and_place(shown: Shown) -> None:
    """What mutes, or says that something is over, has no row; each row knows its dashboard, and which app to choose."""
    rows = {one["metric"]["alertname"]: (one["metric"], one["value"][1]) for one in shown.ask(health.firing_alerts())}

    assert rows.keys() == {
        *("PlatformHttpLatencyHigh", "PlatformComponentDown", "PlatformApiForbidden", "PlatformJobMissed")
    }
    places = {name: (" ".join(one["subject"].split()), one["board"], one["chosen"]) for name, (one, _) in rows.items()}
    assert places["PlatformHttpLatencyHigh"] == ("shop", "http", "shop")
    assert places["PlatformApiForbidden"] == ("shop mail", "apis", "shop")
    assert places["PlatformComponentDown"] == ("redis main", "components", "$__all")
    assert rows["PlatformComponentDown"][1] == "1700000060000"
    assert {name: one["rank"] for name, (one, _) in rows.items()} == {
        "PlatformHttpLatencyHigh": "4",
        "PlatformComponentDown": "4",
        "PlatformJobMissed": "3",
        "PlatformApiForbidden": "2",
    }


def test_every_alert_has_a_sentence_and_a_dashboard() -> None:
    """The sentence is the first of its entry in the runbook."""
    names = {name for found in health.boards().values() for name in found}

    assert names <= set(health.meanings())
    [mapping] = _override("Firing alerts", "meaning")["mappings"]
    assert {name: one["text"] for name, one in mapping["options"].items()} == health.meanings()
    assert max(map(len, health.meanings().values())) < 100, "two lines of the table"


def test_every_indicator_of_an_app_has_a_column() -> None:
    """A new indicator or alert about apps is in the matrix, by what it declares."""
    declared = {one.name for one in INDICATORS.values() if "app" in one.scope.labels}
    declared |= {one.name for one in ALERTS.values() if "app" in one.labels}
    placed = [one.name for column in matrix.COLUMNS for one in (*column.indicators, *column.alerts)]

    assert sorted(placed) == sorted(declared)


def test_the_first_alert_is_on_a_phones_first_screen() -> None:
    """Panels stand below each other there, in the order of their places."""
    placed = sorted(panels(DASHBOARDS["overview"]), key=lambda one: (one["gridPos"]["y"], one["gridPos"]["x"]))
    titles = [panel["title"] for panel in placed]
    above = placed[: titles.index("Firing alerts")]
    height = ABOVE_PX + sum(panel["gridPos"]["h"] * UNIT_PX for panel in above) + FIRST_ROW_PX

    assert height <= PHONE_PX, titles
    assert titles[len(above) + 1] == "Apps"


def test_one_screen_shows_state_alerts_and_the_worst_apps() -> None:
    """At 1366 x 768 px some 16 units of the grid are visible: at least the matrix's headings and two apps."""
    assert _panel("Apps")["gridPos"]["y"] <= 12


def test_every_cell_opens_a_dashboard_of_its_app() -> None:
    """Each column of the matrix leads to its subject."""
    for column in matrix.COLUMNS:
        [url] = every(_override("Apps", column.label)["links"], "url")
        assert url.startswith(f"/d/platform-{column.board}/{column.board}?")
        assert url.endswith("&var-app=${__data.fields.app:percentencode}")


def test_all_apps_need_no_list_of_apps() -> None:
    """Without an exporter no counter names an app, and alerts of apps still fire: a list would be empty."""
    [app] = [one for one in DASHBOARDS["overview"]["templating"]["list"] if one["name"] == "app"]

    assert app["allValue"] == ".*"


def test_the_number_of_alerts_is_that_of_the_rows(shown: Shown) -> None:
    """The tile counts what the table lists, of the same apps."""
    counted = {
        severity: shown.ask(health.firing(severity, of_chosen=True))[0]["value"][1]
        for severity in ("critical", "high", "medium", "low")
    }

    assert counted == {"critical": "2", "high": "1", "medium": "1", "low": "0"}
