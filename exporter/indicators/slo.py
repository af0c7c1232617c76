"""Error budgets: the share of bad events, compared with the objectives of the configuration over several windows."""

from collections.abc import Iterator
from dataclasses import dataclass

from exporter.indicators.declaration import Alert, Group, Record, RuleFile
from exporter.indicators.promql import MINIMUM

EVENTS, ERRORS, OBJECTIVE = "platform_slo_events", "platform_slo_errors", "app_slo:platform_objective:effective"
LIMIT, BURNING = f"app_slo_window:{ERRORS}:limit", f"app_slo_window:{ERRORS}:burning"
ON = "on (app, slo)"

_KNOWN = "last_over_time({}[5m])"
_BUCKETS = 'app_le:platform_http_request_duration_seconds_bucket:sum{{le="{}"}}'
_ALL_TIMED, _QUICK = (f"max by (app) ({_KNOWN.format(_BUCKETS.format(bound))})" for bound in ("+Inf", "0.5"))


@dataclass(frozen=True)
class Counted:
    """The events of an objective and the bad ones among them, as PromQL, and what a notification calls the bad ones."""

    slo: str
    events: str
    errors: str
    text: str


COUNTED = (
    Counted(
        "http_availability",
        _KNOWN.format("app:platform_http_requests:sum"),
        _KNOWN.format("app:platform_http_request_errors:sum"),
        "requests failed",
    ),
    Counted("http_latency", _ALL_TIMED, f"{_ALL_TIMED} - {_QUICK}", "requests took longer than 0.5 s"),
    Counted(
        "scraping_success",
        f"sum by (app) ({_KNOWN.format('app_scraper:platform_scraping_runs:sum')})",
        f"sum by (app) ({_KNOWN.format('app_scraper:platform_scraping_run_failures:sum')})",
        "scraping runs failed",
    ),
)


@dataclass(frozen=True)
class Pair:
    """Two windows over both of which a budget burns faster than a factor, and how many errors are evidence of that.

    errors: the least number, as a multiple of minimum_events, in the window `counted`.
    """

    long: str
    short: str
    factor: float
    severity: str
    errors: float
    counted: str


PAIRS = (
    Pair("1h", "5m", 14.4, "critical", 0.6, "5m"),
    Pair("6h", "30m", 6, "critical", 6, "6h"),
    Pair("1d", "2h", 3, "medium", 1, "1d"),
    Pair("3d", "6h", 1, "medium", 0.5, "3d"),
    Pair("30d", "1d", 1, "medium", 0.5, "30d"),
)
DEVIATIONS = 3
HOURS, DAYS = ("5m", "30m", "1h", "2h", "6h"), ("1d", "3d", "30d")
OF_HOURS = tuple(pair for pair in PAIRS if pair.long in HOURS)
OF_DAYS = tuple(pair for pair in PAIRS if pair.long in DAYS)


def _increase(name: str, window: str) -> str:
    return f'app_slo_window:{name}:increase{{window="{window}"}}'


def _totals() -> Iterator[Record]:
    """Yield the events and errors of every objective, as a sum that continues where counters begin again.

    The sum takes the counters from where they are recorded now: what this group has recorded may be readable only later.
    """
    parts = {EVENTS: [(one.slo, one.events) for one in COUNTED], ERRORS: [(one.slo, one.errors) for one in COUNTED]}
    for name, counted in parts.items():
        total, counters = f"app_slo:{name}:sum", f"app_slo:{name}:counters"
        now = "({})".format(" or ".join(f'label_replace({expr}, "slo", "{slo}", "", "")' for slo, expr in counted))
        before = f"max_over_time({counters}[1d] offset 1s) <= {now}\n    or max_over_time({counters}[1m] offset 1s)"
        grown = f"clamp_min({now} - (\n    {before}\n    or {now}\n  ), 0)"
        yield Record(total, f"last_over_time({total}[1d])\n  + {grown}\nor {now}")
        yield Record(counters, now)


def _objective() -> Record:
    general = f'app_slo:{EVENTS}:sum * 0 + on (slo) group_left () max by (slo) (platform_objective{{app=""}})'
    return Record(
        OBJECTIVE,
        f'max by (app, slo) (platform_objective{{app!=""}})\nor\n{general}',
        comment="The objective in force: the app's own, otherwise the general one. None where it is switched off: no alert.",
    )


def _increases(windows: tuple[str, ...], series: str, before: str) -> Iterator[Record]:
    """Yield the growth over windows; the value then is the newest of a while before, and a young app's first."""
    for name in (EVENTS, ERRORS):
        total, then = f"app_slo:{name}:sum", f"app_slo:{name}:{series}"
        young = "" if series == "sum" else f" or min_over_time({total}[1h])"
        for window in windows:
            since = f"last_over_time({then}[{before}] offset {window}) or min_over_time({then}[{window}]){young}"
            yield Record(f"app_slo_window:{name}:increase", f"clamp_min({total} - ({since}), 0)", {"window": window})


def _for_panels() -> Iterator[Record]:
    errors, events = (f"app_slo_window:{name}:increase" for name in (ERRORS, EVENTS))
    ratio, burn_rate = f"app_slo_window:{ERRORS}:ratio", f"app_slo_window:{ERRORS}:burn_rate"
    enough = f"and on (app, slo, window)\n{events} >= on (app) group_left () {MINIMUM}"
    yield Record(ratio, f"{errors} / {events}\n{enough}", comment="These three are for panels and texts.")
    yield Record(
        burn_rate,
        f"{ratio} / {ON} group_left () (1 - {OBJECTIVE})",
        comment="1 uses up the error budget in exactly 30 days.",
    )
    yield Record(
        "app_slo:platform_slo_error_budget:remaining30d",
        f'1 - max by (app, slo) ({burn_rate}{{window="30d"}})',
        comment="1 is untouched, 0 used up, below 0 overdrawn.",
    )


def _burning(pairs: tuple[Pair, ...]) -> Iterator[Record]:
    half = f"1 - {OBJECTIVE} / 2"
    for pair in pairs:
        limit = f"({pair.factor:g} * (1 - {OBJECTIVE}) < {half}) or {half}" if pair.factor > 1 else f"1 - {OBJECTIVE}"
        yield Record(LIMIT, limit, {"window": pair.long})
    for pair in pairs:
        limit = f'{LIMIT}{{window="{pair.long}"}}'
        conditions = (
            f"{_share(pair.long)} > {limit}",
            f"{_share(pair.short)} > {ON} {limit}",
            f"{_increase(ERRORS, pair.counted)} >= on (app) group_left () ({pair.errors:g} * {MINIMUM})",
            f"({_certain(pair.long, limit)} or {ON} {_certain(pair.short, limit)})",
            f"last_over_time(app_slo:{EVENTS}:sum[1h] offset {pair.short})",
        )
        yield Record(BURNING, f"\nand {ON} ".join(conditions), {"window": pair.long, "severity": pair.severity})


def _share(window: str) -> str:
    return f"{_increase(ERRORS, window)} / {_increase(EVENTS, window)}"


def _certain(window: str, limit: str) -> str:
    """Return the condition that a share of errors at the limit does not give so many by chance."""
    errors, events = _increase(ERRORS, window), _increase(EVENTS, window)
    deviation = f"{DEVIATIONS} * sqrt({events} * {ON} ({limit} * (1 - {limit})))"
    return f"{errors} - {ON} {events} * {ON} {limit} > {ON} {deviation}"


def _shown(query: str, labels: str, template: str) -> str:
    """Return the template that shows the result of a query with these labels of the alert, if there is one."""
    return f"{{{{ with query (printf `{query}` {labels}) }}}}{template}{{{{ end }}}}"


def _alert(severity: str, hold: str, keep_firing: str) -> Alert:
    which = "$labels.app $labels.slo"
    worst = f'topk(1, {BURNING}{{severity="{severity}",app=%q,slo=%q}})'
    window = '{{ $window := "" }}' + _shown(worst, which, '{{ $window = . | first | label "window" }}')
    what = "".join(f'{{{{ if eq $labels.slo "{one.slo}" }}}}{one.text}{{{{ end }}}}' for one in COUNTED)
    share = f"{window}{{{{ $labels.app }}}}: {{{{ $value | humanizePercentage }}}} of {what} over {{{{ $window }}}}"
    allowed = _shown(f"1 - {OBJECTIVE}{{app=%q,slo=%q}}", which, "{{ . | first | value | humanizePercentage }}")
    of_all = " of ".join(
        _shown(
            f"app_slo_window:{name}:increase{{app=%q,slo=%q,window=%q}}",
            f"{which} $window",
            '{{ . | first | value | printf "%.0f" }}',
        )
        for name in (ERRORS, EVENTS)
    )
    spent = _shown(
        f'app_slo_window:{ERRORS}:burn_rate{{app=%q,slo=%q,window="30d"}}',
        which,
        "{{ $spent := . | first | value }}; {{ if lt $spent 1.0 }}{{ $spent | humanizePercentage }} of {{ end }}"
        'that error budget is used up{{ if ge $spent 2.0 }} {{ printf "%.0f" $spent }} times over{{ end }}',
    )
    return Alert(
        name="PlatformErrorBudgetBurn",
        severity=severity,
        expr=f'max by (app, slo) ({BURNING}{{severity="{severity}"}})',
        hold=hold,
        keep_firing=keep_firing,
        summary=f"{share}, its objective allows {allowed}",
        text=f"{share} ({of_all}).\nThe objective {{{{ $labels.slo }}}} allows {allowed} over 30 days{spent}.",
        subject="slo",
        labels=("app",),
        about={"indicator": "'{{ $labels.slo }}'"},
    )


FILE = RuleFile(
    "slo",
    "Service levels: the share of bad events, compared with the objectives in the exporter's configuration "
    "(platform_objective).\n\n"
    'Windows and factors are those of the SRE workbook, chapter "Alerting on SLOs", table 5-8. A burn rate of 1 uses up an '
    "error budget of 30 days exactly in time. A rate of 14.4 uses 2 % of it within 1 h, 6 uses 5 % within 6 h (these page); "
    "3 uses 10 % within a day, 1 within 3 days (these are for working hours). The short window ends the alert soon after "
    "the failure. The last pair is ours: a budget used up by so few events that no shorter window has enough of them. A "
    "rate of 14.4 is impossible where the objective is below 93 %: a share half-way between what it allows and everything "
    "is a limit too.\n\n"
    "A ratio of few events says little: of 4 requests, 1 failure is 25 %. So each pair demands a number of errors, as a "
    "multiple of minimum_events (20 by default): the fast one 12 within 5 minutes, which 3 requests a minute that all fail "
    "reach in 4 minutes and 2 a minute do not; over 6 h 120, over a day 20, over longer windows 10. What fails too seldom "
    "to page is found over days. And the errors of one of the two windows exceed by 3 standard deviations what the limit "
    "gives on average (in other words the lower bound of Wilson's interval with z = 3 is above it: 1 in 700 by chance). "
    "With many events that changes nothing. Where few errors are expected the distribution is skewed, and the minimum is "
    "the stricter of the two: 10 where 3 are expected come in 1 of 1,000 windows. Finally the app has been known for as "
    "long as the short window: its first errors are not a month's budget.\n\n"
    "The sum continues where the counters of a new event store begin again. increase() would also do that where a source "
    "that was away returns, and add all its events again. Here a value below an earlier one adds nothing for a minute, and "
    "from then on what it grows by; a value above the greatest of a day adds what it is above it. A scrape that comes late "
    "does not interrupt the sum for 5 minutes: pending alerts do not begin again. Windows of days use a sample every 10 "
    "minutes: 30 days with one every 30 s would be 86,400 samples to read. An app younger than a window counts from its "
    "first value. While a budget burns critically, Alertmanager's inhibition mutes its warning: both have the objective as "
    "indicator.",
    (
        Group(
            "platform_slo_samples",
            "10m",
            tuple(Record(f"app_slo:{name}:sampled10m", f"app_slo:{name}:sum") for name in (EVENTS, ERRORS)),
        ),
        Group("platform_slo_days", "2m", (*_increases(DAYS, "sampled10m", "1d"), *_for_panels(), *_burning(OF_DAYS))),
        Group(
            "platform_slo",
            "30s",
            (
                *_totals(),
                _objective(),
                *_increases(HOURS, "sum", "1h"),
                *_burning(OF_HOURS),
                _alert("critical", "1m", "5m"),
                _alert("medium", "5m", "15m"),
            ),
        ),
    ),
)
