"""Counting in databases of other encodings: every letter that fits is counted, what is no text rejects its row."""

from tests.aggregation.counting import Store

WORDS = {"EUC_JP": "日本", "LATIN9": "Grün €", "WIN1252": "Grün €"}
"""A text of letters beyond ASCII that each encoding has; of the others: Grün."""

BAD = {"SQL_ASCII": r"\xe4", "WIN1252": r"\x81", "EUC_JP": r"\xfcfe"}
"""Bytes that each of these stores and that are no text in UTF-8."""


def add(store: Store, route: str, app: str = "shop") -> None:
    store.execute(
        "INSERT INTO monitoring.http_request (at, app, route, status, duration_seconds) VALUES (now(), %s, %s, 200, 1)",
        [app, route],
    )


def worker_problems(store: Store) -> tuple[str, ...]:
    worker = store.worker()
    worker.poll()
    worker._disconnect()
    return worker.view.problems


def test_letters_beyond_ascii_are_counted_and_shown(store: Store, encoding: str) -> None:
    word = WORDS.get(encoding, "Grün")
    add(store, f"/{word}", word)

    worker = store.worker()
    worker.poll()
    worker.poll()
    worker._disconnect()

    assert worker.view.problems == ()
    shown = [total for total in worker.view.totals if total.metric == "platform_http_requests_total"]
    assert [(total.labels["app"], total.labels["route"], total.value) for total in shown] == [(word, f"/{word}", 1)]
