"""Change issues of several event stores.

An error of an app that writes to two stores is an issue in both: with one id, and in each with the state, the counts
and the history of what occurred there. A change by ids concerns it in every store that has it.
"""

from collections.abc import Iterable, Sequence

import psycopg

from exporter.errors import AmbiguousIssueError, ChangeError, UnknownIssueError
from exporter.issues import change as changing
from exporter.issues.change import Change, Changed
from exporter.issues.selection import ISSUES, Selection, full_ids


def apply(
    connections: Sequence[psycopg.Connection],
    selection: Selection,
    change: Change,
    actor: str,
    *,
    via: str,
    expected: int | None = None,
) -> list[Changed]:
    """Change the selected issues, each store in a transaction of its own; return one outcome for each id.

    What is selected is looked up in all stores before any is changed. `merge` and `split` concern the stores that have
    all of the ids. Raises as `changing.apply`.
    """
    if len(connections) == 1:
        return changing.apply(connections[0], selection, change, actor, via=via, expected=expected)
    if change.action in ("merge", "split"):
        return _regroup(connections, selection, change, actor, via)
    parts = [_part(connection, selection) for connection in connections]
    changing.check(connections, selection, parts, expected)
    done: list[Changed] = []
    for connection, ids in zip(connections, parts, strict=True):
        if ids:
            done += changing.apply(connection, Selection(ids=ids), change, actor, via=via)
    return _by_id(done)


def count(connections: Sequence[psycopg.Connection], selection: Selection) -> int:
    """Return how many issues are selected, one of several stores once."""
    if len(connections) == 1:
        return changing.count(connections[0], selection)
    return len({one for connection in connections for one in _part(connection, selection)})


def full_ids_in(
    stores: Iterable[tuple[psycopg.Connection, str]], given: tuple[str, ...], *, follow: bool = False
) -> tuple[str, ...]:
    """Return the full ids of shortened ones in any of some stores, each a connection and its issues, as `full_ids`."""
    stores = list(stores)
    found: list[str] = []
    for text in given:
        matches: dict[str, None] = {}
        unknown: list[UnknownIssueError] = []
        for connection, issues in stores:
            try:
                matches |= dict.fromkeys(full_ids(connection, (text,), issues, follow=follow))
            except AmbiguousIssueError:
                raise
            except UnknownIssueError as error:
                unknown.append(error)
        if not matches:
            raise unknown[0]
        if len(matches) > 1:
            ids = ", ".join(sorted(matches))
            raise AmbiguousIssueError(f"several issues have an id that begins with {text}: {ids}")
        found += matches
    return tuple(found)


def _part(connection: psycopg.Connection, selection: Selection) -> tuple[str, ...]:
    """Return the ids of what is selected in a store."""
    where, parameters = selection.where()
    query = f"SELECT id FROM {ISSUES} i WHERE {where} ORDER BY app, fingerprint LIMIT {changing.MOST + 1}"
    return tuple(row[0] for row in connection.execute(query.encode(), parameters).fetchall())


def _regroup(
    connections: Iterable[psycopg.Connection], selection: Selection, change: Change, actor: str, via: str
) -> list[Changed]:
    if not selection.ids:
        raise ChangeError(f"{change.action} by a filter is for one event store: expected ids, or `--source`")
    done: list[Changed] = []
    refusals: list[ChangeError | UnknownIssueError] = []
    for connection in connections:
        try:
            done += changing.apply(connection, selection, change, actor, via=via)
        except (ChangeError, UnknownIssueError) as error:
            refusals.append(error)
    if not done:
        raise _apart(connections, selection, change.action) or refusals[0]
    return _by_id(done)


def _apart(connections: Iterable[psycopg.Connection], selection: Selection, action: str) -> ChangeError | None:
    """Return that the issues are in different stores; None where one has all of them, or one of them is in none."""
    parts = [(one.info, set(_part(one, selection))) for one in connections]
    ids = set(selection.ids)
    if ids != {id_ for _, part in parts for id_ in part} or any(part == ids for _, part in parts):
        return None
    where = "; ".join(
        f"{', '.join(sorted(part))} in database {info.dbname} at {info.host}:{info.port}"
        for info, part in parts
        if part
    )
    return ChangeError(
        f"cannot {action} issues of different event stores ({where}): expected ids that one store has all of; {action} "
        "those of each store by themselves, or let their app write to one store; nothing was changed"
    )


def _by_id(done: Iterable[Changed]) -> list[Changed]:
    """Return one outcome for each issue: as it changed, where it did in any store."""
    found: dict[str, Changed] = {}
    for one in done:
        known = found.setdefault(one.id, one)
        if one.changed and not known.changed:
            found[one.id] = one
    return list(found.values())
