"""Images made on this machine under the names of docker-compose.yml: no registry is needed, and none is asked.

They stand in for the published ones: their names, users, folders, volumes and entrypoints are the same; the programs
are Debian's, in whatever version it has. Our own image is built by our Dockerfile, on such a base.
"""

import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from exporter import __version__
from tools.containers.engine import Engine, run
from tools.stack.checkout import CHECKOUT, say
from tools.stack.errors import StackError
from tools.stack.programs.search import find

SUITE = "trixie"
PACKAGES = (
    "busybox", "ca-certificates", "postgresql-17", "prometheus", "prometheus-alertmanager",
    "prometheus-postgres-exporter", "prometheus-redis-exporter", "python3", "python3-pip", "python3-venv",
    "redis-server",
)  # fmt: skip
BASE = "platform-stand-in:base"
OWN = f"platform-exporter:{__version__}"
RECIPES = Path(__file__).with_name("recipes")


@dataclass(frozen=True)
class StandIn:
    """An image of docker-compose.yml: the words of its tag that no other has, and its files in the folder recipes."""

    name: str
    recipe: str
    needs: tuple[str, ...] = ()


STAND_INS = (
    StandIn("postgres", "postgres"),
    StandIn("redis", "redis"),
    StandIn("platform-minio", "minio", ("minio",)),
    StandIn("prom/prometheus", "prometheus"),
    StandIn("prom/alertmanager", "alertmanager"),
    StandIn("grafana/grafana", "grafana", ("grafana",)),
    StandIn("prometheuscommunity/postgres-exporter", "postgres-exporter"),
    StandIn("oliver006/redis_exporter", "redis-exporter"),
)


def make(engine: Engine, folder: Path, images: set[str]) -> None:
    """Make every image that the engine lacks, and our own again. Takes minutes the first time. Raises StackError."""
    if not _has(engine, BASE):
        _make_base(engine, folder)
    for stand_in in STAND_INS:
        [tag] = [image for image in images if image.partition(":")[0] == stand_in.name]
        with _context(stand_in) as context:
            say(f"image {tag}")
            engine.run("build", "--quiet", "--tag", tag, str(context))
    [python] = set(re.findall(r"^FROM (python:\S+)", (CHECKOUT / "Dockerfile").read_text(), re.MULTILINE))
    with tempfile.TemporaryDirectory() as context:
        _pip_settings(Path(context))
        shutil.copy(RECIPES / "python.Dockerfile", Path(context, "Dockerfile"))
        engine.run("build", "--quiet", "--tag", python, context)
    say(f"image {OWN}, by our Dockerfile")
    # The machine's network: packages come from where this machine takes them.
    engine.run("build", "--network", "host", "--tag", OWN, str(CHECKOUT))


def _has(engine: Engine, image: str) -> bool:
    return bool(engine.run("image", "ls", "--quiet", image).strip())


def _make_base(engine: Engine, folder: Path) -> None:
    """Make a Debian with all the programs: by debootstrap, some 300 MB from Debian's archive."""
    if shutil.which("debootstrap") is None:
        raise StackError("debootstrap not found: apt-get install debootstrap")
    say(f"image {BASE}: Debian {SUITE}, some minutes")
    root = folder / "base"
    shutil.rmtree(root, ignore_errors=True)
    run(["debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", SUITE, root])
    archive = folder / "base.tar"
    run(["tar", "--create", "--one-file-system", "--file", archive, "--directory", root, "."])
    engine.run("import", str(archive), BASE)
    archive.unlink()
    shutil.rmtree(root)


@contextmanager
def _context(stand_in: StandIn) -> Iterator[Path]:
    """Yield a folder to build a stand-in from: its file, its entrypoint, and programs of this machine."""
    with tempfile.TemporaryDirectory() as name:
        context = Path(name)
        shutil.copy(RECIPES / f"{stand_in.recipe}.Dockerfile", context / "Dockerfile")
        entrypoint = RECIPES / f"{stand_in.recipe}.sh"
        if entrypoint.exists():
            shutil.copy(entrypoint, context / "entrypoint.sh")
        for program in stand_in.needs:
            path = find(program, fetch_go=True).path
            if program == "grafana":
                for part in ("conf", "public"):
                    shutil.copytree(path.parent.parent / part, context / "home" / part, ignore_dangling_symlinks=True)
                (context / "home/bin").mkdir()
                shutil.copy(path, context / "home/bin" / program)
            else:
                shutil.copy(path, context / program)
        yield context


def _pip_settings(context: Path) -> None:
    """Write what this machine's pip is set to, with the certificates and wheels that it names, for the builder's."""
    listed = run([sys.executable, "-m", "pip", "config", "list"])
    found = re.findall(r"^(global|:env:)\.([\w-]+)='(.*)'$", listed, re.MULTILINE)
    # What the environment says comes last: it wins, as with pip itself.
    settings = {key: value for where in ("global", ":env:") for place, key, value in found if place == where}
    copied = context / "pip"
    copied.mkdir()
    lines = ["[global]", "break-system-packages = true"]
    for key, value in settings.items():
        if os.path.isfile(value):
            shutil.copy(value, copied / key)
            value = f"/etc/pip/{key}"
        elif os.path.isdir(value):
            shutil.copytree(value, copied / key)
            value = f"/etc/pip/{key}"
        lines.append(f"{key} = {value}")
    (copied / "pip.conf").write_text("\n".join(lines) + "\n")
