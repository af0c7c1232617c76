"""Read what a client asks for: a JSON body, or the query parameters of a panel's action in Grafana."""

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from exporter.errors import ChangeError, TimeTextError
from exporter.issues.change import MOST, Action, Change
from exporter.issues.selection import Selection
from exporter.times import moment
from exporter.times import span as span_of

_Text = Annotated[str, Meta(min_length=1, max_length=1000, pattern=r"^[^\x00]*$")]
_Texts = Annotated[tuple[_Text, ...], Meta(max_length=1000)]


class Filter(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Hold what `Selection` holds, as clients write it. An empty list of one kind is a mistake, not every issue."""

    app: _Texts = ()
    severity: _Texts = ()
    status: _Texts = ()
    endpoint: _Texts = ()
    type: _Texts = ()
    since: _Text | None = None
    search: _Text | None = None


class Asked(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, rename={"for_": "for"}):
    """Hold a request: which issues, by `ids` or by `filter` with the number `expected`, and how to change them."""

    ids: Annotated[tuple[Annotated[str, Meta(pattern=r"^[0-9a-f]{16}$")], ...], Meta(max_length=MOST)] = ()
    filter: Filter | None = None
    expected: Annotated[int, Meta(ge=0)] | None = None
    release: str | None = None
    until: _Text | None = None
    for_: _Text | None = None
    events: int | None = None
    note: str | None = None


_SINGLE = ("expected", "release", "until", "for", "events", "note")


def from_body(body: bytes) -> Asked:
    """Read a JSON body. Raises ChangeError."""
    try:
        return msgspec.json.decode(body, type=Asked)
    except msgspec.MsgspecError as error:
        raise ChangeError(f"the body is not what is wanted: {error}") from error


def from_query(pairs: Iterable[tuple[str, str]], body: bytes) -> Asked:
    """Read query parameters, which Grafana encodes whatever is in them, unlike what it puts into a body.

    `ids` is separated by commas; those of a filter may be repeated, or hold JSON's list, as a variable's format `json`
    does. The body is Grafana's default, `{}`, or empty. An empty parameter counts as left out. Raises ChangeError.
    """
    if body.strip() not in (b"", b"{}", b"[]"):
        raise ChangeError("the body is not empty; wanted everything in the query, where nothing needs escaping")
    tree: dict[str, Any] = {}
    filters: dict[str, Any] = {}
    for name, text in pairs:
        if not text:
            continue
        if name == "ids":
            tree["ids"] = [*tree.get("ids", ()), *(id_.strip() for id_ in text.split(",") if id_.strip())]
        elif name in ("since", "search"):
            _once(filters, name, text)
        elif name in Filter.__struct_fields__:
            filters[name] = [*filters.get(name, ()), *_values(text)]
        elif name in _SINGLE:
            _once(tree, name, text)
        else:
            wanted = ", ".join(("action", "ids", *Filter.__struct_fields__, *_SINGLE))
            raise ChangeError(f"unknown parameter {name!r}; wanted {wanted}")
    if filters:
        tree["filter"] = filters
    try:
        return msgspec.convert(tree, Asked, strict=False)
    except msgspec.ValidationError as error:
        raise ChangeError(f"the query is not what is wanted: {error}") from error


def understood(asked: Asked, action: Action, now: datetime) -> tuple[Selection, Change]:
    """Return which issues are meant and what is to be done. Raises ChangeError."""
    if bool(asked.ids) == (asked.filter is not None):
        raise ChangeError("wanted either `ids` or a filter with `expected`, the number of issues it is thought to mean")
    if asked.filter is not None and asked.expected is None:
        raise ChangeError("`expected` is missing; wanted the number of issues that the filter is thought to mean")
    if asked.until and asked.for_:
        raise ChangeError("`until` and `for` are both given; wanted one of them")
    change = Change(
        action=action,
        release=asked.release,
        until=until(asked.until, asked.for_, now),
        events=asked.events,
        note=asked.note,
    )
    change.check(now)
    return _selection(asked, now), change


def until(time: str | None, span: str | None, now: datetime) -> datetime | None:
    """Return when ignoring ends: at a time (UTC if bare), or after a span such as 7d. Raises ChangeError."""
    try:
        if time:
            return moment(time, now)
        return now + span_of(span) if span else None
    except TimeTextError as error:
        raise ChangeError(f"`{'until' if time else 'for'}`: {error}") from error


def _selection(asked: Asked, now: datetime) -> Selection:
    if asked.filter is None:
        return Selection(ids=tuple(dict.fromkeys(asked.ids)))
    given = asked.filter
    try:
        since = moment(given.since, now) if given.since else None
    except TimeTextError as error:
        raise ChangeError(f"`since`: {error}") from error
    selection = Selection(
        apps=given.app,
        severities=given.severity,
        statuses=given.status,
        endpoints=given.endpoint,
        types=given.type,
        since=since,
        search=given.search,
    )
    if selection == Selection():
        raise ChangeError(
            "the filter is empty; wanted at least one of app, severity, status, endpoint, type, since, search"
        )
    return selection


def _values(text: str) -> list[str]:
    """Return the texts of JSON's list or text, or the text itself."""
    if text[0] in '["':
        try:
            parsed = json.loads(text)
        except ValueError:
            return [text]
        return parsed if isinstance(parsed, list) else [parsed]
    return [text]


def _once(tree: dict[str, Any], name: str, text: str) -> None:
    if name in tree:
        raise ChangeError(f"{name!r} is given twice; wanted it once")
    tree[name] = text


def actor_of(headers: Mapping[str, str]) -> str | None:
    """Return who Grafana says it is, None where it says nobody or what is no name."""
    # Starlette decodes headers as latin-1; Grafana writes UTF-8.
    name = headers.get("X-Grafana-User", "").encode("latin-1").decode("utf-8", "replace").strip()
    return name if name and len(name) <= 200 and name.isprintable() else None
