"""What is found, as text for a terminal."""

import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from exporter.aggregation.rollup import SELF_EVENTS, SELF_REJECTED
from exporter.config.settings import Limits
from exporter.exposition import kinds
from exporter.inspection.chart import Chart
from exporter.inspection.preview import Line, Preview, Rejection
from exporter.inspection.reconcile import Comparison, Reconciliation
from exporter.printing import one_line, plural, table

WIDTH = 100
SHOWN_SERIES = 4
SHOWN_NAMES = 20
LARGEST_OFFSET_SECONDS = 15 * 3600
"""Local time is at most 14 hours ahead of UTC; a time further ahead is wrong in another way."""


def preview(found: Preview, limits: Limits) -> Iterator[str]:
    """Yield what a preview shows, in lines that fit a terminal of WIDTH columns."""
    stream = found.stream
    yield ""
    yield f"{stream.relation} -> {stream.kind.name}   (source {stream.source}, stream {stream.name})"
    yield from _wrapped(_summary(found), indent="  ")
    sections = {
        "Newest rows that count": _newest(found),
        f"Series on /metrics: {len(found.series):,}, the largest of each name": _series(found.series),
        f"Rejected: {plural(found.rejected, 'row')}, an example of each kind": _rejections(found),
        "Values in another spelling": _spellings(found),
        "Types that differ": _types(found),
        "Columns that are not mapped, and what they would show": _left_out(found),
        "Notes": _notes(found, limits),
    }
    for title, section in sections.items():
        if lines := list(section):
            yield from ("", f"  {title}")
            yield from (one_line(f"    {line}", WIDTH) for line in lines)


def state(relation: str, lines: Sequence[Line]) -> Iterator[str]:
    """Yield what the gauges of a table of state show."""
    yield ""
    yield f"{relation}   (state, read at every poll)"
    yield from (one_line(f"    {line}", WIDTH) for line in (_series(lines) if lines else ["no rows"]))


def how(found: Preview) -> str:
    """Return when a row counts."""
    stream = found.stream
    if stream.counted == "deleted":
        return "A row counts when it is deleted, as it was; those below are still there."
    if stream.cursor:
        return (
            f"A row counts once, {stream.settle_seconds:g} s after {stream.cursor.replace('%%', '%')}, and one that is "
            "committed later than that is missed (approximate)."
        )
    if not stream.counted_when:
        return "A row counts once, when it is inserted."
    every = stream.counted == "every_change"
    when = "with every change that makes" if every else "once, with the change that first makes"
    return f"A row counts {when} `counted_when` true: now it is true for {found.counting:,} of {found.there:,}."


def cause(one: Rejection) -> str:
    """Return why a row is rejected."""
    texts = {name: "NULL" if text is None else one_line(text, 40) for name, text in one.example.items()}
    values = ", ".join(f"{name} is {text}" for name, text in texts.items())
    if one.ahead_seconds is not None:
        return f"{values}: {_duration(one.ahead_seconds)} ahead of the database's clock"
    if one.problem:
        return f"{', '.join(one.columns) or '`where` or `join`'}: {one.problem}"
    return values


def _summary(found: Preview) -> str:
    parts = [f"Looked at {plural(found.rows, 'row')}: {found.sample.which}."]
    if found.stream.where != "true":
        parts.append(f"{found.there:,} meet `where`.")
    parts.append(how(found))
    if found.counting:
        good, rejected = found.counting - found.rejected, f"{found.rejected:,}" if found.rejected else "none"
        parts.append(f"{good:,} of {found.counting:,} would count, {rejected} would be rejected.")
    return " ".join(parts)


def _newest(found: Preview) -> Iterator[str]:
    does = kinds.effects(found.stream.kind)
    mapped = [name for name in found.stream.columns if name != "app"]
    # What makes series first, as a terminal has no room for all.
    names = sorted(mapped, key=lambda name: (name != "at", not does[name], list(does).index(name)))
    shown: list[str] = []
    for name in names:
        if max(map(len, _cells(found, [*shown, name])), default=0) <= WIDTH - 4:
            shown.append(name)
    yield from _cells(found, shown)
    if found.newest and len(shown) < len(names):
        yield f"(and {', '.join(name for name in names if name not in shown)}: see --json)"


def _cells(found: Preview, names: list[str]) -> list[str]:
    types = {column.name: column.type for column in found.stream.kind.all_columns}
    return list(table(names, [[_cell(types[name], row[name]) for name in names] for row in found.newest]))


def _cell(type_: str, text: str | None) -> str:
    if text is None:
        return "-"
    if type_ == "double precision":
        return f"{float(text):.6g}"
    return text[:19] if type_ == "timestamptz" else one_line(text, 24)


def _series(found: Sequence[Line]) -> Iterator[str]:
    by_name: dict[str, list[tuple[float, str]]] = {}
    for name, labels, value in found:
        pairs = ", ".join(f'{key}="{text}"' for key, text in labels.items())
        by_name.setdefault(name, []).append((value, f"{{{pairs}}}"))
    for name, lines in list(by_name.items())[:SHOWN_NAMES]:
        yield name
        lines.sort(key=lambda line: (-line[0], line[1]))
        shown = lines[: 1 if lines[0][0] == 0 else SHOWN_SERIES]
        yield from (f"{_number(name, value):>20}  {labels}" for value, labels in shown)
        if len(lines) > len(shown):
            yield f"{'...':>20}  and {len(lines) - len(shown):,} more"
    if len(by_name) > SHOWN_NAMES:
        yield f"... and {len(by_name) - SHOWN_NAMES:,} more names: see --json"


def _number(name: str, value: float) -> str:
    if name.endswith("_timestamp_seconds"):
        return f"{datetime.fromtimestamp(value, UTC):%Y-%m-%d %H:%M:%S}"
    return f"{value:,.0f}" if value == int(value) else f"{value:,.6g}"


def _rejections(found: Preview) -> Iterator[str]:
    for one in sorted(found.rejections, key=lambda one: -one.rows):
        yield from _wrapped(f"{one.rows:>8,}  {one.reason:<12}  {cause(one)}", hang=24)
        if one.ahead_seconds and one.ahead_seconds <= LARGEST_OFFSET_SECONDS and found.stream.adopted:
            yield from _wrapped(
                f"`at` is mapped to {found.stream.columns['at'].replace('%%', '%')}: if the table holds local time "
                "without its zone, name the zone there, as in t.created_at AT TIME ZONE 'Europe/Berlin'",
                indent=" " * 24,
            )


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02} min" if minutes < 60 * 48 else plural(minutes // 1440, "day")


def _spellings(found: Preview) -> Iterator[str]:
    columns = {column.name: column for column in found.stream.kind.columns}
    for one in found.spellings:
        column = columns[one.column]
        listed = ", ".join(column.values)
        fate = f"is read as {one.means}" if one.means else f"{column.fate}; understood: {listed}"
        yield from _wrapped(f"{one.rows:>8,}  {one.column} {one.value!r} {fate}", hang=10)


_TEXTS = {"text", "character varying", "character", "name"}
_NUMBERS = ("smallint", "integer", "bigint", "real", "double precision", "numeric")
_SAFE = {(a, b) for n, a in enumerate(_NUMBERS) for b in (*_NUMBERS[n:], "double precision")}
"""Pairs of types between which every value can be cast."""


def _types(found: Preview) -> Iterator[str]:
    for column in found.stream.kind.all_columns:
        wanted = {"timestamptz": "timestamp with time zone"}.get(column.type, column.type)
        has = found.types.get(column.name, wanted)
        if has != wanted and not {has, wanted} <= _TEXTS and (has, wanted) not in _SAFE and wanted != "text":
            how = "read as UTC" if "without time zone" in has else "what cannot be cast is rejected as malformed"
            yield f"{column.name:<18} {has} -> {wanted}: {how}"


def _left_out(found: Preview) -> Iterator[str]:
    for name, effects in kinds.effects(found.stream.kind).items():
        if name not in found.stream.columns | found.stream.details and effects:
            yield from _wrapped(f"{name:<20} {'; '.join(effects).replace('`', '')}", hang=21)


def _notes(found: Preview, limits: Limits) -> Iterator[str]:
    if found.joined != found.rows:
        verb = "multiplies" if found.joined > found.rows else "drops"
        yield from _wrapped(
            f"`join` {verb} rows: it makes {found.joined:,} of {found.rows:,}; expected one for each, as a LEFT JOIN "
            "on a unique column gives"
        )
    for metric, sets in found.label_sets.items():
        if sets > limits.series_per_metric:
            yield from _wrapped(
                f"{metric} has {sets:,} label sets here, the limit is {limits.series_per_metric:,}: the rest is folded "
                "into `_other_`. Map a template in place of raw paths, ids and messages"
            )
    if not found.indexed:
        yield from _wrapped(
            f"no index finds the newest rows by `cursor` ({found.stream.cursor.replace('%%', '%')}): each poll will "
            f"read the whole of {found.stream.relation}; let one begin with it"
        )
    if found.rows and not found.counting:
        yield "no row looked at counts: check `where` and `counted_when`"


def _wrapped(text: str, indent: str = "", hang: int | None = None) -> list[str]:
    following = indent if hang is None else " " * hang
    return textwrap.wrap(text, WIDTH - 4, initial_indent=indent, subsequent_indent=following)


def reconciliation(found: Reconciliation) -> Iterator[str]:
    """Yield a source's comparisons, differences first, and what it all means."""
    yield from ("", f"source {found.source}, at {found.at:%Y-%m-%d %H:%M:%S} UTC")
    often = Counter(one.metric for one in found.comparisons)
    ordered = sorted(found.comparisons, key=lambda one: (one.explained, one.difference == 0))
    rows = [
        (_name(one, often[one.metric] > 1), *map(_amount, (one.counter, one.rows, one.removed)), _verdict(one))
        for one in ordered
    ]
    yield from (f"  {line}" for line in table(("metric", "counter", "rows", "removed", ""), rows, numbers=True))
    for why in dict.fromkeys(one.why for one in ordered if one.why):
        yield from _wrapped(f"  explained: {why}", hang=4)
    for text in (*found.notes, *found.problems):
        yield from _wrapped(f"  {text}", hang=4)
    yield f"  {_conclusion(found)}"


def charts(found: Sequence[Chart]) -> Iterator[str]:
    """Yield counters beside what Prometheus has of them."""
    yield from ("", "in Prometheus")
    rows = [
        (one.metric, *map(_amount, (one.counter, one.value, one.counter - one.value, one.began_with))) for one in found
    ]
    headings = ("metric", "counter", "chart", "behind", "not in increase()")
    yield from (f"  {line}" for line in table(headings, rows, numbers=True))
    yield from _wrapped(
        "  behind: what a scrape has not seen yet. not in increase(): what series of the last day began with", hang=4
    )


def _name(one: Comparison, several: bool) -> str:
    name = one.metric.replace(SELF_EVENTS, "rows counted").replace(SELF_REJECTED, "rows rejected as")
    return f"{name}, {one.stream}" if several or name != one.metric else name


def _verdict(one: Comparison) -> str:
    if one.difference == 0:
        return "exact"
    return f"{one.difference:+,.6g} {'explained' if one.why else 'UNEXPLAINED'}"


def _amount(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:,.2f}"


def _conclusion(found: Reconciliation) -> str:
    exact = sum(one.difference == 0 for one in found.comparisons)
    explained = sum(one.difference != 0 and one.explained for one in found.comparisons)
    unexplained = len(found.comparisons) - exact - explained
    parts = {
        f"{exact} of {plural(len(found.comparisons), 'figure')} exact": True,
        f"{explained} explained": explained,
        f"{unexplained} UNEXPLAINED": unexplained,
        f"{plural(found.waiting, 'row')} not yet counted": found.waiting,
    }
    return "; ".join(text for text, said in parts.items() if said)
