"""List, show, resolve, reopen and ignore error issues."""

import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import click
import psycopg

from exporter.commands.common import by_option, config_option, json_option, load, reports_errors
from exporter.config.settings import Database
from exporter.database.connection import connect
from exporter.errors import ChangeError, ConfigError, CountError
from exporter.issues import change as changing
from exporter.issues import printing, queries
from exporter.issues.change import Action, Change, Changed
from exporter.issues.parsing import until
from exporter.issues.selection import STATUSES, Selection, full_ids
from exporter.printing import one_line
from exporter.times import moment
from platform_sdk.events.error import SEVERITIES

F = TypeVar("F", bound=Callable[..., Any])


@click.group()
def errors() -> None:
    """List, show, resolve, reopen and ignore error issues: occurrences of one error, grouped.

    Who changed what is in monitoring.audit, and shown by `errors show`.

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
        click.option("--app", "apps", multiple=True, help="Of this app; may be given again, like the next four."),
        click.option("--severity", "severities", multiple=True, type=click.Choice(SEVERITIES)),
        click.option("--status", "statuses", multiple=True, type=click.Choice(STATUSES)),
        click.option("--endpoint", "endpoints", multiple=True, help="That occurred last at this endpoint."),
        click.option("--type", "types", multiple=True, help="Of this type of error."),
        click.option("--since", help="That occurred since: 90m, 24h, 7d (ago), or a date or time."),
        click.option("--search", help="With this text in type, message, endpoint or fingerprint."),
        click.option("--source", help="Issues of this source's database (default: the event store)."),
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
        click.option("--all-matching", is_flag=True, help="Every issue that the filter leaves, instead of IDs."),
        click.option("--yes", is_flag=True, help="Do not ask how many those are."),
        by_option,
        click.option("--note", help="Why, for the audit."),
    )
    for option in reversed(options):
        command = option(command)
    return reports_errors(command)


@errors.command("list")
@config_option
@_filters
@click.option("--limit", type=click.IntRange(1, 100_000), default=50, show_default=True, help="At most so many.")
@reports_errors
def list_(path: Path, limit: int, as_json: bool, source: str | None, **given: Any) -> None:
    """List issues, the one that occurred last first."""
    with _connect(path, source) as connection:
        selection = _selection(given)
        issues = queries.listed(connection, selection, limit)
        total = changing.count(connection, selection)
    if as_json:
        click.echo(json.dumps({"total": total, "issues": issues}, indent=2, default=str))
        return
    for line in printing.table(issues, datetime.now(UTC)):
        click.echo(line)
    click.echo(f"{len(issues)} of {total} issues" if total else "no issues")


@errors.command()
@click.argument("id_", metavar="ID")
@config_option
@click.option("--since", default="7d", show_default=True, help="Occurrences, users and releases since.")
@click.option("--source", help="Issues of this source's database (default: the event store).")
@json_option
@reports_errors
def show(id_: str, path: Path, since: str, source: str | None, as_json: bool) -> None:
    """Show an issue: its latest stack trace, occurrences, users touched, releases and history.

    ID may be shortened, to four digits at least, where it is one issue's alone.
    """
    with _connect(path, source) as connection:
        (found,) = full_ids(connection, (id_,))
        issues = queries.shown(connection, found, moment(since, datetime.now(UTC)))
    if as_json:
        click.echo(json.dumps({"issues": issues}, indent=2, default=str))
        return
    for issue in issues:
        for line in printing.details(issue, since):
            click.echo(line)


@errors.command()
@_changes
@click.option("--release", help="The release it is mended in: older ones are no regression. `latest`: of each app.")
def resolve(release: str | None, **given: Any) -> None:
    """Resolve issues. One that occurs again later than 5 s after that is open again: a regression."""
    _change(Change(action="resolve", release=release, note=given.pop("note")), **given)


@errors.command()
@_changes
def reopen(**given: Any) -> None:
    """Open resolved and ignored issues again."""
    _change(Change(action="reopen", note=given.pop("note")), **given)


@errors.command()
@_changes
@click.option("--until", "time", metavar="TIME", help="Until a date or time (UTC unless it says).")
@click.option("--for", "span", metavar="SPAN", help="For 30m, 12h, 7d, 2w.")
@click.option("--events", type=click.IntRange(1), help="Until so many more were counted; that one opens it.")
def ignore(time: str | None, span: str | None, events: int | None, **given: Any) -> None:
    """Ignore issues: until a time or a count, whichever comes first; without either until somebody reopens them."""
    if time and span:
        raise ConfigError("--until and --for are both given; wanted one of them")
    with _misuse():
        end = until(time, span, datetime.now(UTC))
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
        raise ConfigError("wanted either IDs, or a filter with --all-matching")
    if all_matching and not filtered:
        raise ConfigError("--all-matching without a filter is every issue there is; wanted --app, --status or another")
    with _connect(path, source) as connection:
        expected = None
        if ids:
            selection = Selection(ids=full_ids(connection, ids))
        else:
            expected = _confirmed(connection, selection, change.action, yes)
        done = changing.apply(connection, selection, change, by, via="command line", expected=expected)
    _report(done, change.action, as_json)


@contextlib.contextmanager
def _misuse() -> Iterator[None]:
    """Let options that make no sense end in the exit status of wrong usage."""
    try:
        yield
    except ChangeError as error:
        raise ConfigError(str(error)) from error


def _confirmed(connection: psycopg.Connection, selection: Selection, action: Action, yes: bool) -> int:
    """Return how many issues are meant, once somebody has typed that number."""
    number = changing.count(connection, selection)
    if number == 0:
        raise CountError("no issue matches the filter; see `errors list` with the same one")
    if not yes:
        if not sys.stdin.isatty():
            raise ConfigError(f"{number} issues match and nobody can be asked; wanted --yes, after `errors list`")
        if click.prompt(f"{number} issues match. Type their number to {action} them", type=int) != number:
            raise CountError("that is another number; nothing was changed")
    return number


def _report(done: list[Changed], action: Action, as_json: bool) -> None:
    if as_json:
        fields = ("id", "app", "fingerprint", "was", "status", "changed")
        click.echo(json.dumps({"issues": [{name: getattr(one, name) for name in fields} for one in done]}, indent=2))
        return
    for one in done:
        became = f"{one.was} -> {one.status}" if one.changed else f"already {one.status}"
        click.echo(f"{one.id}  {one_line(one.app, 30)}  {became}")
    click.echo(f"{action}: {sum(one.changed for one in done)} of {len(done)} issues changed")


def _selection(given: dict[str, Any]) -> Selection:
    since = given.pop("since", None)
    return Selection(**given, since=moment(since, datetime.now(UTC)) if since else None)


def _connect(path: Path, source: str | None) -> psycopg.Connection:
    return connect(_database(path, source), "errors")


def _database(path: Path, name: str | None) -> Database:
    config = load(path)
    if name is None:
        return config.database
    for source in config.sources:
        if source.label == name:
            return config.database_of(source)
    known = ", ".join(source.label for source in config.sources)
    raise ConfigError(f"--source is {name!r}; wanted one of {known}")
