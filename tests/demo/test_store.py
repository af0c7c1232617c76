"""What the demo leaves in the event store: whole, once, marked, and enough of it for every dashboard."""

import re
from pathlib import Path

import pytest
import yaml
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics

from exporter.config import loader
from exporter.demo import event_history
from exporter.demo.apps import SIMULATED_APPS
from exporter.demo.platform import APPS
from exporter.exposition.families import FAMILIES, PROBE_FAMILIES
from exporter.service import Service
from platform_sdk.events import EVENTS
from tests.demo.simulated import SEED, Simulated, rows, write_past
from tests.servers import poll_until
from tools.stack import config_files
from tools.stack.state import StackState

OTHERS = {
    "counted from Alertmanager's notifications": {
        "platform_alert_notifications_total", "platform_alert_repeats_total", "platform_alert_firing_seconds_total",
        "platform_alert_time_to_resolve_seconds", "platform_alert_flaps_total", "platform_alert_noise_total",
        "platform_alert_spooled_posts",
    },
    "what probes find; the stack's servers are there to be probed": {
        family.name for family in PROBE_FAMILIES
    },
    "alerts in an application's own table: the adopted demo database has them": {"platform_open_alerts"},
    "a certificate of the exporter's own, where it has one": {
        "platform_exporter_certificate_expiry_timestamp_seconds"
    },
    "a scraping job that waits for a worker, which is over in seconds": {
        "platform_scraping_oldest_pending_timestamp_seconds"
    },
    "processes that run: those of the demo's history ended": {"platform_sdk_processes"},
    "an SDK that drops nothing": {"platform_sdk_events_dropped_total"},
    "rows that cannot be counted, and too many label sets: an application's faults": {
        "platform_exporter_rows_rejected_total", "platform_exporter_series_folded_total",
    },
    "a source that may only be read": {"platform_exporter_rows_missed_total", "platform_exporter_source_approximate"},
    "clocks that agree": {"platform_exporter_source_clock_ahead_seconds", "platform_sdk_clock_ahead_seconds"},
    "a store that went back, label sets that ended": {
        "platform_exporter_counters_went_back_total", "platform_exporter_series_ended_total",
    },
    "what a configuration names: budgets, schedules of jobs, and what depends on a component": {
        "platform_budget", "platform_dependency", *(name for name in FAMILIES if name.startswith("platform_job_")),
    },
    "what a configuration switches on: queries, watches and reconciliation": {
        *(name for name in FAMILIES if name.startswith("platform_table_")),
        "platform_exporter_query_up", "platform_exporter_query_age_seconds", "platform_exporter_query_duration_seconds",
        "platform_exporter_reconcile_difference", "platform_exporter_reconcile_success_timestamp_seconds",
    },
    "a dead man's switch, where one is configured": {
        "platform_exporter_watchdog_last_seen_timestamp_seconds", "platform_exporter_watchdog_missing",
        "platform_exporter_watchdog_last_message_successful",
    },
}  # fmt: skip

PERIOD = event_history.Period(1_795_000_000.0, 1_795_021_600.0)


def recorded(seed: int) -> list[str]:
    """Return the rows of six hours, of all apps."""
    found = []
    for app in SIMULATED_APPS:
        recorder = event_history.new_recorder(app, PERIOD, seed, 0.2)
        for _ in event_history.simulate(app, recorder, PERIOD):
            pass
        found += [row for kind in sorted(recorder.rows) for row in recorder.rows[kind]]
    return found


def test_the_same_seed_gives_the_same_past() -> None:
    """A seed and a period decide every row of a past; another seed gives another one."""
    first = recorded(SEED)

    assert recorded(SEED) == first
    assert recorded(SEED + 1) != first


def test_all_that_was_produced_is_stored(simulated: Simulated) -> None:
    """The ledger's sums are the rows in the tables, of the past and of the live part together."""
    for app in APPS:
        [(produced, stored, dropped)] = simulated.database.execute(
            "SELECT sum(produced), sum(stored), count(*) FILTER (WHERE dropped <> '{}' OR spooled <> 0) "
            "FROM monitoring.sdk_ledger WHERE app = %s",
            [app],
        )

        assert simulated.past[app] > 1000
        assert produced == stored == sum(rows(simulated.database, app).values())
        assert dropped == 0


def test_a_second_past_adds_nothing(simulated: Simulated) -> None:
    """Where an app has events, no past is added, whatever the period."""
    before = {app: rows(simulated.database, app) for app in APPS}
    longer = event_history.Period(simulated.period.begins - 86_400, simulated.period.ends)

    assert write_past(simulated.database, longer) == {}
    assert {app: rows(simulated.database, app) for app in APPS} == before


def test_everything_is_marked(simulated: Simulated) -> None:
    """Every row is of an app named demo-..., every user agent ends in `demo`, every address is for documentation."""
    for kind in EVENTS:
        query = f"SELECT DISTINCT app FROM monitoring.{kind.name}"
        assert {app for (app,) in simulated.database.execute(query)} <= set(APPS)
    agents = simulated.database.execute(
        "SELECT user_agent, host(ip) FROM monitoring.http_request UNION SELECT user_agent, host(ip) "
        "FROM monitoring.user_activity UNION SELECT user_agent, host(ip) FROM monitoring.error"
    )

    assert all(app.startswith("demo-") for app in APPS)
    assert agents
    assert all(agent is None or agent.endswith(" demo") for agent, _ in agents)
    assert all(ip is None or re.match(r"192\.0\.2\.|198\.51\.100\.|203\.0\.113\.", ip) for _, ip in agents)


def test_issues_have_lives(simulated: Simulated) -> None:
    """Of a dozen issues some are open, one is ignored, one resolved, one came back before the start, one after it."""
    issues = simulated.database.execute(
        "SELECT status, regressions, events, error_type, first_seen FROM monitoring.error_issue ORDER BY error_type"
    )
    by_type = {error_type: (status, regressions) for status, regressions, _, error_type, _ in issues}

    assert len(issues) == 12
    assert by_type["UnicodeDecodeError"] == ("ignored", 0)
    assert by_type["JSONDecodeError"] == ("resolved", 0)
    assert by_type["AttributeError"] == ("open", 1)
    assert by_type["LayoutError"] == ("open", 1)
    assert [first.timestamp() >= simulated.period.ends for *_, kind, first in issues if kind == "KeyError"] == [True]


def test_stack_traces_show_code(simulated: Simulated) -> None:
    """A trace leads to the line that failed, through causes too."""
    [(trace,)] = simulated.database.execute(
        "SELECT stack_trace FROM monitoring.error WHERE error_type = 'TimeoutError' LIMIT 1"
    )

    assert "in ask_index" in trace
    assert "raise ConnectionResetError(104" in trace
    assert "The above exception was the direct cause" in trace


def test_users_and_releases_are_many(simulated: Simulated) -> None:
    """There are users of every role, logins that failed, and a release that came after the start."""
    roles = simulated.database.execute("SELECT DISTINCT role FROM monitoring.user_activity")
    activities = simulated.database.execute("SELECT DISTINCT activity, success FROM monitoring.user_activity")
    releases = simulated.database.execute("SELECT first_seen FROM monitoring.release WHERE app = 'demo-shop'")

    assert {role for (role,) in roles} == {"customer", "editor", "admin"}
    assert {("login", True), ("login", False), ("logout", True)} <= set(activities)
    assert len(releases) >= 3


@pytest.fixture(scope="module")
def shown(simulated: Simulated, tmp_path_factory: pytest.TempPathFactory) -> dict[str, float]:
    """Return what an exporter shows of that store: full name of a family -> the sum of its series."""
    path = tmp_path_factory.mktemp("families") / "c.yml"
    path.write_text(f"database: {{dsn: '{simulated.database.dsn}'}}\n")
    exporter = Service(path, loader.load(path))
    exporter.start()
    try:
        poll_until(lambda: not exporter.not_ready())
        body, _ = exporter.render("application/openmetrics-text", None)
    finally:
        exporter.stop()
    found: dict[str, float] = {}
    for family in parse_openmetrics(body.decode()):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        for sample in family.samples:
            if not sample.name.endswith("_created"):
                found[name] = found.get(name, 0.0) + sample.value
    return found


def test_every_family_has_series(shown: dict[str, float]) -> None:
    """No family is without series, or stays at 0, but those with a reason."""
    excused = {name for names in OTHERS.values() for name in names}

    assert {name for name in FAMILIES if not shown.get(name)} - excused == set()


def test_custom_samples_are_shown(shown: dict[str, float]) -> None:
    """A counter, a gauge, a histogram and a summary of the apps' own."""
    assert {
        "platform_sample_orders_total", "platform_sample_search_index_age_seconds", "platform_sample_basket_value",
        "platform_sample_document_size_bytes",
    } <= set(shown)  # fmt: skip


def test_the_stack_schedules_jobs_that_the_demo_runs(simulated: Simulated, tmp_path: Path) -> None:
    """A job that `make up` expects, of an app or scraper that does not exist, would be missed for ever."""
    names = ("exporter", "postgres", "redis", "minio", "prometheus", "alertmanager", "grafana")
    written = yaml.safe_load(config_files.exporter(StackState(tmp_path, dict.fromkeys(names, 1))).read_text())
    known = {
        (app, kind, job)
        for kind, table in (("scraper", "scraping_run"), ("task", "background_task"))
        for app, job in simulated.database.execute(f"SELECT DISTINCT app, {kind} FROM monitoring.{table}")
    }
    kinds = [(job, "scraper" if "scraper" in job else "task") for job in written["jobs"]]
    scheduled = {(job["app"], kind, job[kind]) for job, kind in kinds}

    assert len(scheduled) == len(written["jobs"]) > 0
    assert scheduled <= known
