"""Which app, endpoint, source or query needs which probed component: what the configuration says, else what it implies.

Implied is only what is certain: a source and a query need the server that they read, and an application whose own
tables are a source needs the server that holds them. Applications do not depend on the event store that they write to:
the SDK keeps their events on disk while it is away.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

from exporter.config.settings import Config, Database
from exporter.probes.postgresql import PostgresqlProbe
from exporter.sections import Secret, dsn_parts
from exporter.sources import mapping

PORT = "5432"
LOOPBACK = ("localhost", "127.0.0.1", "::1", "")


@dataclass(frozen=True, slots=True)
class Dependency:
    """One dependent (of a kind of KINDS) and one component that it needs."""

    KINDS: ClassVar[dict[str, str]] = {"": "app", "http": "endpoint", "source": "source", "query": "query"}
    """The label of each kind, by what stands before the slash in the configuration's `dependencies`."""

    dependent: str
    component: str
    origin: str

    @property
    def labels(self) -> Mapping[str, str]:
        """Return the labels of its series."""
        prefix, _, dependent = self.dependent.rpartition("/")
        component, _, name = self.component.partition("/")
        return {self.KINDS[prefix]: dependent, "component": component, "name": name, "origin": self.origin}


def dependencies(config: Config) -> Iterator[Dependency]:
    """Yield what needs what; where `dependencies` names a dependent, only that counts. Raises MappingError."""
    for dependent, components in config.dependencies.items():
        yield from (Dependency(dependent, component, "declared") for component in components)
    implied = ((dependent, one) for dependent, database in _read(config) for one in _probed(config, database))
    for dependent, component in dict.fromkeys(implied):
        if dependent not in config.dependencies:
            yield Dependency(dependent, component, "implied")


def _read(config: Config) -> Iterator[tuple[str, Database]]:
    """Yield what reads a database, and which; an application through its own tables."""
    for source in config.sources:
        database, store = config.database_of(source), mapping.store_of(config, source)
        yield from ((f"source/{source.label}", one) for one in dict.fromkeys((database, store)))
        if source.preset != "native" and store == database:  # no application lives on what may only be read
            yield source.app or mapping.load(source.preset).app, database
    for query in config.all_queries:
        yield f"query/{query.name}", query.database or config.database


def _probed(config: Config, database: Database) -> Iterator[str]:
    """Yield the probed components that are all of the servers that a database may be on."""
    servers = _servers(database.dsn)
    for target in getattr(config.probes, PostgresqlProbe.component):
        if servers <= _servers(target.dsn):
            yield f"{PostgresqlProbe.component}/{target.name}"


def _servers(dsn: Secret) -> set[tuple[str, str]]:
    """Return host and port of each server that a DSN may lead to; a socket is this machine, as libpq's default is."""
    parts = dsn_parts(dsn)
    hosts = (parts.get("host") or parts.get("hostaddr") or os.environ.get("PGHOST", "")).lower().split(",")
    ports = (parts.get("port") or os.environ.get("PGPORT", "")).split(",")
    ports = ports * len(hosts) if len(ports) == 1 else ports
    return {(_machine(host), port or PORT) for host, port in zip(hosts, ports, strict=False)}


def _machine(host: str) -> str:
    return LOOPBACK[0] if host in LOOPBACK or host.startswith(("/", "@")) else host
