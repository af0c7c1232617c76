"""Families made of committed rollups: those of one series added up, names of samples kept apart, zeros filled in."""

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from exporter.aggregation.series import Exemplar, Total
from exporter.exposition.families import (
    ALERT_FAMILIES,
    EVENT_FAMILIES,
    EXPORTER_FAMILIES,
    FAMILIES,
    STATE_FAMILIES,
    Family,
    sample_family,
    used_names,
)
from platform_sdk.events.sample import PREFIX, bounds_of

logger = logging.getLogger(__name__)

_Series = dict[tuple[str, ...], Total]
"""The rollups of a family by their labels."""


def families_of(totals: Iterable[Total], added: tuple[str, ...] = ()) -> Iterator[tuple[Family, list[Total]]]:
    """Yield every family of these rollups with its series, each once; those that can occur but never did are 0.

    `added` are the names of labels that the configuration adds (exposition/labels.py).
    """
    merged = _merge(total for total in totals if _is_current(total))
    for family in EVENT_FAMILIES:  # what never failed has zeros all the same
        if family.zero_fill and (family.zero_fill.attempts, "counter") in merged:
            merged.setdefault((family.name, family.type), {})
    for family, series in _families(merged):
        labels = dict.fromkeys((*family.labels, *added))
        yield replace(family, labels=tuple(labels)), list(_filled(family, series, merged))


def _merge(totals: Iterable[Total]) -> dict[tuple[str, str], _Series]:
    merged: dict[tuple[str, str], _Series] = {}
    for total in totals:
        series = merged.setdefault((total.metric, total.type), {})
        key = _key(total.labels)
        known = series.get(key)
        series[key] = total if known is None else _sum(known, total)
    return merged


def _key(labels: Mapping[str, str]) -> tuple[str, ...]:
    """Return the key of a series: an empty label counts as missing (https://prometheus.io/docs/concepts/data_model)."""
    return tuple(item for pair in sorted(labels.items()) if pair[1] != "" for item in pair)


_STORED = {
    family.name: family
    for family in (*EVENT_FAMILIES, *STATE_FAMILIES, *ALERT_FAMILIES, *EXPORTER_FAMILIES)
    if family in EVENT_FAMILIES or family.type in ("counter", "histogram")
}
"""The declared families whose series are rollups; the others are made at a poll or scrape."""


def _is_current(total: Total) -> bool:
    """Return whether this version writes such a rollup; an older version's may differ in name, type or buckets."""
    family = _STORED.get(total.metric)
    if family is None:
        known = total.metric.startswith(PREFIX) and (total.type != "counter" or total.metric.endswith("_total"))
    else:
        known = family.type == total.type
    bounds = bounds_of(total.metric) if family is None else family.bounds
    current = known and (total.type != "histogram" or len(total.buckets or ()) == len(bounds))
    if not current:
        logger.debug("rollup %s of type %s comes from an older version", total.metric, total.type)
    return current


def _families(merged: Mapping[tuple[str, str], _Series]) -> Iterator[tuple[Family, _Series]]:
    """Yield every family with its series, no name twice.

    The rows of samples choose names and types, so that two may have one name: a gauge and a histogram `x`, or a counter
    whose series `x_total` has a gauge's name. The older one keeps it, the other gets a word for its type appended, and
    is left out only if that name is taken as well.
    """
    taken = {name for family in FAMILIES.values() for name in used_names(family)}
    chosen: dict[tuple[str, str], Family] = {}
    since = {key: min((total.created for total in series.values()), default=0.0) for key, series in merged.items()}
    for name, kind in sorted(merged, key=lambda key: (since[key], key)):
        family = _STORED.get(name)
        if family is None:
            first = _sample(name, kind, merged[name, kind])
            family = next((f for f in (first, _renamed(first)) if taken.isdisjoint(used_names(f))), None)
        if family is None:
            logger.warning("sample %s of type %s is left out: another sample has its name", name, kind)
            continue
        taken.update(used_names(family))
        chosen[name, kind] = family
    for key in sorted(chosen):
        yield chosen[key], merged[key]


_WORDS = {"counter": "increments", "gauge": "value", "histogram": "distribution", "summary": "observations"}
"""What is appended to a name by type; promtool warns about the types' own names there."""


def _renamed(family: Family) -> Family:
    suffix = "_total" if family.type == "counter" else ""
    text = f"{family.help.removesuffix('.')}; the name without _{_WORDS[family.type]} is that of another sample."
    return replace(family, name=f"{family.base_name}_{_WORDS[family.type]}{suffix}", help=text)


def _sum(a: Total, b: Total) -> Total:
    created = min(a.created, b.created)
    if a.type == "gauge":
        newest = a if (a.at or 0.0) >= (b.at or 0.0) else b
        return Total(a.metric, a.type, a.labels, newest.value, None, None, newest.at, created)
    total = None if a.total is None or b.total is None else a.total + b.total
    buckets = None
    if a.buckets is not None and b.buckets is not None:
        buckets = [x + y for x, y in zip(a.buckets, b.buckets, strict=True)]
    return Total(a.metric, a.type, a.labels, a.value + b.value, total, buckets, None, created, exemplars=_newest(a, b))


def _newest(a: Total, b: Total) -> dict[int, Exemplar] | None:
    found = dict(a.exemplars or {})
    for place, exemplar in (b.exemplars or {}).items():
        if place not in found or found[place].at < exemplar.at:
            found[place] = exemplar
    return found or None


def _sample(name: str, kind: str, series: _Series) -> Family:
    names = {label for total in series.values() for label in total.labels}
    return sample_family(name, kind, ("app", *sorted(names - {"app"})))


def _filled(family: Family, series: _Series, merged: Mapping[tuple[str, str], _Series]) -> Iterator[Total]:
    """Yield the series, and zeros for those that can occur but did not yet."""
    yield from series.values()
    fill = family.zero_fill
    if fill is None:
        return
    for attempt in merged.get((fill.attempts, "counter"), {}).values():
        for value in fill.values:
            labels = {**attempt.labels, fill.label: value}
            if _key(labels) not in series:
                yield Total(family.name, family.type, labels, 0.0, created=attempt.created)
