"""Check a configuration file without connecting to anything."""

import errno
import os
import socket
from pathlib import Path

import click

from exporter import files
from exporter.commands.common import FILE, load, reports_errors
from exporter.config.settings import Config, Source, parse_address
from exporter.dependencies import dependencies
from exporter.errors import ConfigError, MappingError
from exporter.exposition import queries
from exporter.printing import plural
from exporter.probes import build
from exporter.redaction import Redactor, shown_name, shown_value
from exporter.sources import mapping
from exporter.sources.mapping import SourcePlan


@click.command("check-config")
@click.argument("path", metavar="FILE", type=FILE)
@click.option("--web.config.file", "web_config", type=FILE, help="Check the file of `serve --web.config.file` too.")
@reports_errors
def check_config(path: Path, web_config: Path | None) -> None:
    """Say whether `serve` would start with FILE, and what it configures.

    Reads the files it names, connects to nothing. That a port is free is not checked: an exporter may run. Exit status
    0 if good, 2 if not.
    """
    config = load(path)
    try:
        plans = _parts(config)
    except ConfigError as error:
        raise ConfigError(f"{path}: {Redactor(config).known(str(error))}") from None
    if web_config is not None:
        from exporter.web.web_config import WebConfig

        WebConfig(web_config)
    click.echo(f"{path}: good, {_counts(config)}")
    hide = Redactor(config, shortest=9).known  # a secret that was given as a name, too
    click.echo(f"  listen     {config.listen}")
    click.echo(f"  store      {hide(config.database.place)}")
    for source, plan in plans:
        where = config.database_of(source).place + " (read only, approximate: counted in the store)" * plan.read_only
        tables = ", ".join(stream.relation for stream in plan.streams)
        click.echo(f"  source     {hide(source.label)}: {tables} in {hide(where)}")
    for component in config.probes.__struct_fields__:
        for target in getattr(config.probes, component):
            click.echo(f"  probe      {component} {hide(target.name)}")
    for query in config.queries:
        names = ", ".join(family.name for family in queries.families_of(query).values())
        click.echo(
            f"  query      {hide(query.name)}: {hide(names)} from {hide((query.database or config.database).place)}"
        )
    for watch in config.watches:
        place = hide((watch.database or config.database).place)
        click.echo(f"  watch      {hide(watch.name)}: {hide(watch.table)} in {place}")
    for job in config.jobs:
        click.echo(f"  job        {hide(' '.join(job.labels.values()))}: {job.schedule}")
    for dependent, needed in config.dependencies.items():
        click.echo(f"  dependency {hide(dependent)}: {hide(', '.join(needed)) or 'nothing'}")
    for indicator, threshold in config.thresholds.indicators().items():
        for key, name, _ in threshold.overrides():
            click.echo(f"  override   {indicator}.{key}.{hide(name)}")


def _parts(config: Config) -> list[tuple[Source, SourcePlan]]:
    """Make what `serve` makes of a configuration before it connects. Return the sources' plans. Raises ConfigError."""
    queries.check(config)
    plans = []
    for source in config.sources:
        try:
            plans.append((source, mapping.plan(source)))
        except MappingError as error:
            raise ConfigError(f"`sources`, {shown_name(source.label)}: {error}") from error
    list(dependencies(config))
    for probe in build(config.probes):
        probe.close()
    for key, folder in (("state_folder", config.state_folder), ("alerts.spool_folder", config.alerts.spool_folder)):
        if folder is not None:
            _check_folder(key, Path(folder))
    _check_address(config.listen)
    return plans


def _check_folder(key: str, folder: Path) -> None:
    """Raise ConfigError where a folder can neither be written to nor made."""
    try:
        files.try_folder(folder)
    except (OSError, ValueError) as error:
        problem = getattr(error, "strerror", None) or "no path"
        raise ConfigError(
            f"invalid value{shown_value(str(folder))} for `{key}` ({problem}): expected a folder that user id "
            f"{os.geteuid()} may write to, or make"
        ) from None


def _check_address(listen: str) -> None:
    """Raise ConfigError where a socket cannot have the address, for another reason than that one has it."""
    host, port = parse_address(listen)
    try:
        found = socket.getaddrinfo(host or "0.0.0.0", port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)  # noqa: S104 - asked for by the empty host
        family, kind, protocol, _, address = min(found, key=lambda item: item[0] != socket.AF_INET)
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except (OSError, UnicodeError) as error:
        if not isinstance(error, OSError) or error.errno != errno.EADDRINUSE:
            expected = "an address of this machine and a port that this user may listen on"
            reason = getattr(error, "strerror", None) or "not a name"
            raise ConfigError(f"invalid value {listen!r} for `listen` ({reason}): expected {expected}") from None


def _counts(config: Config) -> str:
    """Return how much of everything there is: what is missing in it was misspelt, or was never read."""
    probes = sum(len(getattr(config.probes, component)) for component in config.probes.__struct_fields__)
    overrides = sum(len(list(one.overrides())) for one in config.thresholds.indicators().values())
    counts = {
        "source": len(config.sources),
        "probe": probes,
        "query": len(config.queries),
        "watch": len(config.watches),
        "job": len(config.jobs),
        "dependent": len(config.dependencies),
        "override": overrides,
    }
    return ", ".join(plural(number, noun) for noun, number in counts.items())
