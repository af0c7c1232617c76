"""The PromQL that indicators have in common: how events are counted, and when a share of them means anything.

1. `max without (instance, pod, node)` first: all replicas of the exporter expose the same totals; a sum would double them.
2. Then the sum, and only then the growth over 5 minutes: the value now minus the value 5 minutes ago. The exporter's counters
   never fall and never vanish one by one, so this is exact where increase() is not: a label set that first appears with a value
   (the first 500 of a route) counts in full, and nothing is extrapolated, so that 19 events stay 19. The value 5 minutes ago
   is the greatest of the minute before, so that a gap or a dip then does not look like a burst now. An app younger than 5
   minutes counts from its first value, so that years of adopted history are not a burst either.
   What never failed is 0. A sum that is briefly absent (a scrape came late) keeps its value for 5 minutes: at 0 in between,
   all failures there ever were would be counted again.
3. A share or mean needs at least minimum_events. Below that the indicator is unknown: state -1, no alert.
4. Bands exclude each other, so a subject is in one of them at most. While keep_firing_for still holds a lower band,
   Alertmanager's inhibition mutes it.
"""

from collections.abc import Iterator

from exporter.indicators.declaration import APP, Indicator, Record, Scope

MINIMUM = 'app:platform_threshold:effective{indicator="minimum_events"}'


def replicas(selector: str) -> str:
    """Return series with all replicas of the exporter counted once."""
    return f"max without (instance, pod, node) ({selector})"


def total(scope: Scope, name: str, selector: str, many: str = "") -> Record:
    """Return the recording of a sum. Labels of `many` values are summed first: replicas of fewer series are compared."""
    each = f"sum without ({many}) ({selector})" if many else selector
    return Record(f"{scope.level}:{name}:sum", f"sum by ({', '.join(scope.labels)}) ({replicas(each)})")


def part(scope: Scope, name: str, selector: str, of: str, comment: str = "", many: str = "") -> Record:
    """Return the recording of a sum that is 0 where nothing of it ever happened, but where something of the whole did."""
    record = total(scope, name, selector, many)
    return Record(record.name, or_0(record.expr, record.name, f"{scope.level}:{of}:sum"), comment=comment)


def or_0(expr: str, name: str, whole: str) -> str:
    """Return what keeps a recorded sum where it is briefly absent, and is 0 where it never was but the whole is."""
    return f"{expr}\nor last_over_time({name}[5m]) and {whole}\nor {whole} * 0"


def increases(scope: Scope, *names: str, before: str = "1m") -> Iterator[Record]:
    """Yield the recordings of the growth of sums over 5 minutes; the value then is the greatest of a while before."""
    for name in names:
        yield increase(f"{scope.level}:{name}", "5m", before)


def increase(name: str, window: str, before: str) -> Record:
    """Return the recording of the growth of a sum, by the first two parts of its name."""
    series = f"{name}:sum"
    since = f"max_over_time({series}[{before}] offset {window}) or min_over_time({series}[{window}])"
    return Record(f"{name}:increase{window}", f"clamp_min({series} - ({since}), 0)")


def enough(scope: Scope, name: str) -> str:
    """Return the condition that there were at least minimum_events of something in 5 minutes."""
    labels, more = ", ".join(scope.labels), "" if scope.labels == ("app",) else " group_left ()"
    return f"and on ({labels})\n{scope.level}:{name}:increase5m >= on (app){more} {MINIMUM}"


def share(scope: Scope, name: str, of: str, ratio: str = "", top: str = "") -> Record:
    """Return the recording of the share that some events of 5 minutes are of all; `top` is the dividend itself."""
    dividend = top or f"{scope.level}:{name}:increase5m"
    expr = f"{dividend} / {scope.level}:{of}:increase5m\n{enough(scope, of)}"
    return Record(f"{scope.level}:{ratio or name}:ratio5m", expr)


def mean(scope: Scope, name: str, of: str) -> Record:
    """Return the recording of the mean of 5 minutes of a sum, by the number of its events."""
    series = f"{scope.level}:{name}"
    return Record(
        f"{series}:mean5m",
        f"round(1e6 * {series}:increase5m / {scope.level}:{of}:increase5m) / 1e6\n{enough(scope, of)}",
        comment="Rounded to microseconds: the difference of two large sums has noise in its last digits, and 0.5 s is a boundary.",
    )


def slow(scope: Scope, name: str, record: str, bound: str) -> Record:
    """Return the recording of the share of events of 5 minutes that took longer than one of a histogram's bounds."""
    labels = ", ".join(scope.labels)
    bucket = f"max by ({labels}) ({scope.level}_le:{name}_bucket:increase5m"
    more = "" if scope == APP else " group_left ()"
    return Record(
        record,
        f'clamp_min(1 - {bucket}{{le="{bound}"}}) / {bucket}{{le="+Inf"}}), 0)\n'
        f'and on ({labels})\n{bucket}{{le="+Inf"}}) >= on (app){more} 3 * {MINIMUM}',
        comment="Three times the minimum of events: then a few slow ones are not a share of 5 %.",
    )


def rate(scope: Scope, name: str) -> Record:
    """Return the recording of events per second, over 5 minutes."""
    return Record(f"{scope.level}:{name}:rate5m", f"{scope.level}:{name}:increase5m / 300")


def increases_from_0(scope: Scope, known: str, *names: str) -> Iterator[Record]:
    """Yield growths over 5 minutes of sums that were 0 before they existed, where their app was known by another sum."""
    for name in names:
        series = f"{scope.level}:{name}:sum"
        since = (
            f"  max_over_time({series}[1h] offset 5m)\n"
            f"  or {series} * 0 and on (app) max_over_time(app:{known}:sum[1h] offset 5m)\n"
            f"  or min_over_time({series}[5m])\n"
        )
        yield Record(f"{scope.level}:{name}:increase5m", f"clamp_min({series} - (\n{since}), 0)")


def usual(scope: Scope, name: str, comment: str = "", known: str = "") -> Iterator[Record]:
    """Yield the recordings of what a series reaches at most in a usual week: the median of four weeks' maxima.

    One bad week does not become the norm. A sample an hour is enough of an hour's maximum. Unless there are two weeks,
    `known` is PromQL that must hold.
    """
    stem, labels = name.rpartition(":")[0], ", ".join(scope.labels)
    hour, week = f"{stem}:max1h", f"{stem}:max1w"
    weeks = f"{scope.level}_week:{stem.partition(':')[2]}:max1w"
    yield Record(hour, f"max_over_time({name}[1h])")
    yield Record(week, f"max_over_time({hour}[1w:1h])\nor {hour}")
    earlier = (f'label_replace({week} offset {number}w, "week", "{number}", "", "")' for number in (1, 2, 3))
    yield Record(weeks, "\nor ".join((week, *earlier)))
    two = f"count by ({labels}) ({weeks}) >= 2"
    expr = f"quantile by ({labels}) (0.5, {weeks})\nand on ({labels}) ({two}{known and f' or {known}'})"
    yield Record(f"{stem}:usual", expr, comment=comment)


def health_of_apps(scope: Scope) -> Record:
    """Return the recording of each indicator's state per app: the worst of what belongs to the app."""
    return Record(
        "app_indicator:platform_health:state", f"max by (app, indicator) ({scope.level}:platform_health:state)"
    )


def effective(indicator: Indicator) -> Iterator[Record]:
    """Yield the recordings of the thresholds in force; none is recorded where the exporter exposes no threshold."""
    if not indicator.scope.overrides:
        return
    for severity in indicator.bands:
        yield in_force(indicator.name, indicator.scope, indicator.members or indicator.value, severity)


def in_force(name: str, scope: Scope, members: str, severity: str = "") -> Record:
    """Return the recording of one threshold in force, of every member; the first override that exists counts."""
    band = f', severity="{severity}"' if severity else ""
    group = f"group by ({', '.join(scope.labels)}) ({members})"
    found = []
    for label in scope.overrides:
        own = f'max by ({label}) (platform_threshold{{indicator="{name}"{band}, {label}!=""}})'
        found.append(own if scope.labels == (label,) else f"{group}\n  * on ({label}) group_left () {own}")
    default = ", ".join(f'{label}=""' for label in scope.overrides)
    found.append(f'{group}\n  * scalar(max(platform_threshold{{indicator="{name}"{band}, {default}}})) >= 0')
    labels = {"indicator": name} | ({"severity": severity} if severity else {})
    return Record(f"{scope.level}:platform_threshold:effective", "\nor\n".join(found), labels)


def threshold(indicator: Indicator, severity: str) -> str:
    """Return the series, or number, that a value is compared with."""
    if not indicator.scope.overrides:
        return f'scalar(max(platform_threshold{{indicator="{indicator.name}", severity="{severity}"}}))'
    level = indicator.scope.level
    return f'{level}:platform_threshold:effective{{indicator="{indicator.name}", severity="{severity}"}}'


def compared(indicator: Indicator, severity: str, *, as_bool: bool = False) -> str:
    """Return the comparison of a value with the threshold of a severity."""
    beyond = "<" if indicator.lower_is_worse else ">"
    if indicator.inclusive and severity == next(iter(indicator.bands)):
        beyond += "="
    labels = ", ".join(indicator.scope.labels)
    on = f" on ({labels})" if indicator.scope.overrides else ""
    return f"{indicator.value} {beyond}{' bool' * as_bool}{on} {threshold(indicator, severity)}"


def firing(indicator: Indicator, severity: str) -> str:
    """Return the expression of the alert of one severity: beyond its threshold, and not beyond a graver one."""
    severities = list(indicator.bands)
    labels = ", ".join(indicator.scope.labels)
    graver = severities[severities.index(severity) + 1 :]
    own = _band(indicator, severity)
    unless = "".join(f"\nunless on ({labels})\n({_band(indicator, one)})" for one in graver)
    if indicator.covered_by:
        unless += f"\nunless on ({labels})\n({_covering(indicator.covered_by)})"
    return f"({own}){unless}" if unless else own


def _covering(alerts: str) -> str:
    """Return what is covered by other alerts, but not by those on a trial, which notify no one."""
    fired = f'max_over_time(ALERTS{{alertname=~"{alerts}", alertstate="firing"}}[5m])'
    return f"{fired} unless on (alertname) alertname:platform_alerts:trial"


def _band(indicator: Indicator, severity: str) -> str:
    more = f"\nand on ({', '.join(indicator.scope.labels)})\n{indicator.enough}" if indicator.enough else ""
    return compared(indicator, severity) + (more if severity != next(iter(indicator.bands)) else "")


def state(indicator: Indicator) -> Record | None:
    """Return the recording of an indicator's state: medium and high are one, warning; only the alerts distinguish them."""
    if indicator.state is None:
        return None
    labels = ", ".join(indicator.scope.labels)
    expr = indicator.state
    if not expr:
        mildest = next(iter(indicator.bands))
        expr = compared(indicator, mildest, as_bool=True)
        if "critical" in indicator.bands:
            expr = f"({expr})\n+ on ({labels})\n({compared(indicator, 'critical', as_bool=True)})"
        if indicator.members:
            expr += f"\nor on ({labels})\n-1 * group by ({labels}) (last_over_time({indicator.members}[1h]))"
    level = "app_indicator" if indicator.scope == APP else indicator.scope.level
    return Record(f"{level}:platform_health:state", expr, {"indicator": indicator.name})
