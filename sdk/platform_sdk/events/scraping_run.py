"""Finished scraping jobs."""

from typing import get_args

from platform_sdk.events import spellings
from platform_sdk.events.base import APP, Column, EventKind, Label, Rollup, ZeroFill, outcome, reject_number
from platform_sdk.events.scraping_request import BLOCKS
from platform_sdk.typing import Outcome

BOUNDS = (1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)
REASONS = (
    "timeout", "connection", "rate_limited", "forbidden", "server_error", "blocked", "parse", "cancelled", "other",
)  # fmt: skip

_SCRAPER = Label("scraper", "scraper")
_OUTCOME = outcome("how it ended", get_args(Outcome))
_WHY = Column("reason", "text", "why it failed", values=REASONS, spellings=spellings.REASONS)
_REASON = f"CASE WHEN {_OUTCOME.understood} = 'success' THEN NULL ELSE coalesce({_WHY.understood}, 'other') END"

_IF_SUCCESS = f"CASE WHEN {_OUTCOME.understood} = 'success' THEN "

_NEWEST = {
    "platform_scraping_last_run_items": (
        "Items of the newest successful job.", _IF_SUCCESS + "coalesce(items_processed, 0) END",
    ),
    "platform_scraping_last_run_duration_seconds": (
        "Time the newest successful job took.", _IF_SUCCESS + "duration_seconds END",
    ),
    "platform_scraping_expected_within_seconds": (
        "How long after a success the code expects the next; 0: never.", "expected_within_seconds",
    ),
    "platform_scraping_least_items": (
        "How many items the code expects of a successful job at least; 0: any number.", "least_items",
    ),
    "platform_scraping_shortest_run_seconds": (
        "How long the code expects a successful job to take at least; 0: any time.", "shortest_seconds",
    ),
    "platform_scraping_longest_run_seconds": (
        "How long the code expects a successful job to take at most; 0: any time.", "longest_seconds",
    ),
}  # fmt: skip
"""Gauges of the newest job: what they are, and their SQL."""

SCRAPING_RUN = EventKind(
    name="scraping_run",
    rows_are="a finished scraping job",
    retention_days=90,
    lane="urgent",
    columns=(
        Column("job_id", "text", "the job"),
        Column("scraper", "text", "the scraper's type", required=True),
        Column("site", "text", "the site scraped"),
        _OUTCOME,
        _WHY,
        Column("block", "text", "what blocked it, where it was blocked", values=BLOCKS),
        Column("duration_seconds", "double precision", "from start to end", required=True),
        Column("items_processed", "bigint", "items scraped", default="0"),
        Column("items_failed", "bigint", "items that failed", default="0"),
        Column("items_dropped", "bigint", "items dropped on purpose", default="0"),
        Column("response_bytes", "bigint", "bytes downloaded"),
        Column(
            "expected_within_seconds", "double precision", "how long after a success the next one is expected; 0: never"
        ),
        Column("least_items", "bigint", "how many items a successful run has at least; 0: any number"),
        Column("shortest_seconds", "double precision", "how long a successful run takes at least; 0: any time"),
        Column("longest_seconds", "double precision", "how long a successful run takes at most; 0: any time"),
    ),
    checks=(
        _OUTCOME.check,
        reject_number("duration_seconds", maximum=1e9),
        reject_number("items_processed"),
        reject_number("items_failed"),
        reject_number("items_dropped"),
        reject_number("response_bytes"),
        reject_number("expected_within_seconds", maximum=1e10),
        reject_number("least_items"),
        reject_number("shortest_seconds", maximum=1e9),
        reject_number("longest_seconds", maximum=1e9),
    ),
    rollups=(
        Rollup("platform_scraping_runs_total", "Scraping jobs that finished.", (APP, _SCRAPER), value="1"),
        Rollup(
            "platform_scraping_run_failures_total",
            "Scraping jobs that failed.",
            (APP, _SCRAPER, Label("reason", _REASON, open=False)),
            value="1",
            require="reason",
            zero_fill=ZeroFill("platform_scraping_runs_total", "reason", REASONS),
        ),
        Rollup(
            "platform_scraping_run_duration_seconds",
            "Time a scraping job took.",
            (APP, _SCRAPER),
            type="histogram",
            value="duration_seconds",
            bounds=BOUNDS,
        ),
        Rollup(
            "platform_scraping_items_total",
            "Items that scraping jobs processed.",
            (APP, _SCRAPER),
            value="coalesce(items_processed, 0)",
        ),
        Rollup(
            "platform_scraping_item_failures_total",
            "Items that scraping jobs failed on.",
            (APP, _SCRAPER),
            value="coalesce(items_failed, 0)",
        ),
        Rollup(
            "platform_scraping_items_dropped_total",
            "Items that scraping jobs dropped on purpose, such as duplicates.",
            (APP, _SCRAPER),
            value="coalesce(items_dropped, 0)",
        ),
        Rollup(
            "platform_scraping_response_bytes_total",
            "Bytes that scraping jobs downloaded.",
            (APP, _SCRAPER),
            value="coalesce(response_bytes, 0)",
        ),
        Rollup(
            "platform_scraping_site_runs_total",
            "Scraping jobs that finished, by site.",
            (APP, Label("site", "site"), Label("outcome", _OUTCOME.closed, open=False)),
            value="1",
            require="site",
        ),
        *(
            Rollup(metric, text, (APP, _SCRAPER), type="gauge", value=value)
            for metric, (text, value) in _NEWEST.items()
        ),
        Rollup(
            "platform_scraping_last_success_timestamp_seconds",
            "When the newest successful job finished.",
            (APP, _SCRAPER),
            type="gauge",
            value=f"CASE WHEN {_OUTCOME.understood} = 'success' THEN extract(epoch FROM at) END",
        ),
    ),
)
