"""The past of series as OpenMetrics text with timestamps, written piece by piece.

Memory holds one number a series (a histogram: one a bucket) and the increments of one piece.
https://prometheus.io/docs/specs/om/open_metrics_spec/
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import TextIO

from prometheus_client import utils

from exporter.aggregation.series import Total
from exporter.exposition.families import Family
from exporter.exposition.rollups import families_of
from exporter.history.increments import Increment, SeriesKey, SourcePast, TimeGrid, key

END = "# EOF\n"
"""The last line of OpenMetrics text."""

ROUNDING = 1e-12
"""Share of a sum; a million additions of doubles are off by less (2 ** -53 each, at most)."""


@dataclass(slots=True)
class _Series:
    """A series: the text before each of its values, and the current values (buckets, count and sum; or one)."""

    family: Family
    lines: list[str]
    values: list[float]
    known: bool
    coming: dict[int, list[Increment]] = field(default_factory=dict)


class Timeline:
    """The past of some sources, written in the order of time. `labels` are those that Prometheus adds to a scrape."""

    def __init__(
        self,
        pasts: Iterable[SourcePast],
        constants: Iterable[tuple[str, Mapping[str, str], float]],
        grid: TimeGrid,
        labels: Mapping[str, str],
        added: tuple[str, ...] = (),
    ) -> None:
        """Take the pasts, whose series may have the labels `added`.

        `constants` are gauges that never changed: name, labels, value.
        """
        pasts = list(pasts)
        self._grid = grid
        self._series: dict[SeriesKey, _Series] = {}
        self._families: list[tuple[Family, list[_Series]]] = []
        since: dict[SeriesKey, list[Increment]] = {}
        for past in pasts:
            for found, increment in past.since.items():
                since.setdefault(found, []).append(increment)
        for family, totals in families_of((total for past in pasts for total in past.totals), added):
            made = [self._begin(family, total, since, labels) for total in totals]
            self._families.append((family, made))
        self._constants = [f"{name}{braces({**given, **labels})} {_number(value)} " for name, given, value in constants]
        self._coming = [_Lookahead(past.increments) for past in pasts]

    @property
    def series(self) -> int:
        """Return how many series there are."""
        return len(self._constants) + sum(len(one.lines) for _, made in self._families for one in made)

    def write(self, first: int, last: int, out: TextIO) -> None:
        """Write the times number `first` to `last`, both included; call it for one piece after the other."""
        for increment in chain.from_iterable(coming.until(last) for coming in self._coming):
            series = self._series.get(increment.key)
            if series is not None:
                series.coming.setdefault(increment.step, []).append(increment)
        times = [str(self._grid.at(step)) + "\n" for step in range(first, last + 1)]
        for family, made in self._families:
            out.write(f"# TYPE {family.base_name} {family.type}\n")
            for series in made:
                _write(series, first, times, out)
        for name in dict.fromkeys(line.partition("{")[0] for line in self._constants):
            out.write(f"# TYPE {name} gauge\n")
            out.writelines(line + time for line in self._constants if line.startswith(f"{name}{{") for time in times)
        out.write(END)

    def _begin(
        self, family: Family, total: Total, since: Mapping[SeriesKey, list[Increment]], labels: Mapping[str, str]
    ) -> _Series:
        found = key(total.metric, total.type, total.labels)
        shown = {name: value for name in family.labels if (value := total.labels.get(name, "")) != ""}
        shown.update(labels)
        name = family.name
        if family.type in ("histogram", "summary"):
            bounds = [*map(repr, family.bounds), "+Inf"] if family.type == "histogram" else []
            lines = [f"{name}_bucket{braces({**shown, 'le': bound})} " for bound in bounds]
            lines += [f"{name}_count{braces(shown)} ", f"{name}_sum{braces(shown)} "]
        else:
            lines = [f"{name}{braces(shown)} "]
        gauge = total.type == "gauge"
        # A gauge is unknown until it is first set in the grid; earlier values are not read.
        values = _values(total.value, total.total, total.buckets, family)
        for increment in () if gauge else since.get(found, ()):
            grown = _values(increment.value, increment.total, increment.buckets, family)
            values = [value - less for value, less in zip(values, grown, strict=True)]
        series = _Series(family, lines, values, known=not gauge)
        self._series[found] = series
        return series


def _values(value: float, total: float | None, buckets: list[float] | None, family: Family) -> list[float]:
    """Return the numbers of a series in the order of its lines."""
    if family.type == "histogram":
        return [*(buckets or [0.0] * len(family.bounds)), value, value, total or 0.0]
    return [value, total or 0.0] if family.type == "summary" else [value]


def _write(series: _Series, first: int, times: list[str], out: TextIO) -> None:
    """Write a series at each time; consecutive lines of one name must be in the order of time."""
    columns: list[list[str]] = [[] for _ in series.lines]
    texts = _texts(series)
    for number, time in enumerate(times):
        if increments := series.coming.get(first + number):
            for increment in increments:
                _apply(series, increment)
            texts = _texts(series)
        if series.known:
            for column, text in zip(columns, texts, strict=True):
                column.append(text + time)
    series.coming.clear()
    for column in columns:
        out.writelines(column)


def _texts(series: _Series) -> list[str]:
    # More rows than were counted (changed since, so that they would count now): the series begins later, and still
    # ends at the counter.
    shown = series.values if series.family.type == "gauge" else [_joining(max(0.0, value)) for value in series.values]
    return [line + _number(value) + " " for line, value in zip(series.lines, shown, strict=True)]


def _joining(value: float) -> float:
    """Return a sum of fractions lowered by more than rounding.

    Added up in another order, the live counter may be a step below it where it goes on: PromQL would see a reset.
    """
    return value if value.is_integer() else value * (1 - ROUNDING)


def _apply(series: _Series, increment: Increment) -> None:
    if series.family.type == "gauge":
        series.values, series.known = [increment.value], True
        return
    grown = _values(increment.value, increment.total, increment.buckets, series.family)
    series.values = [value + more for value, more in zip(series.values, grown, strict=True)]


class _Lookahead:
    """Increments up to a step at a time; the first one beyond it is kept for later."""

    def __init__(self, increments: Iterator[Increment]) -> None:
        self._increments = increments
        self._kept: Increment | None = None

    def until(self, step: int) -> Iterator[Increment]:
        while (found := self._kept or next(self._increments, None)) is not None:
            self._kept = found if found.step > step else None
            if self._kept:
                return
            yield found


def _number(value: float) -> str:
    text: str = utils.floatToGoString(value)  # type: ignore[no-untyped-call]  # it has no annotations
    return text


def braces(labels: Mapping[str, str]) -> str:
    """Return labels in the form that follows a name."""
    pairs = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())
    return f"{{{pairs}}}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
