"""Format issues for a terminal."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from exporter import printing
from exporter.printing import one_line, plural

Row = dict[str, Any]

HEADINGS = ("ID", "STATUS", "SEVERITY", "APP", "EVENTS", "LAST SEEN", "ASSIGNED TO", "ERROR")
SOURCE = "SOURCE"
"""The heading of the source where issues are of several event stores."""
WIDEST = {"APP": 24, "ASSIGNED TO": 20, "ERROR": 100}


def table(issues: Sequence[Row], now: datetime) -> Iterator[str]:
    """Return headings and a line per issue; nothing where there are none."""
    if any("source" in issue for issue in issues):
        return printing.table((SOURCE, *HEADINGS), [(issue["source"] or "-", *_cells(issue, now)) for issue in issues])
    return printing.table(HEADINGS, [_cells(issue, now) for issue in issues])


def _cells(issue: Row, now: datetime) -> tuple[str, ...]:
    error = issue["error_type"] + (f": {issue['message']}" if issue["message"] else "")
    again = f" ({plural(issue['regressions'], 'regression')})" if issue["regressions"] else ""
    return (
        issue["id"],
        issue["status"],
        one_line(issue["severity"], 10),
        one_line(issue["app"], WIDEST["APP"]),
        str(issue["events"]),
        ago(issue["last_seen"], now),
        one_line(issue["assignee"] or "-", WIDEST["ASSIGNED TO"]),
        one_line(error, WIDEST["ERROR"]) + again,
    )


def ago(then: datetime, now: datetime) -> str:
    """Return how long ago that is, in the largest unit that fits."""
    seconds = (now - then).total_seconds()
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= length:
            return f"{seconds // length:.0f}{unit} ago"
    return "just now"


_SHOWN = ("app", "fingerprint", "from", "to", "merged", "into", "split", "out_of")


def details(issue: Row, since: str) -> Iterator[str]:
    """Yield everything about an issue; `since` is how far back its rows were read."""
    yield f"{one_line(issue['error_type'], 200)}: {one_line(issue['message'] or '(no message)', 1000)}"
    if "source" in issue:
        yield f"  {'source':<13} {one_line(issue['source'] or '-', 200)}"
    for name in ("id", "app", "status", "severity", "endpoint", "fingerprint", "events", "regressions", "assignee"):
        yield f"  {name:<13} {one_line(issue[name] if issue[name] is not None else '-', 200)}"
    for fingerprint in issue["fingerprints"]:
        yield f"  {'and':<13} {one_line(fingerprint, 200)}"
    yield f"  {'first seen':<13} {_at(issue['first_seen'])} {_release(issue['first_release'])}"
    yield f"  {'last seen':<13} {_at(issue['last_seen'])} {_release(issue['last_release'])}"
    yield from _state(issue)
    if "users" not in issue:
        yield "  (users, releases and occurrences are in the application's own table)"
    else:
        yield f"  {'users':<13} {issue['users']} in the last {since}"
        yield from _rows(issue)
    yield ""
    yield "History"
    for entry in issue["history"]:
        others = {k: v for k, v in entry["details"].items() if k not in _SHOWN}
        more = ", ".join(f"{name} {one_line(value, 200)}" for name, value in others.items())
        yield f"  {_at(entry['at'])}  {_change(entry):<20}  {one_line(entry['actor'], 60)}  {more}".rstrip()
    if not issue["history"]:
        yield "  no changes yet"


_REGROUPED = {"merged": "merged", "into": "merged into", "split": "split off", "out_of": "split from"}


def _change(entry: Row) -> str:
    action, details = entry["action"].removeprefix("error."), entry["details"]
    if action == "comment":
        return "comment"
    for name, words in _REGROUPED.items():
        if name in details:
            return f"{words} {', '.join(one_line(id_, 20) for id_ in details[name])}"
    if action.endswith("assign"):
        return f"assigned to {one_line(details.get('to', 'nobody'), 60)}"
    return f"{details.get('from')} -> {details.get('to')}"


def _state(issue: Row) -> Iterator[str]:
    if issue["status"] == "resolved":
        by, release = one_line(issue["resolved_by"] or "the application", 60), _release(issue["resolved_release"])
        at = _at(issue["resolved_at"]) if issue["resolved_at"] else ""
        yield f"  {'resolved':<13} {at} by {by} {release}".rstrip()
    if issue["status"] == "ignored":
        ends = [f"until {_at(issue['ignored_until'])}"] if issue["ignored_until"] else []
        if issue["ignored_until_events"] is not None:
            ends.append(f"until {issue['ignored_until_events']} events")
        yield f"  {'ignored':<13} {' or '.join(ends) or 'until it is reopened'}"


def _rows(issue: Row) -> Iterator[str]:
    yield ""
    yield "Releases"
    for one in issue["releases"]:
        yield f"  {one_line(one['release'] or '(none)', 40):<24} {one['events']:>8}  last {_at(one['last_seen'])}"
    yield ""
    yield "Latest occurrences"
    for one in issue["occurrences"]:
        user = f"user {one_line(one['user_id'], 60)}" if one["user_id"] else ""
        parts = (_at(one["at"]), one_line(one["endpoint"] or "-", 60), user, one_line(one["message"] or "", 200))
        yield "  " + "  ".join(part for part in parts if part)
    yield ""
    yield "Stack trace"
    for text in (issue["stack_trace"] or "(none)").splitlines():
        yield f"  {one_line(text, 1000)}"


def _at(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M:%S}"


def _release(release: str | None) -> str:
    return f"in {one_line(release, 60)}" if release else ""
