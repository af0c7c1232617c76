"""Counters that several event stores add up to, while it is not known what one of them had shown."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from exporter.aggregation.series import NOT_POLLED, SourceView
from exporter.exposition.labels import EXPORTER_PREFIX, AddedLabels

NO_LABELS = AddedLabels()


def without_partial_sums(
    views: Sequence[SourceView], stores: Iterable[str], added: AddedLabels = NO_LABELS
) -> tuple[SourceView, ...]:
    """Return the views without the counters that event stores have in common while one of `stores` is unknown.

    After a restart, with one store away and nothing remembered of it, the sums of the others would be below what was
    shown: Prometheus would take that for a counter that began again, and count all of it once more.
    """
    withheld = {name for _, names in _withheld(views, {*stores}, added) for name in names}
    return tuple(
        replace(view, totals=tuple(one for one in view.totals if one.metric.startswith(EXPORTER_PREFIX)))
        if view.source in withheld
        else view
        for view in views
    )


def notices(views: Sequence[SourceView], stores: Iterable[str], added: AddedLabels = NO_LABELS) -> list[str]:
    """Return whose counters are not shown and what they wait for, once it is known that the wait may be long."""
    return [
        f"source {unknown.source} was not read since the start, and no `state_folder` says what was shown of it: the "
        f"counters of {', '.join(names)} are withheld until it is, as their sums would be too low "
        f"({'; '.join(unknown.problems)})"
        for unknown, names in _withheld(views, {*stores}, added)
        if names and unknown.problems != NOT_POLLED
    ]


def _withheld(
    views: Sequence[SourceView], stores: set[str], added: AddedLabels
) -> Iterator[tuple[SourceView, list[str]]]:
    """Yield each unknown store, and the known ones whose counters are added to its own."""
    known = [view.source for view in views if view.source in stores and view.known and not view.doubled]
    for view in views:
        if view.source in stores and not view.known:
            labels = added.of(view.source)
            yield view, [name for name in known if added.of(name) == labels]
