"""List, show and change error issues."""

import contextlib
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import click
import psycopg

from exporter.commands.common import FAILED, by_option, config_option, json_option, load, options, reports_errors
from exporter.config.settings import Config, Database
from exporter.database import schema
from exporter.database.connection import connect, time_of
from exporter.errors import ChangeError, ConfigError, CountError, UnknownIssueError, UnreachableError
from exporter.issues import change as changing
from exporter.issues import printing, queries
from exporter.issues import stores as several
from exporter.issues.change import Action, Change, Changed
from exporter.issues.parsing import check_different, until
from exporter.issues.selection import STATUSES, Selection
from exporter.printing import one_line, plural
from exporter.sources import mapping, occurrences
from exporter.sources.mapping import SourcePlan
from exporter.times import parse_time
from platform_sdk.events.error import SEVERITIES


@click.group()
def errors() -> None:
    """List, show and change error issues: groups of occurrences of one error.

    monitoring.audit stores who changed what; `errors show` shows it.

    \b
    Examples:
      platform-exporter errors list --config FILE --severity high --status open
      platform-exporter errors show 3f2a --config FILE
      platform-exporter errors resolve 3f2a 91cd --config FILE --release latest
      platform-exporter errors ignore --config FILE --type TimeoutError --all-matching --for 7d
      platform-exporter errors assign 3f2a ann --config FILE
      platform-exporter errors merge 3f2a 91cd --config FILE
      platform-exporter errors comment 3f2a "seen after the move to 1.4" --config FILE
    """


_filters = options(
    click.option("--app", "apps", multiple=True, help="Only this app; may be repeated, like the next four."),
    click.option("--severity", "severities", multiple=True, type=click.Choice(SEVERITIES), help="Only this severity."),
    click.option("--status", "statuses", multiple=True, type=click.Choice(STATUSES), help="Only this status."),
    click.option("--endpoint", "endpoints", multiple=True, help="Only with their last occurrence at this endpoint."),
    click.option("--type", "types", multiple=True, help="Only this type of error."),
    click.option("--assignee", "assignees", multiple=True, help="Only assigned to this person; may be repeated."),
    click.option("--unassigned", is_flag=True, help="Only assigned to nobody, or to an --assignee."),
    click.option("--since", help="Only with an occurrence since: 90m, 24h, 7d (ago), a date or a time."),
    click.option("--search", help="Only with this text in type, message, endpoint or fingerprint."),
    click.option("--source", help="Issues in this source's database (default: the event stores)."),
    json_option,
)


_changes = options(
    reports_errors,
    click.argument("ids", nargs=-1, metavar="[ID]..."),
    config_option,
    _filters,
    click.option("--all-matching", is_flag=True, help="All issues that match the filter, instead of IDs."),
    click.option("--yes", is_flag=True, help="Do not ask for confirmation."),
    by_option,
)
_note = click.option("--note", help="The reason, for the audit.")


@errors.command("list")
@config_option
@_filters
@click.option(
    "--limit", type=click.IntRange(1, 100_000), default=50, show_default=True, help="The most issues to list."
)
@reports_errors
def list_(path: Path, limit: int, as_json: bool, source: str | None, **given: Any) -> None:
    """List issues, the last seen first. Those of several event stores with their source, an issue once for each.

    Where one of several event stores cannot be reached, those of the others are listed, and the exit status is 1.
    """
    issues: list[dict[str, Any]] = []
    total = 0
    with _readable(path, source) as (stores, missing):
        several_are_read = len(stores) + missing > 1
        for store in stores:
            now = time_of(store.connection)
            selection = _selection(given, now)
            found = queries.listed(store.connection, selection, limit, store.issues)
            total += changing.count(store.connection, selection, store.issues)
            issues += [{**issue, "source": store.name} for issue in found] if several_are_read else found
    issues = sorted(issues, key=lambda issue: issue["last_seen"], reverse=True)[:limit]
    if as_json:
        click.echo(json.dumps({"total": total, "issues": issues}, indent=2, default=str))
    else:
        for line in printing.table(issues, now):
            click.echo(line)
        where = " in the event stores that can be reached" * bool(missing)
        click.echo(f"{len(issues)} of {plural(total, 'issue')}{where}" if total else f"no issues{where}")
    sys.exit(FAILED if missing else 0)


@errors.command()
@click.argument("id_", metavar="ID")
@config_option
@click.option("--since", default="7d", show_default=True, help="Show occurrences, users and releases since.")
@click.option("--source", help="Issues in this source's database (default: the event stores).")
@json_option
@reports_errors
def show(id_: str, path: Path, since: str, source: str | None, as_json: bool) -> None:
    """Show an issue: its latest stack trace, occurrences, users affected, releases and history.

    The first four or more digits of the ID are enough if no other issue's ID begins with them. Of an issue that was
    merged, the one that it was merged into is shown. What is in several event stores is shown once for each. Where one
    of them cannot be reached, what the others have is shown, and the exit status is 1.
    """
    issues: list[dict[str, Any]] = []
    with _readable(path, source) as (stores, missing):
        several_are_read = len(stores) + missing > 1
        (found,) = several.full_ids_in(_places(stores), (id_,), follow=True)
        for store in stores:
            earliest = parse_time(since, time_of(store.connection))
            shown = queries.shown(store.connection, found, earliest, store.issues, occurrences.errors(store.plans))
            issues += [{**issue, "source": store.name} for issue in shown] if several_are_read else shown
    if not found.startswith(id_.lower()):
        click.echo(f"{id_} was merged into {found}:", err=True)
    if as_json:
        click.echo(json.dumps({"issues": issues}, indent=2, default=str))
    else:
        for line in (line for issue in issues for line in printing.details(issue, since)):
            click.echo(line)
    sys.exit(FAILED if missing else 0)


@errors.command()
@_changes
@_note
@click.option(
    "--release",
    help="The release with the fix: errors of older ones are not a regression. `latest`: the newest of each app.",
)
def resolve(release: str | None, **given: Any) -> None:
    """Resolve issues. One that occurs again more than 5 s later is reopened as a regression."""
    _change(Change(action="resolve", release=release, note=given.pop("note")), **given)


@errors.command()
@_changes
@_note
def reopen(**given: Any) -> None:
    """Reopen resolved and ignored issues."""
    _change(Change(action="reopen", note=given.pop("note")), **given)


@errors.command()
@_changes
@_note
@click.option("--until", "time", metavar="TIME", help="Until a date or time (UTC without an offset).")
@click.option("--for", "duration", metavar="DURATION", help="For a duration, e.g. 30m, 12h, 7d, 2w.")
@click.option("--events", type=click.IntRange(1), help="Until so many more events were counted.")
def ignore(time: str | None, duration: str | None, events: int | None, **given: Any) -> None:
    """Ignore issues: until a time or a number of events, whichever comes first; otherwise until they are reopened."""
    if time and duration:
        raise ConfigError("--until and --for are both given: expected one of them")
    with _misuse():
        end = until(time, duration, datetime.now(UTC))
    _change(Change(action="ignore", until=end, events=events, note=given.pop("note")), **given)


@errors.command()
@_changes
@_note
@click.argument("person", required=False)
@click.option("--none", "nobody", is_flag=True, help="Assign to nobody.")
def assign(person: str | None, nobody: bool, **given: Any) -> None:
    """Assign issues to a PERSON, the last argument, or with --none to nobody."""
    if nobody and person is not None:  # another ID
        given["ids"], person = (*given["ids"], person), None
    _change(Change(action="unassign" if nobody else "assign", person=person, note=given.pop("note")), **given)


@errors.command()
@_changes
@click.argument("text")
def comment(text: str, **given: Any) -> None:
    """Add a comment to issues: TEXT, the last argument."""
    _change(Change(action="comment", note=text), **given)


@errors.command()
@_changes
@_note
def merge(**given: Any) -> None:
    """Merge issues of one app into the first, which keeps its status and its assignee.

    Later errors of the others count there, too. With a filter they go into the oldest. `errors split` undoes it.
    """
    _change(Change(action="merge", note=given.pop("note")), **given)


@errors.command()
@_changes
@_note
@click.option("--fingerprint", "fingerprints", multiple=True, help="Only this fingerprint of it; may be repeated.")
def split(fingerprints: tuple[str, ...], **given: Any) -> None:
    """Split issues: each fingerprint that was merged becomes an issue of its own again, with its own counts.

    `errors show` lists them. The new issues have the status and the assignee of the one that they leave.
    """
    _change(Change(action="split", fingerprints=fingerprints or None, note=given.pop("note")), **given)


def _change(
    change: Change, *, ids: tuple[str, ...], path: Path, source: str | None, all_matching: bool, yes: bool,
    by: str, as_json: bool, **given: Any,
) -> None:  # fmt: skip
    with _misuse():
        change.check(datetime.now(UTC))
    selection = _selection(given, datetime.now(UTC))
    filtered = selection != Selection()
    if bool(ids) == all_matching or (ids and filtered):
        raise ConfigError("expected either IDs, or a filter with --all-matching")
    if all_matching and not filtered:
        raise ConfigError(
            "--all-matching without a filter would change every issue: expected --app, --status or another filter"
        )
    with _opened(path, source) as stores:
        connections = [store.connection for store in stores]
        expected = None
        if ids:
            found = several.full_ids_in(_places(stores), ids)
            if change.action == "merge":
                check_different(found)
            selection = Selection(ids=tuple(dict.fromkeys(found)))
            _refuse_kept_by_apps(connections, selection.ids)
        else:
            selection = _selection(given, time_of(connections[0]))
            expected = _confirmed(connections, selection, change.action, yes)
        done = several.apply(connections, selection, change, by, via="command line", expected=expected)
    _report(done, change.action, as_json)


@contextlib.contextmanager
def _misuse() -> Iterator[None]:
    """Turn invalid options into the exit status of wrong usage."""
    try:
        yield
    except ChangeError as error:
        raise ConfigError(str(error)) from error


def _confirmed(connections: Sequence[psycopg.Connection], selection: Selection, action: Action, yes: bool) -> int:
    """Return how many issues match, after the user has confirmed that number."""
    number = several.count(connections, selection)
    if number == 0:
        raise CountError("no issue matches the filter; try it with `errors list`")
    matching = f"{plural(number, 'issue')} match{'es' if number == 1 else ''}"
    if not yes:
        if not sys.stdin.isatty():
            raise ConfigError(
                f"{matching} and there is no terminal to confirm: check with `errors list`, then add --yes"
            )
        if click.prompt(f"{matching}. Type the number to {action}", type=int) != number:
            raise CountError("the numbers differ; nothing was changed")
    return number


def _report(done: list[Changed], action: Action, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"issues": [asdict(one) for one in done]}, indent=2))
        return
    for one in done:
        click.echo(f"{one.id}  {one_line(one.app, 30)}  {_outcome(one, action)}")
    click.echo(f"{action}: {sum(one.changed for one in done)} of {plural(len(done), 'issue')} changed")


def _outcome(one: Changed, action: Action) -> str:
    if action == "comment":
        return "commented"
    if action in ("merge", "split"):
        return ("merged" if action == "merge" else "split") if one.changed else "one fingerprint only"
    if action.endswith("assign"):
        return f"{'' if one.changed else 'already '}assigned to {one_line(one.assignee or 'nobody', 60)}"
    return f"{one.was} -> {one.status}" if one.changed else f"already {one.status}"


def _selection(given: dict[str, Any], now: datetime) -> Selection:
    rest = {name: value for name, value in given.items() if name not in ("since", "unassigned")}
    rest["assignees"] += ("",) * given["unassigned"]
    return Selection(**rest, since=parse_time(given["since"], now) if given.get("since") else None)


def _refuse_kept_by_apps(connections: Iterable[psycopg.Connection], ids: tuple[str, ...]) -> None:
    """Raise UnknownIssueError where issues are not ours to change."""
    rows = (row for one in connections for row in queries.listed(one, Selection(ids=ids), len(ids) * 2))
    stored = {row["id"] for row in rows}
    if kept := [id_ for id_ in ids if id_ not in stored]:
        raise UnknownIssueError(
            f"{', '.join(kept)}: kept by the application, as its mapping says (`issues: false`): change it there"
        )


class _Store(NamedTuple):
    """A database with issues; `name` is a source's that is counted there, None where none is."""

    name: str | None
    connection: psycopg.Connection
    plans: list[SourcePlan]

    @property
    def issues(self) -> str:
        """Return where its issues are, as SQL."""
        return occurrences.issues(self.plans)


def _places(stores: Iterable[_Store]) -> list[tuple[psycopg.Connection, str]]:
    return [(store.connection, store.issues) for store in stores]


@contextlib.contextmanager
def _opened(path: Path, name: str | None) -> Iterator[list[_Store]]:
    """Yield the event stores, or a source's database, and what is configured to be read there. All, or it raises."""
    config = load(path)
    databases = _databases(config, name)
    with contextlib.ExitStack() as stack:
        try:
            stores = [_store(stack, config, database, name) for database in databases]
        except UnreachableError as error:
            if len(databases) == 1:
                raise
            raise UnreachableError(
                f"{error}; nothing was changed in any event store: --source NAME changes issues in one of them"
            ) from error
        yield stores


@contextlib.contextmanager
def _readable(path: Path, name: str | None) -> Iterator[tuple[list[_Store], int]]:
    """Yield as `_opened` those that can be reached, and how many cannot, of which it warns. Raises where none can."""
    config = load(path)
    databases = _databases(config, name)
    stores, problems = list[_Store](), list[UnreachableError]()
    with contextlib.ExitStack() as stack:
        for database in databases:
            try:
                stores.append(_store(stack, config, database, name))
            except UnreachableError as error:
                problems.append(error)
        if not stores:
            raise UnreachableError("; ".join(map(str, problems)))
        for problem in problems:
            click.echo(f"platform-exporter: {problem}; its issues are not shown", err=True)
        yield stores, len(problems)


def _databases(config: Config, name: str | None) -> tuple[Database, ...]:
    sources = {source.label: source for source in config.sources}
    if name is not None and name not in sources:
        raise ConfigError(f"invalid --source {name!r}: expected one of {', '.join(sources)}")
    return config.stores if name is None else (mapping.store_of(config, sources[name]),)


def _store(stack: contextlib.ExitStack, config: Config, database: Database, name: str | None) -> _Store:
    read = [source for source in config.sources if mapping.store_of(config, source) == database]
    plans = [mapping.plan(source) for source in read]
    counted = name or config.store_name(database)
    try:
        connection = stack.enter_context(connect(database, "errors"))
    except UnreachableError as error:
        raise UnreachableError(f"source {counted}: {error}" if counted else str(error)) from error
    schema.check_version(connection, "store" if any(plan.native for plan in plans) else "counting")
    return _Store(counted, connection, plans)
