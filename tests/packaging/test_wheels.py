"""Both distributions as a user installs them: wheels, into empty virtual environments, and a quick start in each."""

import contextlib
import re
import subprocess
import sys
import tomllib
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
import yaml

import exporter
import platform_sdk
from tests.servers import Database, poll_until
from tools.stack.ports import free_port

ROOT = Path(__file__).parents[2]
DEADLINE_SECONDS = 300
PIP = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input")

QUICK_START = """
import asyncio, platform_sdk
from platform_sdk.web.asgi import PlatformMiddleware

async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})

async def nothing(*message):
    return {"type": "http.request"}

assert platform_sdk.init()
platform_sdk.log_error("no paper left", severity="low")
scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "client": ("192.0.2.1", 1)}
asyncio.run(PlatformMiddleware(app)(scope, nothing, nothing))
assert platform_sdk.flush(60)
print(platform_sdk.__version__)
"""


class Environment:
    """A virtual environment that only holds what is installed into it here."""

    def __init__(self, folder: Path) -> None:
        venv.create(folder, symlinks=True)
        self._programs = folder / "bin"

    def install(self, *wheels: Path) -> None:
        """Install wheels and what they need, from pip's cache where that has it."""
        run(*PIP[:3], "--python", self.path("python"), *PIP[3:], "install", "--no-compile", *wheels)

    def distributions(self) -> set[str]:
        """Return the names of what is installed."""
        code = "from importlib import metadata; print(*(each.name for each in metadata.distributions()))"
        return {name.replace("_", "-") for name in self.run("python", "-c", code).split()}

    def run(self, program: str, *arguments: object, **environment: str) -> str:
        """Run a program to its end and return what it printed. It sees nothing of this checkout."""
        return run(self.path(program), *arguments, cwd=self._programs.parent, env=environment)

    def path(self, program: str) -> Path:
        """Return where a program is."""
        return self._programs / program


def run(*argv: object, cwd: Path = ROOT, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        [str(part) for part in argv], cwd=cwd, env=env, timeout=DEADLINE_SECONDS, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return done.stdout.strip()


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return the wheels of the SDK and of the exporter, built from this checkout."""
    folder = tmp_path_factory.mktemp("wheels")
    run(*PIP, "wheel", "--no-deps", "--wheel-dir", folder, "./sdk", ".")
    (sdk,), (server,) = folder.glob("platform_exporter_sdk-*.whl"), folder.glob("platform_exporter-*.whl")
    return sdk, server


@pytest.fixture(scope="module")
def application(wheels: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """Return the environment of an application that uses the SDK."""
    environment = Environment(tmp_path_factory.mktemp("application") / "venv")
    environment.install(wheels[0])
    return environment


@pytest.fixture(scope="module")
def server(wheels: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """Return the environment of the exporter."""
    environment = Environment(tmp_path_factory.mktemp("server") / "venv")
    environment.install(*wheels)
    return environment


def test_the_sdk_brings_little_along(application: Environment) -> None:
    """An application gets the SDK and psycopg, with its binary and, before Python 3.13, typing_extensions."""
    found = application.distributions()

    assert {"platform-exporter-sdk", "psycopg", "psycopg-binary"} <= found
    assert found <= {"platform-exporter-sdk", "psycopg", "psycopg-binary", "typing-extensions"}


def test_quick_start(application: Environment, store_database: Database) -> None:
    """An error and a request are stored, by nothing but the SDK."""
    options = {"PLATFORM_SDK_DSN": store_database.dsn, "PLATFORM_SDK_APP": "shop"}
    assert application.run("python", "-I", "-c", QUICK_START, **options) == platform_sdk.__version__

    assert store_database.execute("SELECT severity, message FROM monitoring.error") == [("low", "no paper left")]
    assert store_database.execute("SELECT method, status FROM monitoring.http_request") == [("GET", 200)]


def test_rules_need_no_checkout(server: Environment, tmp_path: Path) -> None:
    """Whoever has a Prometheus gets rules, dashboards and routes from the package."""
    server.run("platform-exporter", "rules", "--job", "web", "--output", tmp_path)

    assert {path.name for path in tmp_path.iterdir()} == {"rules", "dashboards", "scrape.yml", "alertmanager.yml"}
    assert {path.stem for path in tmp_path.glob("*/*")} == {
        path.stem for folder in ("prometheus/rules", "grafana/dashboards") for path in (ROOT / folder).glob("*.*[nl]")
    }


def test_exporter(server: Environment, application: Environment, database: Database, tmp_path: Path) -> None:
    """Its commands work from the wheel, and `serve` counts what an application stored."""
    config = tmp_path / "platform-exporter.yml"
    config.write_text(yaml.safe_dump({"database": {"dsn": database.dsn, "poll_interval_seconds": 0.2}}))

    assert server.run("platform-exporter", "--version") == f"platform-exporter, version {exporter.__version__}"
    assert "source     native" in server.run("platform-exporter", "check-config", config)
    server.run("platform-exporter", "schema", "apply", "--config", config)
    with serving(server, config) as url:
        options = {"PLATFORM_SDK_DSN": database.dsn, "PLATFORM_SDK_APP": "shop"}
        application.run("python", "-I", "-c", QUICK_START, **options)
        for family in ("platform_errors_total", "platform_http_requests_total"):
            poll_until(lambda family=family: counted(url, family), what=family)  # type: ignore[misc]


@pytest.mark.parametrize("path", ["docker-compose.yml", "docs/docker.md"])
def test_one_version(path: str) -> None:
    """The image is tagged with the version that the package says."""
    tags = re.findall(r"platform-exporter:(\d[\w.]*)", (ROOT / path).read_text())

    assert set(tags) == {exporter.__version__}


def test_released_packages_say_where_they_come_from(tmp_path: Path) -> None:
    """The release adds the repository's address to both, which nobody else knows."""
    workflow = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text())
    (step,) = (step for step in workflow["jobs"]["build"]["steps"] if step.get("name") == "addresses")
    for file in (tmp_path / "pyproject.toml", tmp_path / "sdk/pyproject.toml"):
        file.parent.mkdir(exist_ok=True)
        file.write_text((ROOT / file.relative_to(tmp_path)).read_text())
    run("bash", "-c", step["run"], cwd=tmp_path, env={"GITHUB_SERVER_URL": "https://host", "GITHUB_REPOSITORY": "a/b"})

    for file in (tmp_path / "pyproject.toml", tmp_path / "sdk/pyproject.toml"):
        urls = tomllib.loads(file.read_text())["project"]["urls"]
        assert urls["Source"] == "https://host/a/b"
        assert urls["Issues"] == "https://host/a/b/issues"


def test_readme_of_the_sdk_links_nothing_beside_it() -> None:
    """An index shows it without the repository around it."""
    assert re.findall(r"\]\((?!https?://)[^)]*\)", (ROOT / "sdk/README.md").read_text()) == []


@contextlib.contextmanager
def serving(server: Environment, config: Path) -> Iterator[str]:
    """Run `serve` until the block ends and yield its URL."""
    address = f"127.0.0.1:{free_port()}"
    with (config.parent / "serve.log").open("wb") as log:
        process = subprocess.Popen(
            [server.path("platform-exporter"), "serve", "--config", config, "--listen", address],
            cwd=config.parent, env={}, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        yield f"http://{address}"
        assert process.poll() is None
    finally:
        process.terminate()
        process.wait(DEADLINE_SECONDS)


def counted(url: str, family: str) -> bool:
    """Tell whether one event of the shop is counted in this family."""
    with contextlib.suppress(requests.ConnectionError):
        lines = requests.get(f"{url}/metrics", timeout=DEADLINE_SECONDS).text.splitlines()
        return any(line.startswith(f'{family}{{app="shop"') and line.endswith(" 1.0") for line in lines)
    return False
