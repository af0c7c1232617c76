"""Show counters of issues as 0 before the first: a series that appears with 1 shows no increase."""

from collections.abc import Iterable, Iterator

from exporter.aggregation.issues import CREATED, REGRESSIONS
from platform_sdk.events.error import SEVERITIES


def issue_zeros(series: Iterable[tuple[str, dict[str, str], float]]) -> Iterator[tuple[str, dict[str, str], float]]:
    """Yield (metric, labels, created) of what is 0 so far, for every app that `series`, of the same shape, know.

    An app that only ever served requests has these zeros too: its first error must be seen as one more than none.
    """
    known: set[tuple[str, str, str]] = set()
    since: dict[str, float] = {}
    for metric, labels, created in series:
        app = labels.get("app")
        if app is not None:
            known.add((metric, app, labels.get("severity", "")))
            since[app] = min(created, since.get(app, created))
    for app, created in since.items():
        if (REGRESSIONS, app, "") not in known:
            yield REGRESSIONS, {"app": app}, created
        for severity in SEVERITIES:
            if (CREATED, app, severity) not in known:
                yield CREATED, {"app": app, "severity": severity}, created
