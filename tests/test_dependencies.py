"""What needs which component: declared, or implied by what the exporter reads."""

from pathlib import Path

import pytest

from exporter.config import loader
from exporter.dependencies import dependencies
from exporter.errors import ConfigError

PROBED = """
database: {dsn: "postgresql://a@DB.example/events"}
probes:
  postgresql:
  - {name: main, dsn: "host=db.example dbname=other"}
  - {name: local, dsn: "dbname=z"}
  redis: [{name: main, url: "redis://h/0"}]
  http: [{name: shop, url: "http://h/"}]
"""


def found(text: str) -> dict[str, list[str]]:
    """Return the components that each dependent needs, with the origin."""
    needs: dict[str, list[str]] = {}
    for one in dependencies(loader.parse(PROBED + text, Path("x.yml"), {})):
        needs.setdefault(one.dependent, []).append(f"{one.component} {one.origin}")
    return needs


def refused(text: str) -> str:
    """Return why a configuration with the probes of PROBED is refused."""
    return refused_by(PROBED + text)


def refused_by(text: str) -> str:
    """Return why a configuration is refused."""
    with pytest.raises(ConfigError) as caught:
        loader.parse(text, Path("x.yml"), {})
    return str(caught.value)


def test_a_source_needs_the_server_that_it_reads() -> None:
    """Whatever the database, the role and the spelling of the host."""
    assert found("") == {"source/native": ["postgresql/main implied"]}


@pytest.mark.parametrize("place", ["127.0.0.1:5432", "localhost", "[::1]"])
def test_an_app_needs_the_server_of_its_own_tables(place: str) -> None:
    """And its source does; a loopback address is this machine, however it is written."""
    own = f'sources: [{{preset: stratlogic, database: {{dsn: "postgresql://a@{place}/strat"}}}}]'

    assert found(own) == {"source/stratlogic": ["postgresql/local implied"], "stratlogic": ["postgresql/local implied"]}


def test_an_app_in_the_event_store_needs_it_only_for_its_own_tables() -> None:
    """What the SDK stores there says nothing of the apps: they keep their events on disk while it is away."""
    own = "sources: [{preset: native, app: shop}, {preset: scitex, app: wiki}]"
    needs = found(own)

    assert needs["wiki"] == ["postgresql/main implied"]
    assert {dependent for dependent in needs if "/" not in dependent} == {"wiki"}


@pytest.mark.parametrize(
    "dsn", ["host=elsewhere dbname=x", "host=db.example port=6432 dbname=x", "host=db.example,other dbname=x"]
)
def test_another_server_is_not_implied(dsn: str) -> None:
    """Another host or port, and one of two hosts, may work while the probed server is down."""
    assert found(f'sources: [{{preset: native, database: {{dsn: "{dsn}"}}}}]') == {}


def test_a_query_needs_the_server_that_it_reads() -> None:
    """Its own database, or else the event store."""
    queries = """
queries:
- {name: stock, sql: S, value: v, database: {dsn: "dbname=stock"}}
- {name: orders, sql: S, value: v}
"""
    needs = found(queries)

    assert needs["query/stock"] == ["postgresql/local implied"]
    assert needs["query/orders"] == ["postgresql/main implied"]


def test_what_is_declared_counts_instead_of_what_is_implied() -> None:
    """An empty list says that nothing is needed."""
    sources = 'sources: [{preset: stratlogic, database: {dsn: "dbname=x"}}]\n'
    needs = found(sources + "dependencies: {stratlogic: [], shop: [redis/main], http/shop: [postgresql/main]}")

    assert needs == {
        "shop": ["redis/main declared"],
        "http/shop": ["postgresql/main declared"],
        "source/stratlogic": ["postgresql/local implied"],
    }


def test_labels_name_the_dependent_by_its_kind() -> None:
    """Alerts of each kind have such a label, by which they are muted."""
    text = "dependencies: {shop: [redis/main], http/shop: [redis/main], source/native: [redis/main]}"
    labels = [dict(one.labels) for one in dependencies(loader.parse(PROBED + text, Path("x.yml"), {}))]
    redis = {"component": "redis", "name": "main", "origin": "declared"}

    assert labels == [{"app": "shop", **redis}, {"endpoint": "shop", **redis}, {"source": "native", **redis}]


def test_what_is_not_there_is_refused() -> None:
    """A misspelt name would mute nothing, and be noticed in an outage."""
    known = "components that are probed (postgresql/main, postgresql/local, redis/main, http/shop)"
    dependent = "an app, or http/NAME, source/NAME or query/NAME of this configuration"

    assert refused("dependencies: {shop: [redis/mian]}") == (
        f"x.yml: invalid value 'redis/mian' for `dependencies.shop`: expected {known}"
    )
    assert refused("dependencies: {http/blog: []}") == (
        f"x.yml: invalid value 'http/blog' for `dependencies`: expected {dependent}"
    )
    assert f"expected {dependent}" in refused("dependencies: {redis/main: []}")


@pytest.mark.parametrize(
    ("needs", "place", "cycle"),
    [
        ("{http/shop: [http/shop]}", "http/shop", "http/shop -> http/shop"),
        ("{http/shop: [http/pay], http/pay: [http/shop]}", "http/shop", "http/shop -> http/pay -> http/shop"),
        ("{web: [http/shop], http/shop: [http/pay], http/pay: [redis/main, http/mail], http/mail: [http/pay]}",
         "http/pay", "http/pay -> http/mail -> http/pay"),
    ],
)  # fmt: skip
def test_a_cycle_is_refused(needs: str, place: str, cycle: str) -> None:
    """Each would mute the alerts of the next, and no one would be notified."""
    probes = PROBED.replace("http: [", 'http: [{name: pay, url: "http://p/"}, {name: mail, url: "http://m/"}, ')
    message = refused_by(probes + f"dependencies: {needs}")

    assert f"invalid value '{cycle}' for `dependencies.{place}`: expected no cycle" in message


def test_endpoints_may_need_the_same_component() -> None:
    """Two ways to one component are not a cycle."""
    probes = PROBED.replace("http: [", 'http: [{name: pay, url: "http://p/"}, ')
    needs = "dependencies: {web: [http/shop, http/pay], http/shop: [http/pay, redis/main], http/pay: [redis/main]}"

    assert len(list(dependencies(loader.parse(probes + needs, Path("x.yml"), {})))) == 6
