"""Finished scraping jobs."""

from platform_sdk.events import spellings
from platform_sdk.events.base import APP, Column, EventKind, Label, Rollup, ZeroFill, outcome, reject_number

BOUNDS = (1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)
REASONS = (
    "timeout", "connection", "rate_limited", "forbidden", "server_error", "blocked", "parse", "cancelled", "other",
)  # fmt: skip

_SCRAPER = Label("scraper", "scraper")
_OUTCOME = outcome("how it ended", ("success", "failure"))
_WHY = Column("reason", "text", "why it failed", values=REASONS, spellings=spellings.REASONS)
_REASON = f"CASE WHEN {_OUTCOME.understood} = 'success' THEN NULL ELSE coalesce({_WHY.understood}, 'other') END"

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
        Column("duration_seconds", "double precision", "from start to end", required=True),
        Column("items_processed", "bigint", "items scraped", default="0"),
        Column("items_failed", "bigint", "items that failed", default="0"),
        Column("items_dropped", "bigint", "items dropped on purpose", default="0"),
        Column("response_bytes", "bigint", "bytes downloaded"),
    ),
    checks=(
        _OUTCOME.check,
        reject_number("duration_seconds", maximum=1e9),
        reject_number("items_processed"),
        reject_number("items_failed"),
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
            "platform_scraping_last_success_timestamp_seconds",
            "When the newest successful job finished.",
            (APP, _SCRAPER),
            type="gauge",
            value=f"CASE WHEN {_OUTCOME.understood} = 'success' THEN extract(epoch FROM at) END",
        ),
    ),
)
