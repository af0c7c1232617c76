"""Values in another case or spelling: those that can mean one thing only are understood, the others are reported."""

import pytest

from exporter.aggregation.gauges import read_state
from exporter.database.connection import connect
from exporter.sources.mapping import Relation, StateTable
from platform_sdk.events import EVENTS, spellings
from tests.aggregation.counting import Store, settings
from tests.servers import Database


@pytest.fixture
def store(store_database: Database) -> Store:
    return Store(store_database.dsn)


def add_calls(store: Store, *outcomes: str, reason: str | None = None) -> None:
    for outcome in outcomes:
        store.execute(
            "INSERT INTO monitoring.api_call (at, app, api, outcome, reason, duration_seconds) "
            "VALUES (now(), 'shop', 'x', %s, %s, 1)",
            [outcome, reason],
        )


def unknown(store: Store) -> list[tuple[object, ...]]:
    return store.execute("SELECT stream, name, example, rows FROM monitoring.unknown_value ORDER BY 1, 2")


def test_outcomes_are_understood(store: Store) -> None:
    """A success is never a failure because of its spelling, nor the other way round."""
    add_calls(store, "success", "SUCCESS", " Ok ", "Completed", "true")
    add_calls(store, "failure", "FAILED", "Error", "timed out", "Client-Error")
    store.poll()

    assert store.value("platform_api_calls_total") == 10
    assert store.value("platform_api_call_failures_total") == 5
    assert (store.rejected(), unknown(store)) == ({}, [])


def test_an_outcome_that_is_not_understood_is_rejected_with_an_example(store: Store) -> None:
    """By reason, with the value; of what may be anything only the length is kept."""
    add_calls(store, "success", "finished", "finished")
    store.poll()
    assert (store.value("platform_api_calls_total"), store.rejected()) == (1, {"unknown_value": 2})
    assert unknown(store) == [("api_call", "outcome", "finished", 2)]

    add_calls(store, "token=hunter2")
    store.poll()
    store.poll()
    assert unknown(store) == [("api_call", "outcome", "13 characters", 3)]
    assert store.value("platform_api_call_failures_total") is None


def test_reasons_and_severities_are_understood_or_other(store: Store) -> None:
    """What is not keeps its row, and an example."""
    add_calls(store, "failure", reason="Rate Limit")
    add_calls(store, "failure", reason="moon phase")
    for severity in ("FATAL", "warning", "ERROR", "Information", "P1"):
        store.execute(
            "INSERT INTO monitoring.error (at, app, severity, error_type) VALUES (now(), 'shop', %s, 'E')", [severity]
        )
    store.poll()

    assert store.value("platform_api_call_failures_total", reason="rate_limited") == 1
    assert store.value("platform_api_call_failures_total", reason="other") == 1
    counted = {key[2]: value for key, value in store.series("platform_errors_total").items()}
    assert counted == {"critical": 1, "medium": 1, "high": 1, "low": 1, "other": 1}
    assert unknown(store) == [("api_call", "reason", "moon phase", 1), ("error", "severity", "P1", 1)]


def test_views_show_what_is_counted(store: Store) -> None:
    """Dashboards of rows and of series agree."""
    add_calls(store, "SUCCESS", "odd")

    assert store.execute("SELECT outcome FROM monitoring_views.api_call ORDER BY 1") == [("odd",), ("success",)]


def test_states_are_understood(store: Store) -> None:
    """A job and an issue of another system's words; what is not understood is `other`, and open."""
    store.execute("CREATE TABLE public.job (status text, done text)")
    done = {"Done": "Closed", "odd": "Resolved "}
    for status in ("QUEUED", "In Progress", "Done", "ERROR", "canceled", "odd", None):
        store.execute("INSERT INTO public.job VALUES (%s, %s)", [status, done.get(str(status))])
    now = dict.fromkeys(("created_at", "heartbeat_at", "progressed_at"), "now()")
    jobs = {"scraper": "'s'", "status": "t.status", **now}
    issues = {"severity": "'WARN'", "fingerprint": "coalesce(t.status, '')", "resolved": "t.done"}
    with connect(settings(store.dsn), "test") as connection:
        counts, found = (
            {reading.labels[-1]: reading.value for reading in read_state(connection, state) if len(reading.labels) == 3}
            for state in (
                StateTable("scraping_jobs", Relation("public.job"), jobs, "'a'"),
                StateTable("error_issues", Relation("public.job"), issues, "'a'"),
            )
        )

    assert counts == {"pending": 1, "running": 1, "completed": 1, "failed": 1, "cancelled": 1, "other": 2}
    assert found == {"open": 5, "resolved": 2, "ignored": 0}


def test_a_spelling_means_one_value() -> None:
    """No word is in two lists, none is spelled so that it could never be found."""
    for column in (column for kind in EVENTS for column in kind.columns if column.values):
        words = [word for value in column.values for word in (value.lower(), *column.spellings.get(value, ()))]
        assert len(set(words)) == len(words)
        assert [word for word in words if word != word.lower().replace(" ", "_").replace("-", "_")] == []


@pytest.mark.parametrize("words", [spellings.JOBS, spellings.ISSUES])
def test_a_spelling_of_a_state_means_one_value(words: dict[str, tuple[str, ...]]) -> None:
    """The same of states."""
    found = [word for value, others in words.items() for word in (value, *others)]
    assert len(set(found)) == len(found)
