"""Of each bucket of a histogram the newest event that names a sampled trace: found by the poll that counts it."""

from typing import Any

import pytest

from exporter.aggregation import exemplars
from exporter.aggregation.series import Exemplar, read_totals
from exporter.config.settings import Limits
from tests.aggregation.counting import Store

METRIC = "platform_http_request_duration_seconds"


def trace(number: int) -> str:
    return f"{number:032x}"


def serve(store: Store, *rows: tuple[str | None, float], route: str = "/", ago: str = "0 s", **more: Any) -> None:
    """Insert requests of (trace id, duration), each a second after the one before, in one transaction."""
    values = {"status": 200, "trace_sampled": None, "first_byte_seconds": None, **more}
    names = ", ".join(values)
    with store.connect() as connection, connection.transaction():
        for number, (trace_id, seconds) in enumerate(rows):
            connection.execute(
                f"INSERT INTO monitoring.http_request (at, app, route, trace_id, duration_seconds, {names}) VALUES "
                f"(now() - %s::interval - %s * interval '1 s', 'shop', %s, %s, %s{', %s' * len(values)})".encode(),
                [ago, len(rows) - number, route, trace_id, seconds, *values.values()],
            )


def shown(store: Store, metric: str = METRIC, **labels: str) -> dict[int, tuple[str, float]]:
    """Return trace id and value by the bucket's place, of the only series with these labels."""
    with store.connect() as connection:
        totals = read_totals(connection, store.plan)
    (only,) = (one for one in totals if one.metric == metric and labels.items() <= one.labels.items())
    return {place: (exemplar.trace_id, exemplar.value) for place, exemplar in (only.exemplars or {}).items()}


def test_the_newest_of_each_bucket(store: Store) -> None:
    """A bucket's place is that of the first bound which is not below the value; the last has no bound."""
    serve(store, (trace(1), 0.005), (trace(2), 0.001), (trace(3), 0.0051), (trace(4), 10.0), (trace(5), 99.0))
    store.poll()

    assert shown(store) == {0: (trace(2), 0.001), 1: (trace(3), 0.0051), 10: (trace(4), 10.0), 11: (trace(5), 99.0)}


def test_each_series_has_its_own(store: Store) -> None:
    """And shares them with no other."""
    serve(store, (trace(1), 0.02), route="/a")
    serve(store, (trace(2), 0.02), route="/b")
    store.poll()

    assert (shown(store, route="/a"), shown(store, route="/b")) == ({2: (trace(1), 0.02)}, {2: (trace(2), 0.02)})


def test_calls_have_exemplars(store: Store) -> None:
    """So do calls to external APIs."""
    store.execute(
        "INSERT INTO monitoring.api_call (at, app, api, outcome, duration_seconds, trace_id) "
        "VALUES (now(), 'shop', 'arxiv', 'success', 0.3, %s)",
        [trace(1)],
    )
    store.poll()

    assert shown(store, "platform_api_call_duration_seconds") == {3: (trace(1), 0.3)}


def test_a_stream_is_in_the_bucket_of_its_first_byte(store: Store) -> None:
    """As it is counted there."""
    serve(store, (trace(1), 3.0), first_byte_seconds=0.02)
    store.poll()

    assert shown(store) == {2: (trace(1), 0.02)}


def test_later_polls_replace_and_keep(store: Store) -> None:
    """A bucket without a newer one keeps what it has, and so does one whose newly visible event is older."""
    serve(store, (trace(1), 0.001), (trace(2), 0.02), (trace(3), 3.0))
    store.poll()
    serve(store, (trace(4), 0.02))
    serve(store, (trace(5), 3.0), ago="1 hour")
    store.poll()

    assert shown(store) == {0: (trace(1), 0.001), 2: (trace(4), 0.02), 9: (trace(3), 3.0)}


@pytest.mark.parametrize("trace_id", [None, "", "a b", 'x"y', "ü" * 32, "a" * 65, "x\ny"])
def test_what_is_no_trace_id(store: Store, trace_id: str | None) -> None:
    """Any program may write rows: the labels of an exemplar have 128 characters at most."""
    serve(store, (trace_id, 0.02))
    store.poll()

    assert shown(store) == {}


def test_a_trace_that_nobody_keeps(store: Store) -> None:
    """Of one that is not sampled there is nothing to be found."""
    serve(store, (trace(1), 0.02), trace_sampled=True)
    serve(store, (trace(2), 0.02), trace_sampled=False)
    store.poll()

    assert shown(store) == {2: (trace(1), 0.02)}


def test_a_rejected_row_is_none(store: Store) -> None:
    """It is in no bucket."""
    serve(store, (trace(1), 0.02))
    serve(store, (trace(2), -1.0), (trace(3), float("nan")))
    serve(store, (trace(4), 0.02), ago="-1 day")
    store.poll()

    assert shown(store) == {2: (trace(1), 0.02)}


def test_only_the_newest_rows_are_looked_at(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the cost of a poll is bounded, whatever it finds."""
    monkeypatch.setattr(exemplars, "NEWEST_ROWS", 2)
    serve(store, (trace(1), 0.001))
    serve(store, (trace(2), 0.02))
    serve(store, (trace(3), 3.0))
    store.poll()

    assert shown(store) == {2: (trace(2), 0.02), 9: (trace(3), 3.0)}


def test_series_that_were_folded_have_none(store: Store) -> None:
    """There is no more than one a series and bucket, however many routes there are."""
    store.limits = Limits(series_per_metric=20)
    for number in range(40):
        serve(store, (trace(number + 1), 0.02), route=f"/{number}")
    store.poll()

    found = store.one("SELECT count(*) FROM monitoring.rollup WHERE exemplars IS NOT NULL")
    assert 0 < found <= 20
    assert store.value("platform_http_requests_total", app="shop") == 40


def test_without_traces_nothing_more_is_asked(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A poll whose events name no trace costs what it did."""
    monkeypatch.setattr(exemplars, "statement", None)
    serve(store, (None, 0.02))

    assert store.poll("http_request")["http_request"].seen == 1


def test_another_replica_shows_them(store: Store) -> None:
    """They are committed beside the counters."""
    serve(store, (trace(1), 0.02))
    store.poll()
    with store.connect() as connection:
        (total,) = (one for one in read_totals(connection, store.plan) if one.metric == METRIC)

    assert total.exemplars is not None
    assert isinstance(total.exemplars[2], Exemplar)
    at = store.one("SELECT extract(epoch FROM max(at))::double precision FROM monitoring.http_request")
    assert total.exemplars[2].at == pytest.approx(at)
