"""One row that a mapping's own SQL fails on stops no stream."""

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from exporter.config.settings import Source
from exporter.sources import adopt, mapping
from tests.aggregation.counting import Store
from tests.servers import Database

MAPPING = """
app: shop
streams:
  calls:
    table: public.calls
    kind: api_call
    where: t.note NOT LIKE '%skip%' AND 10 / t.divisor > 0
    columns:
      at: t.at
      api: t.api
      outcome: "'success'"
      duration_seconds: t.amount::double precision
states:
  broken:
    table: public.calls
    kind: open_alerts
    columns: {severity: "(1 / (t.divisor - 1))::text", alert_source: t.api}
"""

CALLS = "INSERT INTO public.calls (at, api, amount, note, divisor) VALUES (now(), 'x', %s, %s, %s)"


@pytest.fixture
def shop(database: Database, tmp_path: Path) -> Store:
    """Return a store whose one adopted table keeps numbers as text, with a row of history that is none."""
    database.execute("CREATE TABLE public.calls (at timestamptz, api text, amount text, note text, divisor int)")
    path = tmp_path / "shop.yml"
    path.write_text(MAPPING)
    source = Source(preset=str(path))
    store = Store(database.dsn, mapping.plan(source))
    store.execute(CALLS, ["0.5", "", 1])
    store.execute(CALLS, ["no number", "", 1])
    with store.connect() as connection:
        adopt.carry_out(connection, adopt.steps(connection, source, mapping.load(source.preset)), lambda _: None)
    return store


def test_a_row_whose_cast_fails_is_rejected_and_the_others_count(shop: Store) -> None:
    """A first count leaves out the one row that is not a number."""
    counted = shop.poll()["calls"]

    assert (counted.seen, counted.rejected) == (2, 1)
    assert shop.value("platform_api_calls_total") == 1
    assert shop.value("platform_api_call_duration_seconds") == 1
    assert shop.rejected() == {"malformed": 1}


def test_no_value_is_logged(shop: Store, caplog: pytest.LogCaptureFixture) -> None:
    """Why rows are read one by one is said without what they hold, which may be anybody's secret."""
    caplog.set_level(logging.DEBUG)  # a warning the first time in this process only
    shop.poll()

    assert "invalid input syntax for type double precision: (a value); reading row by row" in caplog.text
    assert "no number" not in caplog.text


def test_later_rows_count_once_and_failing_ones_are_added_up(shop: Store) -> None:
    """Good rows, failing casts and failing conditions that arrive later are distinguished, each once."""
    shop.poll()
    for amount, note, divisor in [("1", "", 1), ("2e999", "", 1), ("3", "", 0), ("4", "skip", 1), ("5", "", 1)]:
        shop.execute(CALLS, [amount, note, divisor])

    shop.poll()
    shop.poll()

    assert shop.value("platform_api_calls_total") == 3
    assert shop.rejected() == {"malformed": 3}


def test_a_state_that_cannot_be_read_leaves_the_counters(shop: Store) -> None:
    """A failing state query is a problem shown, and the counters go on."""
    worker = shop.worker()

    worker.poll()
    worker._disconnect()

    assert [total.value for total in worker.view.totals if total.metric == "platform_api_calls_total"] == [1]
    assert worker.view.problems == ("state cannot be read: division by zero",)


def test_every_new_view_is_told(shop: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever encodes ahead hears of each poll's view after it is there."""
    seen: list[int] = []
    worker = shop.worker()
    published: Callable[[], None] = lambda: seen.append(len(worker.view.totals))  # noqa: E731 - typed
    monkeypatch.setattr(worker, "_published", published)

    worker.poll()
    worker._disconnect()

    assert len(seen) == 1
    assert seen[0] > 0
