"""Hold the direction of imports: data flows one way, and so do they."""

import subprocess
import sys

import grimp
import pytest

DIRECTIONS = {
    "exporter.errors": set(),
    "exporter.files": {"errors"},
    "exporter.printing": set(),
    "exporter.times": {"errors"},
    "exporter.sections": {"errors", "files", "libpq"},
    "exporter.redaction": {"sections"},
    "exporter.indicators": set(),
    "exporter.config": {"errors", "events", "files", "indicators", "probes", "redaction", "sections", "times"},
    "exporter.database": {"config", "errors", "events", "libpq"},
    "exporter.web": {"config", "errors", "files", "sections"},
    "exporter.probes": {"errors", "libpq", "redaction", "sections"},
    "exporter.sources": {"config", "database", "errors", "events", "files", "printing", "redaction", "sections"},
    "exporter.aggregation": {"config", "database", "errors", "events", "files", "sources"},
    "exporter.queries": {"config", "database", "errors"},
    "exporter.dependencies": {"config", "probes", "sections", "sources"},
    "exporter.jobs": {"aggregation", "config", "database", "errors", "events"},
    "exporter.exposition": {"aggregation", "config", "dependencies", "errors", "events", "indicators", "jobs",
                            "probes", "queries", "redaction"},
    "exporter.alerts": {"aggregation", "config", "database", "errors", "events", "exposition", "files", "printing",
                        "redaction", "sections", "web"},
    "exporter.demo": {"actor", "capture", "client", "config", "database", "delivery", "emit", "errors", "events",
                      "model_usage", "options", "platform_sdk", "probes", "typing"},
    "exporter.history": {"aggregation", "config", "errors", "events", "exposition", "files", "sources"},
    "exporter.inspection": {"aggregation", "config", "database", "errors", "events", "exposition", "printing",
                            "sources"},
    "exporter.issues": {"config", "database", "errors", "events", "files", "printing", "times", "web"},
    "exporter.mixin": {"config", "errors"},
    "exporter.service": {"aggregation", "alerts", "config", "dependencies", "errors", "exposition", "inspection",
                         "jobs", "probes", "queries", "redaction", "sources"},
    "exporter.commands": {"aggregation", "alerts", "config", "database", "demo", "dependencies", "errors", "events",
                          "exposition", "files", "history", "inspection", "issues", "mixin", "printing", "probes",
                          "queries", "redaction", "service", "sources", "times", "web"},
    "exporter.__main__": {"files"},  # loads a command's module by name, when it is asked for
    "platform_sdk.errors": set(),
    "platform_sdk.diagnostics": set(),
    "platform_sdk.typing": set(),
    "platform_sdk.model_usage": set(),
    "platform_sdk.events": {"typing"},
    "platform_sdk.stores": {"errors"},
    "platform_sdk.options": {"capture", "errors", "model_usage", "stores"},
    "platform_sdk.loading": set(),
    "platform_sdk.libpq": {"errors"},
    "platform_sdk.trace": {"diagnostics"},
    "platform_sdk.parsing": set(),
    "platform_sdk.request_context": {"diagnostics", "trace"},
    "platform_sdk.capture": {"loading", "request_context"},
    "platform_sdk.delivery": {"actor", "capture", "diagnostics", "errors", "events", "libpq", "loading", "options",
                              "parsing", "typing"},
    "platform_sdk.endings": set(),
    "platform_sdk.client": {"capture", "delivery", "diagnostics", "endings", "errors", "loading", "options"},
    "platform_sdk.emit": {"capture", "client", "delivery", "diagnostics", "events", "model_usage", "parsing",
                          "request_context", "scope", "trace", "typing"},
    "platform_sdk.outgoing": {"arguments", "capture", "client", "diagnostics", "emit", "errors", "events",
                              "model_usage", "options", "parsing", "request_context", "scope", "trace"},
    "platform_sdk.web": {"actor", "client", "consumers", "delivery", "diagnostics", "emit", "events", "options",
                         "parsing", "request_context", "scope", "trace"},
    "platform_sdk.jobs": {"arguments", "capture", "client", "delivery", "diagnostics", "emit", "events", "outgoing",
                          "parsing", "scope", "typing"},
    "platform_sdk.reading": {"client", "delivery", "errors", "libpq", "options"},
    "platform_sdk.exporter_api": {"client", "errors"},
    "platform_sdk.health": {"client", "delivery", "diagnostics", "reading"},
    "platform_sdk.api": {"actor", "arguments", "client", "emit", "model_usage", "outgoing", "request_context",
                         "typing"},
    "platform_sdk.log_record": {"capture", "delivery", "emit", "request_context"},
    "platform_sdk.logs": {"api", "client", "diagnostics", "log_record", "outgoing"},
    "platform_sdk.integrations": {"diagnostics", "errors", "jobs", "outgoing", "web"},
    "platform_sdk.doctor": {"client", "delivery", "errors", "events", "libpq", "options", "stores"},
    "platform_sdk.__main__": {"doctor", "platform_sdk"},
    "platform_sdk.migrate": {"actor", "api", "capture", "client", "delivery", "diagnostics", "emit", "exporter_api",
                             "health", "outgoing", "reading", "typing"},
    "platform_sdk.actor": {"capture", "diagnostics"},
    "platform_sdk.consumers": {"actor", "diagnostics", "options"},
    "platform_sdk.scope": {"actor", "arguments", "capture", "consumers", "diagnostics", "request_context"},
    "platform_sdk.arguments": {"actor", "capture", "diagnostics", "events", "model_usage", "parsing"},
}  # fmt: skip
"""What each part may import, by the last name of what is meant; `exporter` itself, the version, is for all."""


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    """Return who imports whom in the package, imports inside functions too."""
    return grimp.build_graph("exporter", "platform_sdk", cache_dir=None)


def part(module: str) -> str:
    """Return the part of the package that a module belongs to."""
    return ".".join(module.split(".")[:2])


def test_every_part_has_its_directions(graph: grimp.ImportGraph) -> None:
    """A new part says here what it may import."""
    assert {part(module) for module in graph.modules} - {"exporter", "platform_sdk"} == set(DIRECTIONS)


@pytest.mark.parametrize("importer", list(DIRECTIONS))
def test_a_part_imports_only_what_is_below_it(graph: grimp.ImportGraph, importer: str) -> None:
    """No part imports another that is not listed as below it."""
    imported = {
        part(found)
        for module in graph.modules
        if part(module) == importer
        for found in graph.find_modules_directly_imported_by(module)
    }
    names = {found.rpartition(".")[2] for found in imported - {importer, "exporter"}}

    assert names - DIRECTIONS[importer] == set()


def test_no_permission_is_left_over(graph: grimp.ImportGraph) -> None:
    """What is allowed here is used: an unused permission invites misuse."""
    used = {
        (part(module), part(found).rpartition(".")[2])
        for module in graph.modules
        for found in graph.find_modules_directly_imported_by(module)
    }

    assert {(importer, name) for importer, names in DIRECTIONS.items() for name in names} <= used


def test_the_exporter_is_above_the_sdk(graph: grimp.ImportGraph) -> None:
    """The SDK is installed where the exporter is not."""
    assert graph.find_shortest_chain("platform_sdk", "exporter", as_packages=True) is None


def test_no_circles(graph: grimp.ImportGraph) -> None:
    """No two parts import each other, not even by way of others."""
    below: dict[str, set[str]] = {name: set() for name in DIRECTIONS}
    for module in graph.modules:
        below.get(part(module), set()).update(map(part, graph.find_modules_directly_imported_by(module)))
    order: list[str] = []
    while ready := [
        name for name in below if name not in order and below[name] - {name, "exporter", "platform_sdk"} <= {*order}
    ]:
        order += ready

    assert sorted(set(below) - set(order)) == []


@pytest.mark.parametrize(
    ("upstream", "downstream"),
    [
        ("exporter.probes", "exporter.aggregation"),
        ("exporter.probes", "exporter.exposition"),
        ("platform_sdk.events", "exporter.sources"),
        ("platform_sdk.events", "exporter.aggregation"),
        ("exporter.aggregation", "exporter.exposition"),
        ("exporter.exposition", "exporter.service"),
        ("exporter.service", "exporter.commands"),
    ],
)
def test_nothing_leads_back(graph: grimp.ImportGraph, upstream: str, downstream: str) -> None:
    """Not even by way of others does a part import what is above it."""
    assert graph.find_shortest_chain(upstream, downstream, as_packages=True) is None


def test_sdk_needs_no_server() -> None:
    """An application that imports the SDK loads neither web server nor client libraries of stores it may not have."""
    heavy = ("starlette", "uvicorn", "redis", "minio", "click", "yaml", "prometheus_client", "requests")
    code = f"import sys, platform_sdk; print([name for name in {heavy} if name in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert run.stdout.strip() == "[]"


def test_checking_a_configuration_needs_no_driver() -> None:
    """`check-config` is quick: the drivers of probes are imported when a probe is built."""
    heavy = ("psycopg", "redis", "minio", "urllib3", "cryptography", "requests", "starlette", "prometheus_client")
    code = (
        "import sys; from exporter.commands.check_config import check_config\n"
        "try: check_config(['platform-exporter.example.yml'])\n"
        f"finally: print([name for name in {heavy} if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert run.stdout.startswith("platform-exporter.example.yml: good, ")
    assert run.stdout.splitlines()[-1] == "[]"


def test_serving_needs_no_client() -> None:
    """`serve` starts without clients of probes and channels, and without TLS: they are imported where configured."""
    heavy = ("redis", "minio", "urllib3", "cryptography", "requests")
    parts = (
        "exporter.service, exporter.web.routes, exporter.web.server, exporter.alerts.watchdog_api, exporter.issues.api"
    )
    code = f"import sys, {parts}; print([name for name in {heavy} if name in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert run.stdout.strip() == "[]"


def test_importing_does_nothing() -> None:
    """Importing any module starts no thread and opens no socket."""
    code = (
        "import importlib, itertools, pkgutil, threading, exporter, os, platform_sdk\n"
        "packages = ((exporter.__path__, 'exporter.'), (platform_sdk.__path__, 'platform_sdk.'))\n"
        "for module in itertools.chain(*(pkgutil.walk_packages(*package) for package in packages)):\n"
        "    try: module.name.endswith('__main__') or importlib.import_module(module.name)\n"
        "    except ModuleNotFoundError as error:\n"
        # Else it is a framework that the SDK works with, if it is there.
        "        if error.name.startswith(('exporter', 'platform_sdk')): raise\n"
        "links = [f'/proc/self/fd/{n}' for n in os.listdir('/proc/self/fd')]\n"
        "opened = [os.readlink(link) for link in links if os.path.lexists(link)]\n"
        "print(threading.active_count(), [what for what in opened if what.startswith('socket')])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert (run.stdout.strip(), run.stderr) == ("1 []", "")
