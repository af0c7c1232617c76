"""The whole chain on real servers: tables, exporter, Prometheus, Alertmanager, receiver, as `make up` starts them."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.end_to_end.stack import DOWN, RunningStack
from tools.stack import status
from tools.stack.checkout import CHECKOUT
from tools.stack.pidfile import descendants, identity_of
from tools.stack.process import poll_until
from tools.stack.servers.accounts import for_others, unprivileged

# Until it happens, not how fast: that is measured by the drills.
DEADLINE_SECONDS = 240

# (database, what Prometheus says by label, what plain SQL says)
COUNTERS = {
    "api calls": (
        "scitex",
        'sum by (api) (platform_api_calls_total{app="scitex"})',
        "select api_name, count(*) from monitoring_app_apiusagemetric group by 1",
    ),
    "api call failures": (
        "scitex",
        'sum by (api) (platform_api_call_failures_total{app="scitex"})',
        "select api_name, count(*) filter (where not success) from monitoring_app_apiusagemetric group by 1",
    ),
    "api call seconds": (
        "scitex",
        'sum by (api) (platform_api_call_duration_seconds_sum{app="scitex"})',
        "select api_name, sum(response_time) / 1000 from monitoring_app_apiusagemetric group by 1",
    ),
    "http requests": (
        "scitex",
        'sum by (code) (platform_http_requests_total{app="scitex"})',
        "select status_code::text, count(*) from monitoring_app_systemmetric group by 1",
    ),
    "errors": (
        "scitex",
        'sum by (severity) (platform_errors_total{app="scitex"})',
        "select severity, count(*) from monitoring_app_errorlog group by 1",
    ),
    "scitex activity": (
        "scitex",
        'sum by (activity) (platform_user_activity_total{app="scitex"})',
        "select activity_type, count(*) from monitoring_app_useractivity group by 1",
    ),
    "scraping runs": (
        "stratlogic",
        'sum by (scraper) (platform_scraping_runs_total{app="stratlogic"})',
        "select scraper_type, count(*) from scraping_metrics group by 1",
    ),
    "scraping run failures": (
        "stratlogic",
        'sum by (scraper) (platform_scraping_run_failures_total{app="stratlogic"})',
        "select scraper_type, count(*) filter (where success = 0) from scraping_metrics group by 1",
    ),
    "scraping items": (
        "stratlogic",
        'sum by (scraper) (platform_scraping_items_total{app="stratlogic"})',
        "select scraper_type, sum(items_processed) from scraping_metrics group by 1",
    ),
    "scraping run durations": (
        "stratlogic",
        'sum by (scraper) (platform_scraping_run_duration_seconds_count{app="stratlogic"})',
        "select scraper_type, count(duration_ms) from scraping_metrics group by 1",
    ),
    "running jobs": (
        "stratlogic",
        'sum by (scraper) (platform_scraping_jobs{app="stratlogic", status="running"})',
        "select replace(job_type, '_scraper', ''), count(*) from scraping_jobs where status = 'running' group by 1",
    ),
    "stratlogic activity": (
        "stratlogic",
        'sum by (activity) (platform_user_activity_total{app="stratlogic"})',
        "select activity_type, count(*) from user_activity group by 1",
    ),
}


@pytest.fixture
def quiet(stack: RunningStack) -> Iterator[RunningStack]:
    """Return the stack with the demo's traffic frozen, so that its tables stand still."""
    traffic = stack.process("traffic")
    traffic.freeze()
    yield stack
    traffic.thaw()


def test_prometheus_holds_what_plain_sql_counts(quiet: RunningStack) -> None:
    """Counters in Prometheus come to equal, label by label, what plain SQL says of both databases."""
    for what, (database, promql, query) in COUNTERS.items():
        expected = {label: pytest.approx(float(value)) for label, value in quiet.sql(database, query)}

        def stored(promql: str = promql) -> dict[str, float]:
            samples = quiet.prometheus(promql)
            return {next(iter(sample["metric"].values())): float(sample["value"][1]) for sample in samples}

        def equal(expected: dict[str, object] = expected, stored: Callable[[], object] = stored) -> bool:
            return stored() == expected

        poll_until(equal, DEADLINE_SECONDS, interval_seconds=0.5, what=f"{what} in Prometheus: {expected}")


def test_a_dead_dependency_is_told_and_its_return_too(stack: RunningStack) -> None:
    """Redis killed: PlatformComponentDown arrives as critical; Redis back: it arrives as resolved."""
    killed_at = time.time()
    stack.process("redis").kill()
    poll_until(
        lambda: stack.notified(DOWN, "firing", killed_at, component="redis", severity="critical"),
        DEADLINE_SECONDS,
        interval_seconds=0.2,
        what="the notification that Redis is down",
    )

    back_at = time.time()
    output = stack.up()

    assert "Redis" in output
    assert "PostgreSQL    " not in output.split("Everything")[0], "only what was missing is started"
    poll_until(
        lambda: stack.notified(DOWN, "resolved", back_at, component="redis"),
        DEADLINE_SECONDS,
        interval_seconds=0.2,
        what="the notification that Redis is back",
    )


def test_the_breach_fires_and_is_told(stack: RunningStack) -> None:
    """The demo's incident crosses the critical threshold: it fires in Prometheus and arrives at the receiver."""
    began = status.traffic_began_at(stack.state)
    poll_until(
        lambda: status.firing(stack.state), DEADLINE_SECONDS, interval_seconds=0.5, what="the breach in Prometheus"
    )
    poll_until(
        lambda: stack.notified(status.ALERT, "firing", began, app="scitex", severity="critical"),
        DEADLINE_SECONDS,
        interval_seconds=0.5,
        what="the notification of the breach",
    )


def test_the_rest_of_the_platform_is_well(stack: RunningStack) -> None:
    """No threshold but that of the incident is breached, and nothing of the monitoring itself fails.

    The simulated platform has incidents of its own and is left out.
    """
    firing = stack.prometheus(
        'ALERTS{alertstate="firing", severity!="none", alertname!="PlatformOpenAlerts", app!~"demo-.*"}'
    )
    names = {alert["metric"]["alertname"] for alert in firing}

    assert names <= {status.ALERT, DOWN}  # the latter is kept firing for a while after Redis is back


def test_doctor_finds_all_well(stack: RunningStack) -> None:
    """`doctor` with the configuration that `up` wrote exits 0."""
    doctor = stack.exporter("doctor")

    assert doctor.returncode == 0, doctor.stdout + doctor.stderr
    assert not {"FAIL", "to do"} & {line[:5].strip() for line in doctor.stdout.splitlines()}


def test_a_second_up_starts_nothing(stack: RunningStack) -> None:
    """`up` where all runs leaves every process as it is."""
    before = stack.pids()

    output = stack.up()

    assert "Everything runs already" in output
    assert stack.pids() == before


def test_status_says_what_runs(stack: RunningStack) -> None:
    """`status` exits 0 and shows both databases as Prometheus has them."""
    output = stack.run("status")

    assert "DOWN" not in output
    assert "stored by Prometheus   stratlogic" in output


def test_secrets_are_their_owners_only(stack: RunningStack) -> None:
    """Whatever holds a password is closed to others, and no command line shows one."""
    passwords = {path.read_text() for path in stack.folder.glob("secrets/*")}
    passwords |= {(stack.folder / name).read_text() for name in ("postgres.password", "minio.secret")}
    files = [path for path in stack.folder.glob("*") if path.is_file()]
    files += [path for path in stack.folder.glob("config/**/*") if path.is_file()]
    with_secret = [path for path in files if any(word in path.read_text(errors="replace") for word in passwords)]
    commands = [Path(f"/proc/{pid}/cmdline").read_text() for pid in stack.pids().values()]

    assert len(passwords) == 11
    assert {path.stat().st_mode & 0o077 for path in with_secret} == {0}
    assert not [line for line in commands if any(word in line for word in passwords)]


def test_no_server_runs_as_root_that_need_not(stack: RunningStack) -> None:
    """Where we are root, each runs as someone else, if that one can enter all that it needs, and its folder is its."""
    reached = {
        name: for_others((Path(f"/proc/{pid}/exe").resolve(), stack.folder, CHECKOUT))[0]
        for name, pid in stack.pids().items()
    } | {"postgres": unprivileged()}
    expected = {name: account.user if account else os.geteuid() for name, account in reached.items()}
    users = {name: os.stat(f"/proc/{pid}").st_uid for name, pid in stack.pids().items()}
    folders = {name: (stack.folder / name).stat() for name in expected}

    assert users == expected
    assert {name: folder.st_uid for name, folder in folders.items()} == expected
    assert {folder.st_mode & 0o777 for folder in folders.values()} == {0o700}


def test_down_leaves_no_process_and_up_loses_no_count(stack: RunningStack) -> None:
    """`down` ends every process it started and what descends from them; counts go on from where they were."""
    processes = [identity for pid in stack.pids().values() if (identity := identity_of(pid))]
    tree = [*processes, *(child for process in processes for child in descendants(process.pid))]
    counted = _total(stack)

    stack.run("down")

    assert len(processes) == 9
    assert [member for member in tree if member.exists] == []
    assert list(stack.folder.glob("*.pid")) == []

    stack.up()
    poll_until(lambda: status.stored(stack.state), DEADLINE_SECONDS, what="a scrape after the restart")

    assert _total(stack) >= counted


def _total(stack: RunningStack) -> float:
    return float(stack.prometheus("sum(platform_exporter_events_total)")[0]["value"][1])
