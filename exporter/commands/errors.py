"""List, show, resolve, reopen and ignore error issues."""

import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import click
import psycopg

from exporter.commands.common import by_option, config_option, json_option, load, reports_errors
from exporter.database import schema
from exporter.database.connection import connect
from exporter.errors import ChangeError, ConfigError, CountError, UnknownIssueError
from exporter.issues import change as changing
from exporter.issues import printing, queries
from exporter.issues.change import Action, Change, Changed
from exporter.issues.parsing import until
from exporter.issues.selection import STATUSES, Selection, full_ids
from exporter.printing import one_line, plural
from exporter.sources import mapping, occurrences
from exporter.sources.mapping import SourcePlan
from exporter.times import parse_time
from platform_sdk.events.error import SEVERITIES

F = TypeVar("F", bound=Callable[..., Any])


@click.group()
def errors() -> None:
    """List, show, resolve, reopen and ignore error issues: groups of occurrences of one error.

    monitoring.audit stores who changed what; `errors show` shows it.

    \b
    Examples:
      platform-exporter errors list --config FILE --severity high --status open
      platform-exporter errors show 3f2a --config FILE
      platform-exporter errors resolve 3f2a 91cd --config FILE --release latest
      platform-exporter errors ignore --config FILE --type TimeoutError --all-matching --for 7d
    """


def _filters(command: F) -> F:
    """Add the options of a filter."""
    options = (
        click.option("--app", "apps", multiple=True, help="Only this app; may be repeated, like the next four."),
        click.option(
            "--severity", "severities", multiple=True, type=click.Choice(SEVERITIES), help="Only this severity."
        ),
        click.option("--status", "statuses", multiple=True, type=click.Choice(STATUSES), help="Only this status."),
        click.option(
            "--endpoint", "endpoints", multiple=True, help="Only with their last occurrence at this endpoint."
        ),
        click.option("--type", "types", multiple=True, help="Only this type of error."),
        click.option("--since", help="Only with an occurrence since: 90m, 24h, 7d (ago), a date or a time."),
        click.option("--search", help="Only with this text in type, message, endpoint or fingerprint."),
        click.option("--source", help="Issues in this source's database (default: the event store)."),
        json_option,
    )
    for option in reversed(options):
        command = option(command)
    return command


def _changes(command: F) -> F:
    """Add the options of a change."""
    options = (
        click.argument("ids", nargs=-1, metavar="[ID]..."),
        config_option,
        _filters,
        click.option("--all-matching", is_flag=True, help="All issues that match the filter, instead of IDs."),
        click.option("--yes", is_flag=True, help="Do not ask for confirmation."),
        by_option,
        click.option("--note", help="The reason, for the audit."),
    )
    for option in reversed(options):
        command = option(command)
    return reports_errors(command)


@errors.command("list")
@config_option
@_filters
@click.option(
    "--limit", type=click.IntRange(1, 100_000), default=50, show_default=True, help="The most issues to list."
)
@reports_errors
def list_(path: Path, limit: int, as_json: bool, source: str | None, **given: Any) -> None:
    """List issues, the last seen first."""
    with _opened(path, source) as (connection, plans):
        selection, places = _selection(given), occurrences.issues(plans)
        issues = queries.listed(connection, selection, limit, places)
        total = changing.count(connection, selection, places)
    if as_json:
        click.echo(json.dumps({"total": total, "issues": issues}, indent=2, default=str))
        return
    for line in printing.table(issues, datetime.now(UTC)):
        click.echo(line)
    click.echo(f"{len(issues)} of {plural(total, 'issue')}" if total else "no issues")


@errors.command()
@click.argument("id_", metavar="ID")
@config_option
@click.option("--since", default="7d", show_default=True, help="Show occurrences, users and releases since.")
@click.option("--source", help="Issues in this source's database (default: the event store).")
@json_option
@reports_errors
def show(id_: str, path: Path, since: str, source: str | None, as_json: bool) -> None:
    """Show an issue: its latest stack trace, occurrences, users affected, releases and history.

    The first four or more digits of the ID are enough if no other issue's ID begins with them.
    """
    with _opened(path, source) as (connection, plans):
        places = occurrences.issues(plans)
        (found,) = full_ids(connection, (id_,), places)
        earliest = parse_time(since, datetime.now(UTC))
        issues = queries.shown(connection, found, earliest, places, occurrences.errors(plans))
    if as_json:
        click.echo(json.dumps({"issues": issues}, indent=2, default=str))
        return
    for issue in issues:
        for line in printing.details(issue, since):
            click.echo(line)


@errors.command()
@_changes
@click.option(
    "--release",
    help="The release with the fix: errors of older ones are no regression. `latest`: the newest of each app.",
)
def resolve(release: str | None, **given: Any) -> None:
    """Resolve issues. One that occurs again more than 5 s later is reopened as a regression."""
    _change(Change(action="resolve", release=release, note=given.pop("note")), **given)


@errors.command()
@_changes
def reopen(**given: Any) -> None:
    """Reopen resolved and ignored issues."""
    _change(Change(action="reopen", note=given.pop("note")), **given)


@errors.command()
@_changes
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


def _change(
    change: Change, *, ids: tuple[str, ...], path: Path, source: str | None, all_matching: bool, yes: bool,
    by: str, as_json: bool, **given: Any,
) -> None:  # fmt: skip
    with _misuse():
        change.check(datetime.now(UTC))
    selection = _selection(given)
    filtered = selection != Selection()
    if bool(ids) == all_matching or (ids and filtered):
        raise ConfigError("expected either IDs, or a filter with --all-matching")
    if all_matching and not filtered:
        raise ConfigError(
            "--all-matching without a filter would change every issue: expected --app, --status or another filter"
        )
    with _opened(path, source) as (connection, plans):
        expected = None
        if ids:
            selection = Selection(ids=full_ids(connection, ids, occurrences.issues(plans)))
            _refuse_kept_by_apps(connection, selection.ids)
        else:
            expected = _confirmed(connection, selection, change.action, yes)
        done = changing.apply(connection, selection, change, by, via="command line", expected=expected)
    _report(done, change.action, as_json)


@contextlib.contextmanager
def _misuse() -> Iterator[None]:
    """Turn invalid options into the exit status of wrong usage."""
    try:
        yield
    except ChangeError as error:
        raise ConfigError(str(error)) from error


def _confirmed(connection: psycopg.Connection, selection: Selection, action: Action, yes: bool) -> int:
    """Return how many issues match, after the user has confirmed that number."""
    number = changing.count(connection, selection)
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
        became = f"{one.was} -> {one.status}" if one.changed else f"already {one.status}"
        click.echo(f"{one.id}  {one_line(one.app, 30)}  {became}")
    click.echo(f"{action}: {sum(one.changed for one in done)} of {plural(len(done), 'issue')} changed")


def _selection(given: dict[str, Any]) -> Selection:
    since = given.pop("since", None)
    return Selection(**given, since=parse_time(since, datetime.now(UTC)) if since else None)


def _refuse_kept_by_apps(connection: psycopg.Connection, ids: tuple[str, ...]) -> None:
    """Raise UnknownIssueError where issues are not ours to change."""
    stored = {row["id"] for row in queries.listed(connection, Selection(ids=ids), len(ids) * 2)}
    if kept := [id_ for id_ in ids if id_ not in stored]:
        raise UnknownIssueError(
            f"{', '.join(kept)}: kept by the application, as its mapping says (`issues: false`): change it there"
        )


@contextlib.contextmanager
def _opened(path: Path, name: str | None) -> Iterator[tuple[psycopg.Connection, list[SourcePlan]]]:
    """Yield a connection to the event store, or a source's database, and what is configured to be read there."""
    config = load(path)
    database = config.database
    if name is not None:
        named = [source for source in config.sources if source.label == name]
        if not named:
            known = ", ".join(source.label for source in config.sources)
            raise ConfigError(f"invalid --source {name!r}: expected one of {known}")
        database = config.database_of(named[0])
    plans = [mapping.plan(each) for each in config.sources if config.database_of(each) == database]
    with connect(database, "errors") as connection:
        schema.check_version(connection, "store" if any(plan.native for plan in plans) else "counting")
        yield connection, plans
