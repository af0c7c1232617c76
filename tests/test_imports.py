"""Hold the direction of imports: data flows one way, and so do they."""

import subprocess
import sys

import grimp
import pytest

DIRECTIONS = {
    "exporter.addresses": set(),
    "exporter.errors": set(),
    "exporter.strict_yaml": set(),
    "exporter.section": set(),
    "exporter.printing": set(),
    "exporter.times": {"errors"},
    "exporter.thresholds": {"section"},
    "exporter.settings": {"section", "thresholds"},
    "exporter.config": {"errors", "settings", "strict_yaml", "thresholds"},
    "exporter.database": {"errors", "settings"},
    "exporter.probes": {"addresses", "settings"},
    "exporter.events": {"errors"},
    "exporter.sdk": {"addresses", "errors", "events"},
    "exporter.sources": {"aggregation", "errors", "events", "settings", "strict_yaml"},
    "exporter.aggregation": {"database", "errors", "events", "settings", "sources"},
    "exporter.exposition": {"aggregation", "errors", "events", "probes", "settings", "strict_yaml",
                            "thresholds"},
    "exporter.alerts": {"aggregation", "database", "errors", "events", "exposition", "printing", "settings"},
    "exporter.notifications": {"errors", "exposition", "printing"},
    "exporter.demo": {"errors", "events", "sdk", "settings"},
    "exporter.history": {"aggregation", "errors", "events", "exposition", "settings", "sources"},
    "exporter.issues": {"database", "errors", "events", "exposition", "printing", "settings", "times"},
    "exporter.service": {"aggregation", "alerts", "config", "errors", "exposition", "probes", "settings", "sources"},
    "exporter.commands": {"aggregation", "alerts", "config", "database", "demo", "errors", "events",
                          "exposition", "history", "issues", "notifications", "printing", "probes", "service",
                          "settings", "sources", "times"},
    "exporter.__main__": set(),  # loads a command's module by name, when it is asked for
}  # fmt: skip
"""What each part may import of the others; `exporter` itself, the version, is for all."""


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    """Return who imports whom in the package, imports inside functions too."""
    return grimp.build_graph("exporter", cache_dir=None)


def part(module: str) -> str:
    """Return the part of the package that a module belongs to."""
    return ".".join(module.split(".")[:2])


def test_every_part_has_its_directions(graph: grimp.ImportGraph) -> None:
    """A new part says here what it may import."""
    assert {part(module) for module in graph.modules} - {"exporter"} == set(DIRECTIONS)


@pytest.mark.parametrize("importer", list(DIRECTIONS))
def test_a_part_imports_only_what_is_below_it(graph: grimp.ImportGraph, importer: str) -> None:
    """No part imports another that is not listed as below it."""
    imported = {
        part(found)
        for module in graph.modules
        if part(module) == importer
        for found in graph.find_modules_directly_imported_by(module)
    }
    allowed = {f"exporter.{name}" for name in DIRECTIONS[importer]}

    assert imported - {importer, "exporter"} - allowed == set()


def test_no_permission_is_left_over(graph: grimp.ImportGraph) -> None:
    """What is allowed here is used: a permission nobody needs is an invitation."""
    used = {
        (part(module), part(found).removeprefix("exporter."))
        for module in graph.modules
        for found in graph.find_modules_directly_imported_by(module)
    }

    assert {(importer, name) for importer, names in DIRECTIONS.items() for name in names} <= used | {
        ("exporter.sdk", "errors"),  # being built
    }


@pytest.mark.parametrize(
    ("upstream", "downstream"),
    [
        ("exporter.errors", "exporter.settings"),
        ("exporter.settings", "exporter.errors"),
        ("exporter.probes", "exporter.aggregation"),
        ("exporter.probes", "exporter.exposition"),
        ("exporter.events", "exporter.sources"),
        ("exporter.events", "exporter.aggregation"),
        ("exporter.aggregation", "exporter.exposition"),
        ("exporter.sdk", "exporter.config"),
        ("exporter.sdk", "exporter.settings"),
        ("exporter.sdk", "exporter.database"),
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
    code = f"import sys, exporter.sdk; print([name for name in {heavy} if name in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert run.stdout.strip() == "[]"


def test_importing_does_nothing() -> None:
    """Importing any module starts no thread and opens no socket."""
    code = (
        "import importlib, pkgutil, threading, exporter, os\n"
        "for module in pkgutil.walk_packages(exporter.__path__, 'exporter.'):\n"
        "    try: module.name.endswith('__main__') or importlib.import_module(module.name)\n"
        "    except ModuleNotFoundError as error:\n"
        "        if error.name.startswith('exporter'): raise\n"  # a framework that the SDK works with, if it is there
        "links = [f'/proc/self/fd/{n}' for n in os.listdir('/proc/self/fd')]\n"
        "opened = [os.readlink(link) for link in links if os.path.lexists(link)]\n"
        "print(threading.active_count(), [what for what in opened if what.startswith('socket')])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert (run.stdout.strip(), run.stderr) == ("1 []", "")
