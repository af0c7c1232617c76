"""Counting in databases of other encodings: every letter is counted, and a text that is none rejects its row alone."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from exporter.__main__ import main
from tests.aggregation.counting import Store

WORDS = {"EUC_JP": "日本", "LATIN9": "Grün €", "WIN1252": "Grün €"}
"""A text of letters beyond ASCII that each encoding has; of the others: Grün."""

BAD = {"SQL_ASCII": "e4", "WIN1252": "81", "EUC_JP": "a2af"}
"""Bytes that each of these stores, and that are not text of UTF-8."""

only_bad = pytest.mark.parametrize("encoding", BAD, indirect=True)


def add(store: Store, route: str, app: str = "shop") -> None:
    store.execute(
        "INSERT INTO monitoring.http_request (at, app, route, status, duration_seconds, release, user_agent) "
        "VALUES (now(), %s, %s, 200, 1, '1.0', '-')",
        [app, route],
    )


def bad(encoding: str) -> str:
    """Return SQL of a text that UTF-8 cannot have."""
    return f"('ab' || convert_from('\\x{BAD[encoding]}'::bytea, '{encoding}') || 'c')"


def shown(store: Store, metric: str) -> list[tuple[str, ...]]:
    """Return the label values of a metric as a scrape has them, after two polls without a problem."""
    worker = store.worker()
    worker.poll()
    worker.poll()
    worker._disconnect()
    assert worker.view.problems == ()
    found = [tuple(total.labels.values()) for total in worker.view.totals if total.metric == metric]
    return sorted(found + [reading.labels for reading in worker.view.readings if reading.metric == metric])


def test_letters_beyond_ascii_are_counted_and_shown(store: Store, encoding: str) -> None:
    """In labels, releases and active users."""
    word = WORDS.get(encoding, "Grün")
    add(store, f"/{word}", word)

    assert {*shown(store, "platform_http_requests_total")[0]} >= {word, f"/{word}"}
    assert shown(store, "platform_release_first_seen_timestamp_seconds") == [(word, "1.0")]


@only_bad
@pytest.mark.parametrize("column", ["route", "app", "release"])
def test_a_text_that_is_none_rejects_its_row(store: Store, encoding: str, column: str) -> None:
    """Those before and after it count, at that poll and at later ones."""
    for _ in range(2):
        add(store, "/before")
        values = {"route": "'/x'", "app": "'shop'", "release": "'2'", column: bad(encoding)}
        store.execute(
            f"INSERT INTO monitoring.http_request (at, status, duration_seconds, {', '.join(values)}) "
            f"VALUES (now(), 200, 1, {', '.join(values.values())})"
        )
        add(store, "/after")
        assert {*shown(store, "platform_release_first_seen_timestamp_seconds")} <= {("shop", "1.0"), ("shop", "2")}

    assert store.value("platform_http_requests_total") == 4
    assert store.rejected() == {"malformed": 2}


@only_bad
def test_a_column_that_no_series_shows_may_hold_anything(store: Store, encoding: str) -> None:
    """A client may send any user agent: its request counts."""
    store.execute(
        "INSERT INTO monitoring.http_request (at, app, route, status, duration_seconds, user_agent) "
        f"VALUES (now(), 'shop', '/', 200, 1, {bad(encoding)})"
    )
    store.poll()

    assert (store.value("platform_http_requests_total"), store.rejected()) == (1, {})


@only_bad
def test_issues_and_exports_show_what_can_be_read(store: Store, encoding: str, tmp_path: Path) -> None:
    """An error whose message is none is rejected; one with such a stack trace is shown, as far as it can be."""
    add_error = "INSERT INTO monitoring.error (at, app, error_type, message, fingerprint, stack_trace, context) VALUES "
    store.execute(f"{add_error} (now(), 'shop', 'E', {bad(encoding)}, 'f', NULL, NULL)")
    store.execute(
        f"{add_error} (now(), 'shop', 'E', 'm', 'f', {bad(encoding)}, jsonb_build_object('k', {bad(encoding)}))"
    )
    store.poll()
    config = tmp_path / "platform-exporter.yml"
    config.write_text(json.dumps({"database": {"dsn": store.dsn}}))

    def run(*words: str) -> str:
        done = CliRunner().invoke(main, [*words, "--config", str(config)])
        assert done.exit_code == 0, done.output
        return done.stdout

    (issue,) = json.loads(run("errors", "list", "--json"))["issues"]
    assert (issue["events"], store.rejected()) == (1, {"malformed": 1})
    (found,) = json.loads(run("errors", "show", issue["id"], "--json"))["issues"]
    assert found["stack_trace"].startswith("ab?")
    for format_ in ("csv", "json", "parquet"):
        file = tmp_path / format_
        run("export", "error", "--personal", "--format", format_, "-o", str(file))
        assert b"ab?" in file.read_bytes() or format_ == "parquet"


@only_bad
def test_states_show_what_can_be_read(store: Store, encoding: str) -> None:
    """A job of such a scraper is one job."""
    store.execute(
        "INSERT INTO monitoring.scraping_job (app, job_id, scraper, status) "
        f"VALUES ('shop', '1', {bad(encoding)}, 'running')"
    )

    assert len(shown(store, "platform_scraping_jobs")) == 5


def test_labels_are_cut_between_letters(store: Store, encoding: str) -> None:
    """Where a database counts bytes, the cut leaves a text all the same, and no two series are alike."""
    word = WORDS.get(encoding, "Grün")
    for last in word:
        add(store, "/" + "x" * 198 + last + "y" * 5)

    routes = shown(store, "platform_http_requests_total")
    assert len(routes) == len(set(routes)) >= 1
    assert store.value("platform_http_requests_total") == len(word)
