"""Details on the dashboard of scraping: sites, failures, durations, volume and queues."""

from grafana.design import colors, columns, links, panels, tables
from grafana.design.layout import Line, Section
from grafana.queries import scraping

LEGEND, QUEUE = "{{app}} {{scraper}}", "{{name}} {{queue}} {{group}}"
PROXY, SITE = "{{app}} {{proxy}}", "{{app}} {{site}}"
JOB, FIELD = LEGEND + " {{task}}", "{{scraper}} {{field}}"
_DURATIONS = ("Took", "Shortest", "Longest", "Age", "Within")
_PROXY_OUTCOMES = {"Success": "success", "Blocked": "blocked", "Refused": "refused", "407": "unauthorized"}
_SHARES = ("Filled", "Usual", "Of usual", "New types")
# Rows are few: shorter intervals would show single runs.
SHORTEST_INTERVAL = "5m"
TO_SCRAPER = tables.link(
    "scraper", "Only this scraper", links.to("scraping", app="${__data.fields.app}", scraper="${__data.fields.scraper}")
)
# Of shares of successes; the indicator judges failures.
GOOD = colors.bands("scraping_failure_ratio", complement=True)
SDK = " Of applications that use the SDK."
ENDED = tables.column("at", "Ended", unit=columns.CLOCK)


def sections() -> list[Section]:
    """Return the sections below the live jobs."""
    return [
        *(_sites(), _requests(), _proxies(), _politeness(), _fields(), _tables(), _failures(), _durations(), _volume()),
        *(_schedules(), _queues(), _tasks()),
    ]


def _sites() -> Section:
    table = tables.table(
        "Success by scraper and site",
        "The worst sites first, with the most frequent reason of failures. Items per minute of run time." + SDK,
        scraping.SITES,
        [
            *(TO_SCRAPER, "site", "runs", tables.gauge("success", *GOOD), tables.column("success", width=125)),
            *(tables.column("reason", "Main reason", 115), "items", "pace", "p95", "last_run"),
            tables.hidden("app"),
        ],
    ).min_width(80)
    course = panels.lines(
        "Success by site", "Of the ten sites with most runs." + SDK, scraping.SITE_SUCCESS, "percentunit"
    ).max(1)
    return Section("Sites", [Line(9, [table]), Line(8, [course.interval(SHORTEST_INTERVAL).span_nulls(True)])])


def _requests() -> Section:
    codes = panels.bars(
        "Requests by status", "Per minute, over 5 minutes; none where no response came.", {"{{code}}": scraping.CODES},
        columns.PER_MINUTE, named=colors.CODES,
    )  # fmt: skip
    retries = panels.lines(
        "Retries", "Share of the requests of 5 minutes that repeated an earlier one.", {LEGEND: scraping.RETRIES},
        "percentunit",
    ).max(1)  # fmt: skip
    blocked = panels.judged(
        "Blocked requests",
        "Share of the requests of 5 minutes that got a challenge, captcha, login page or shell, whatever the status.",
        {LEGEND: scraping.BLOCKED},
        "scraping_blocked_ratio",
    ).max(1)
    blocks = panels.bars(
        "Blocked by", "Blocked requests per minute, over 5 minutes.", {"{{block}}": scraping.BLOCKS}, columns.PER_MINUTE
    )
    size = panels.lines("Downloaded", "Per second, over 5 minutes.", {LEGEND: scraping.BYTES}, "binBps")
    dropped = panels.lines(
        "Dropped items",
        "Items per minute dropped on purpose, such as duplicates.",
        {LEGEND: scraping.DROPPED},
        columns.PER_MINUTE,
    )
    sites = tables.measured(
        "Requests by site",
        "In the chosen range, of all scrapers. Blocked: whatever the status. Refused: status 401, 403, 429 or 503.",
        {
            "Requests": scraping.SITE_REQUESTS, "Success": scraping.SITE_GOOD,
            "Blocked": scraping.SITE_BLOCKED, "Refused": scraping.SITE_REFUSED, "Bytes": scraping.SITE_BYTES,
        },
        ["app", "site", tables.gauge("Success", *GOOD),
         *(tables.column(name, unit="percentunit") for name in ("Blocked", "Refused")),
         tables.column("Bytes", unit="bytes")],
    ).min_width(80)  # fmt: skip
    runs = panels.ranking("Runs by site", "Ended in the chosen range.", {"{{site}}": scraping.SITE_RUNS}, panels.COUNT)
    lines = [
        Line(9, [codes, blocked, blocks]),
        Line(8, [retries, size, dropped]),
        Line(6, [runs]),
        Line(8, [tables.sorted_by(sites, "Requests")]),
    ]
    return Section("Requests", lines)


def _proxies() -> Section:
    providers = tables.measured(
        "Requests by proxy provider",
        "In the chosen range, of all scrapers. Refused: status 401, 403, 429 or 503, most of them bans; 407: by the "
        "proxy itself. Cost by the prices of the SDK's option.",
        {
            "Requests": scraping.PROXY_REQUESTS,
            **{title: scraping.through_proxies(outcome) for title, outcome in _PROXY_OUTCOMES.items()},
            "Bytes": scraping.PROXY_BYTES, "Cost": scraping.PROXY_COST,
        },
        ["app", "proxy", tables.gauge("Success", *GOOD),
         *(tables.column(name, unit="percentunit") for name in _PROXY_OUTCOMES if name != "Success"),
         tables.column("Bytes", unit="bytes"), ("Cost", {"decimals": 2})],
    ).min_width(70)  # fmt: skip
    cost = tables.measured(
        "Cost by scraper",
        "In the chosen range: in all, per request, per thousand pages that nothing blocked, per processed item.",
        {
            "Cost": scraping.COST, "Per request": scraping.COST_REQUEST,
            "Per 1,000 pages": scraping.COST_PAGES, "Per item": scraping.COST_ITEM,
        },
        ["app", TO_SCRAPER, tables.link("Cost", "Budgets", links.to("apis", app="$app")), ("Cost", {"decimals": 2}),
         ("Per request", {"decimals": 5}),
         ("Per 1,000 pages", {"decimals": 2}), ("Per item", {"decimals": 5})],
    ).min_width(80)  # fmt: skip
    failing = panels.judged(
        "Failing requests by proxy",
        "Share of the requests of 5 minutes that failed, were refused or were blocked.",
        {PROXY: scraping.PROXY_FAILING},
        "scraping_proxy_failure_ratio",
    ).max(1)
    unauthorized = panels.judged(
        "Refused by the proxy",
        "Share of the requests of 5 minutes that the proxy itself answered with 407.",
        {PROXY: scraping.PROXY_UNAUTHORIZED},
        "scraping_proxy_unauthorized_ratio",
    ).max(1)
    lines = [
        Line(6, [tables.sorted_by(providers, "Requests")]),
        Line(8, [failing, unauthorized]),
        Line(6, [tables.sorted_by(cost, "Cost")]),
    ]
    return Section("Proxies and cost", lines)


def _politeness() -> Section:
    requests = panels.lines(
        "Requests per site",
        "Per minute, over 5 minutes, of all scrapers.",
        {SITE: scraping.SITE_RATE},
        columns.PER_MINUTE,
    )
    early = panels.judged(
        "Ignored Retry-After",
        "Share of the requests of 5 minutes made before the time until which the site asked to wait.",
        {SITE: scraping.EARLY},
        "scraping_early_ratio",
    ).max(1)
    disallowed = panels.judged(
        "Disallowed by robots.txt",
        "Share of the pages wanted in 5 minutes that were not requested for it.",
        {SITE: scraping.DISALLOWED},
        "scraping_disallowed_ratio",
    ).max(1)
    sites = tables.measured(
        "What sites ask for",
        "In the chosen range: requests before the time that a Retry-After gave, and pages that robots.txt disallows.",
        {"Too early": scraping.SITE_EARLY, "Disallowed": scraping.SITE_DISALLOWED},
        ["app", "site"],
    )
    lines = [Line(8, [requests, early, disallowed]), Line(6, [tables.sorted_by(sites, "Too early")])]
    return Section("Politeness", lines, collapsed=True)


def _fields() -> Section:
    fields = tables.measured(
        "Fields of items",
        "Share of the items of 10 minutes in which each field is filled, and in the week before; values of the chosen "
        "range; share of values of a type that it hardly had before." + SDK,
        {
            "Filled": scraping.COVERAGE, "Usual": scraping.COVERAGE_USUAL, "Of usual": scraping.FIELD_RATIO,
            "Values": scraping.FIELD_VALUES, "New types": scraping.OTHER_TYPES,
        },
        ["app", TO_SCRAPER, "field", *(tables.column(name, unit="percentunit") for name in _SHARES)],
    ).min_width(80)  # fmt: skip
    course = panels.lines(
        "Filled fields", "Share of the usual number of items; lower is worse.", {FIELD: scraping.FIELD_RATIO},
        "percentunit", indicator="scraping_field_ratio",
    ).max(1)  # fmt: skip
    types = panels.lines(
        "Changed types", "Share of values of a type that the field hardly had before.", {FIELD: scraping.OTHER_TYPES},
        "percentunit", indicator="scraping_field_type_ratio",
    ).max(1)  # fmt: skip
    drift = tables.measured(
        "Vanished and new fields",
        "Share of items with the field: of those of a week until a day ago, and since then. Vanished ones are shown "
        "until that is usual, new ones for 26 hours." + SDK,
        {"Before": scraping.DRIFT_BEFORE, "Now": scraping.DRIFT_NOW},
        ["app", TO_SCRAPER, "field", *(tables.column(name, unit="percentunit") for name in ("Before", "Now"))],
    ).no_value("No such field found")  # fmt: skip
    lines = [
        Line(9, [tables.sorted_by(fields, "Of usual", descending=False)]),
        Line(8, [course, types]),
        Line(6, [tables.sorted_by(drift, "Now")]),
    ]
    return Section("Fields", lines)


def _tables() -> Section:
    found = tables.measured(
        "Watched tables",
        "Of the configuration's `watches`, of all apps: age of the newest row, rows in the window, how many these "
        "usually are, and how many repeat the key of another.",
        {
            "Age": scraping.TABLE_AGE, "Rows": scraping.TABLE_ROWS, "Usual": scraping.TABLE_ROWS_USUAL,
            "Of usual": scraping.TABLE_ROWS_RATIO, "Repeated": scraping.TABLE_DUPLICATES,
        },
        ["watch", tables.column("Age", unit="s"), ("Rows", {"decimals": 0}), ("Usual", {"decimals": 0}),
         *(tables.column(name, unit="percentunit") for name in ("Of usual", "Repeated"))],
    ).no_value("No watched table found")  # fmt: skip
    age = panels.lines(
        "Age of the newest row", "Thresholds may differ by table.", {"{{watch}}": scraping.TABLE_AGE}, "s",
        indicator="table_age_seconds",
    )  # fmt: skip
    nulls = panels.lines(
        "NULLs", "Share of the rows in the window.", {"{{watch}} {{column}}": scraping.TABLE_NULLS}, "percentunit"
    ).max(1)
    rise = panels.lines(
        "NULLs above usual", "Above the median of the past week; once 20 minutes of that are known.",
        {"{{watch}} {{column}}": scraping.TABLE_NULL_RISE}, "percentunit", indicator="table_null_rise_ratio",
    ).max(1)  # fmt: skip
    rows = panels.lines(
        "Rows against usual", "In the window, against the median of the past week; lower is worse.",
        {"{{watch}}": scraping.TABLE_ROWS_RATIO}, "percentunit", indicator="table_rows_ratio",
    )  # fmt: skip
    lines = [Line(6, [tables.sorted_by(found, "Age")]), Line(8, [age, rows]), Line(8, [nulls, rise])]
    return Section("Result tables", lines)


def _failures() -> Section:
    reasons = panels.bars(
        "Failures by reason", "Failed runs in 5 minutes.", {"{{reason}}": scraping.REASONS}, named=colors.REASONS
    )
    shares = panels.doughnut(
        "Shares of reasons",
        "Failed runs in the chosen range.",
        {"{{reason}}": scraping.REASON_SHARES},
        named=colors.REASONS,
    )
    items = panels.lines(
        "Failed items", "Items per minute, over 5 minutes.", {LEGEND: scraping.ITEM_FAILURES}, columns.PER_MINUTE
    )
    bans = panels.judged(
        "Ban ratio",
        "Forbidden or blocked runs, over 5 minutes.",
        {LEGEND: scraping.FORBIDDEN},
        "scraping_forbidden_ratio",
    ).max(1)
    limits = panels.judged(
        "Rate limit ratio",
        "Runs over a rate limit, over 5 minutes.",
        {LEGEND: scraping.RATE_LIMITED},
        "scraping_rate_limited_ratio",
    ).max(1)
    failed = tables.table(
        "Newest failed runs",
        "Runs that failed in the chosen range, the newest first." + SDK,
        scraping.FAILED,
        [
            *(ENDED, TO_SCRAPER, tables.column("scraper", width=80), tables.column("site", width=120)),
            *(
                tables.column("reason", width=115),
                "duration_seconds",
                tables.column("items_processed", width=70),
                "items_failed",
                "app",
            ),
            tables.column("job_id", width=115),
        ],
    ).min_width(80)
    lines = [Line(10, [reasons, shares, items]), Line(8, [bans, limits]), Line(9, [failed])]
    return Section("Failures", lines, collapsed=True)


def _durations() -> Section:
    heatmap = panels.heatmap(
        "Distribution of durations", "How many runs took how long, in 5 minutes.", "s", scraping.DURATIONS
    )
    percentiles = panels.lines(
        "Percentiles",
        "Durations of the runs of all chosen scrapers, over 30 minutes.",
        {f"p{100 * share:.0f}": scraping.percentile(share) for share in (0.5, 0.95, 0.99)},
        "s",
        named=colors.PERCENTILES,
    )
    each = panels.lines(
        "p95 by scraper", "95 % of runs take at most this time, over 30 minutes.", {LEGEND: scraping.P95}, "s"
    )
    slowest = tables.table(
        "Slowest runs",
        "The runs in the chosen range that took longest." + SDK,
        scraping.SLOWEST,
        [
            *("duration_seconds", TO_SCRAPER, "site", tables.words("outcome", colors.JOBS, 80)),
            *(ENDED, "job_id", tables.hidden("app")),
        ],
    ).min_width(80)
    usual = panels.lines(
        "Durations against usual",
        "Mean duration of runs as a multiple of the most that is usual. No line before a day is known.",
        {LEGEND: scraping.SLOWER},
        indicator="scraping_duration_rise_ratio",
    )
    lines = [Line(8, [heatmap, percentiles, each]), Line(8, [usual, slowest], (7, 17))]
    return Section("Duration of runs", lines, collapsed=True)


def _volume() -> Section:
    both = panels.lines(
        "Items of the last hour",
        "Compared with the usual number (dashed): the median of the same hour in up to four earlier weeks.",
        {LEGEND: scraping.VOLUME_NOW, LEGEND + " usual": scraping.VOLUME_USUAL},
        dashed="usual",
    )
    weeks = (
        tables.measured(
            "The same hour in earlier weeks",
            "Usual is the median of up to four earlier weeks; empty before two weeks are known.",
            {
                "Now": scraping.VOLUME_NOW,
                "Usual": scraping.VOLUME_USUAL,
                "Share": scraping.VOLUME,
                "A week ago": scraping.WEEK_AGO,
            },
            ["app", "scraper", tables.column("Share", None, 70, "percentunit"), tables.column("A week ago", width=100)],
        )
        .min_width(80)
        .decimals(0)
    )
    empty = panels.lines(
        "Runs without items",
        "Successful in a row; 0 up to one and a half times what is usual.",
        {LEGEND: scraping.EMPTY_RUNS},
        indicator="scraping_empty_runs",
    )
    lines = [Line(8, [both]), Line(8, [weeks, empty], (14, 10))]
    return Section("Volume compared with earlier weeks", lines, collapsed=True)


def _schedules() -> Section:
    jobs = tables.measured(
        "Expected jobs",
        "Of the configuration's `jobs`: when a run is expected next, how long one is missed, and the newest success.",
        {"Expected in": scraping.JOB_DUE, "Missed for": scraping.JOB_LATE, "Last success": scraping.JOB_AGE},
        ["app", "scraper", "task", *(tables.column(name, unit="s") for name in ("Expected in", "Missed for")),
         tables.column("Last success", unit="s")],
    )  # fmt: skip
    runs = tables.measured(
        "Expected of runs",
        "Of the newest successful run: its items, duration and age, and what the code or the configuration expects.",
        {
            "Items": scraping.LAST_ITEMS, "At least": scraping.LEAST_ITEMS, "Took": scraping.LAST_DURATION,
            "Shortest": scraping.SHORTEST, "Longest": scraping.LONGEST, "Age": scraping.LAST_SUCCESS_AGE,
            "Within": scraping.WITHIN,
        },
        ["app", TO_SCRAPER, *(tables.column(name, unit="s") for name in _DURATIONS)],
    ).min_width(70)  # fmt: skip
    late = panels.lines("Missed for", "How long ago the grace of a missed run ended.", {JOB: scraping.JOB_LATE}, "s")
    return Section("What is expected of jobs", [Line(8, [runs]), Line(6, [jobs]), Line(8, [late])], collapsed=True)


def _queues() -> Section:
    jobs = panels.lines("Pending jobs", "Jobs that wait to start.", {LEGEND: scraping.jobs("pending")})
    lengths = panels.lines("Queues", "Waiting entries of each watched queue of Redis.", {QUEUE: scraping.QUEUES})
    oldest = panels.lines(
        "Oldest entry",
        "How long the oldest entry of each queue waits: of Redis streams, and of Celery's lists by the SDK's hook.",
        {QUEUE: scraping.QUEUE_AGE},
        "s",
        indicator="queue_age_seconds",
    )
    redis = [links.data_link("Redis", links.to("components", component="redis"))]
    shown = [jobs, lengths.data_links(redis), oldest.data_links(redis)]
    return Section("Waiting jobs and queues", [Line(8, shown)], collapsed=True)


def _tasks() -> Section:
    finished = panels.lines(
        "Background tasks",
        "Attempts per minute at tasks of Celery, RQ and other queues, by outcome, over 5 minutes.",
        {"{{task}} {{outcome}}": scraping.TASKS},
        columns.PER_MINUTE,
    )
    durations = panels.lines(
        "Duration of tasks", "95 % of attempts take at most this time, over 30 minutes.",
        {"{{task}}": scraping.TASK_DURATION}, "s",
    )  # fmt: skip
    repeated = panels.lines(
        "Repeated tasks", "Share of the tasks of 30 minutes that took more than one attempt.",
        {"{{task}}": scraping.TASK_REPEATED}, "percentunit",
    ).max(1)  # fmt: skip
    waits = panels.lines(
        "Wait in the queue", "95 % of attempts wait at most this time for their start, over 30 minutes.",
        {"{{queue}}": scraping.TASK_WAIT}, "s",
    )  # fmt: skip
    return Section("Tasks of queues", [Line(8, [finished]), Line(8, [repeated, durations, waits])], collapsed=True)
