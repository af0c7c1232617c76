"""Parse requests to change issues: a JSON body, or the query parameters of a panel's action in Grafana."""

import json
import unicodedata
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from exporter.errors import ChangeError, TimeTextError
from exporter.files import NO_TEXT
from exporter.issues.change import LONGEST_NAME, MOST, Action, Change
from exporter.issues.selection import Selection
from exporter.times import parse_duration, parse_time

USER_HEADER = "X-Grafana-User"

RESERVED_NAMES = frozenset({"exporter"})
"""Who acts in the audit where no person does."""

LOOKALIKE_ALPHABETS = frozenset({"LATIN", "GREEK", "CYRILLIC", "ARMENIAN", "CHEROKEE"})

_Text = Annotated[str, Meta(min_length=1, max_length=1000, pattern=r"^[^\x00]*$")]
_Texts = Annotated[tuple[_Text, ...], Meta(max_length=1000)]


class Filter(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A `Selection` as clients write it. An empty list of one kind is a mistake, not every issue. The empty text as
    assignee means issues that nobody has."""

    app: _Texts = ()
    severity: _Texts = ()
    status: _Texts = ()
    endpoint: _Texts = ()
    type: _Texts = ()
    assignee: Annotated[tuple[Annotated[str, Meta(max_length=LONGEST_NAME)], ...], Meta(max_length=1000)] = ()
    since: _Text | None = None
    search: _Text | None = None


class ChangeRequest(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, rename={"for_": "for"}):
    """A request: which issues, by `ids` or by `filter` with their `expected` number, and how to change them."""

    ids: Annotated[tuple[Annotated[str, Meta(pattern=r"^[0-9a-f]{16}$")], ...], Meta(max_length=MOST)] = ()
    filter: Filter | None = None
    expected: Annotated[int, Meta(ge=0)] | None = None
    release: str | None = None
    until: _Text | None = None
    for_: _Text | None = None
    events: int | None = None
    person: str | None = None
    fingerprints: _Texts | None = None
    note: str | None = None


_SINGLE = ("expected", "release", "until", "for", "events", "person", "note")


def from_body(body: bytes) -> ChangeRequest:
    """Parse a JSON body. Raises ChangeError."""
    try:
        return msgspec.json.decode(body, type=ChangeRequest)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ChangeError(f"invalid body: {error}") from error


def from_query(pairs: Iterable[tuple[str, str]], body: bytes) -> ChangeRequest:
    """Parse query parameters, which Grafana escapes, unlike what it puts into a body.

    `ids` is separated by commas; those of a filter may be repeated, or be a JSON list, as a variable's format `json`
    is. The body is Grafana's default, `{}`, or empty. An empty parameter counts as left out, and so does `$NAME`: as
    such Grafana sends a box that nobody filled in. Raises ChangeError.
    """
    if body.strip() not in (b"", b"{}", b"[]"):
        raise ChangeError("the body is not empty: expected everything in the query")
    tree: dict[str, Any] = {}
    filters: dict[str, Any] = {}
    for name, text in pairs:
        if text in ("", f"${name}"):
            continue
        if name == "ids":
            tree["ids"] = [*tree.get("ids", ()), *(id_.strip() for id_ in text.split(",") if id_.strip())]
        elif name == "fingerprints":
            tree["fingerprints"] = [*tree.get("fingerprints", ()), *_values(text)]
        elif name in ("since", "search"):
            _once(filters, name, text)
        elif name in Filter.__struct_fields__:
            filters[name] = [*filters.get(name, ()), *_values(text)]
        elif name in _SINGLE:
            _once(tree, name, text)
        else:
            known = ", ".join(("action", "ids", *Filter.__struct_fields__, *_SINGLE))
            raise ChangeError(f"unknown parameter {name!r}: expected one of {known}")
    if filters:
        tree["filter"] = filters
    try:
        return msgspec.convert(tree, ChangeRequest, strict=False)
    except (msgspec.ValidationError, RecursionError) as error:
        raise ChangeError(f"invalid query: {error}") from error


def interpret(asked: ChangeRequest, action: Action, actor: str, now: datetime) -> tuple[Selection, Change]:
    """Return which issues a request selects, and their change; `assign` without a person means whoever acts.

    Raises ChangeError.
    """
    if bool(asked.ids) == (asked.filter is not None):
        raise ChangeError("expected either `ids`, or a filter with `expected`, the number of issues that match it")
    if asked.filter is not None and asked.expected is None:
        raise ChangeError("`expected` is missing: expected the number of issues that match the filter")
    if asked.until and asked.for_:
        raise ChangeError("`until` and `for` are both given: expected one of them")
    change = Change(
        action=action,
        release=asked.release,
        until=until(asked.until, asked.for_, now),
        events=asked.events,
        person=actor if action == "assign" and asked.person is None else asked.person,
        fingerprints=asked.fingerprints,
        note=asked.note,
    )
    change.check(now)
    if action == "merge":
        check_different(asked.ids)
    return _selection(asked, now), change


def check_different(ids: Sequence[str]) -> None:
    """Raise ChangeError where several ids to merge are one and the same."""
    if len(ids) > 1 and len(set(ids)) == 1:
        raise ChangeError(f"the same id was given {'twice' if len(ids) == 2 else 'several times'}, {ids[0]}: "
                          "expected those of at least two issues")  # fmt: skip


def until(time: str | None, duration: str | None, now: datetime) -> datetime | None:
    """Return when ignoring ends: at a time, or after a duration such as 7d. Raises ChangeError."""
    try:
        if time:
            return parse_time(time, now)
        return now + parse_duration(duration) if duration else None
    except TimeTextError as error:
        raise ChangeError(f"`{'until' if time else 'for'}`: {error}") from error


def _selection(asked: ChangeRequest, now: datetime) -> Selection:
    if asked.filter is None:
        return Selection(ids=tuple(dict.fromkeys(asked.ids)))
    given = asked.filter
    try:
        since = parse_time(given.since, now) if given.since else None
    except TimeTextError as error:
        raise ChangeError(f"`since`: {error}") from error
    selection = Selection(
        apps=given.app, severities=given.severity, statuses=given.status, endpoints=given.endpoint, types=given.type,
        assignees=given.assignee, since=since, search=given.search,
    )  # fmt: skip
    if selection == Selection():
        raise ChangeError(f"the filter is empty: expected at least one of {', '.join(Filter.__struct_fields__)}")
    return selection


def _values(text: str) -> list[str]:
    """Return the texts of a JSON list or text, or the text itself."""
    if text[0] in '["':
        try:
            parsed = json.loads(text)
        except (ValueError, RecursionError):
            return [text]
        values = parsed if isinstance(parsed, list) else [parsed]
        if any(NO_TEXT.search(value) for value in values if isinstance(value, str)):
            raise ChangeError("invalid text in the query: expected no NUL and no lone surrogate")
        return values
    return [text]


def _once(tree: dict[str, Any], name: str, text: str) -> None:
    if name in tree:
        raise ChangeError(f"{name!r} is given twice: expected it once")
    tree[name] = text


def actor_of(names: Sequence[str]) -> str | None:
    """Return the user whom Grafana names in its header, or None where that is missing, given twice or invalid."""
    # Starlette decodes headers as latin-1; Grafana writes UTF-8.
    given = [name.encode("latin-1").decode("utf-8", "replace") for name in names]
    return actor_named(given[0]) if len(given) == 1 else None


def actor_named(given: str) -> str | None:
    """Return the name of someone who acts as the audit stores it, or None where it is invalid.

    Invalid is what could be taken for someone else there: the exporter's own name, control and invisible characters,
    letters of two alphabets that look alike, and other forms of letters.
    """
    name = unicodedata.normalize("NFC", given.strip())
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        return None
    alphabets = {unicodedata.name(letter, "").partition(" ")[0] for letter in name if letter.isalpha()}
    if name != unicodedata.normalize("NFKC", name) or len(alphabets & LOOKALIKE_ALPHABETS) > 1:
        return None
    return None if name.casefold() in RESERVED_NAMES or "\ufffd" in name else name
