"""Settings of docker-compose.yml, and the files that leave a server out or open a port."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.compose.shipped import ROOT, SERVICES, made_secrets

PAGE = (ROOT / "docs/docker.md").read_text(encoding="utf-8")
FILES = sorted((ROOT / "deploy" / "docker").glob("*[a-z]-[a-z]*.yml"))
VARIANTS = [file for file in FILES if "services" in file.read_text() and file.name != "demo-sources.yml"]
EVERY_VARIANT = pytest.mark.parametrize("variant", VARIANTS, ids=lambda path: path.stem)
VARIABLE = re.compile(r"\$\{(PLATFORM_\w+)(?::-((?:[^{}]|\$\{[^}]*\})*))?")


class Loader(yaml.SafeLoader):
    """Reads Compose's own tags as plain values."""


Loader.add_constructor("!override", lambda loader, node: loader.construct_sequence(node))


def services_of(variant: Path) -> dict[str, dict[str, Any]]:
    """Return what a file says of each service."""
    services: dict[str, dict[str, Any]] = yaml.load(variant.read_text(encoding="utf-8"), Loader)["services"]
    return services


def left_out(variant: Path) -> set[str]:
    """Return the services that a file puts into a profile of their own, which is not started."""
    return {name for name, change in services_of(variant).items() if "bundled" in str(change.get("profiles"))}


@EVERY_VARIANT
def test_a_variant_changes_what_is_there(variant: Path) -> None:
    """Its services are those of docker-compose.yml, the variables it sets those that they read, its head says how."""
    for name, change in services_of(variant).items():
        read = {*SERVICES[name].get("environment", {}), "PLATFORM_EXTERNAL_MINIO"}
        assert set(change.get("environment", {})) <= read, name
        assert set(change.get("networks", [])) <= {"internal", "published"}, name
        assert set(change) <= {"environment", "networks", "profiles", "ports"}, name
    assert f"COMPOSE_FILE=docker-compose.yml:deploy/docker/{variant.name}\n" in variant.read_text()


@EVERY_VARIANT
def test_nothing_needs_what_is_left_out(variant: Path) -> None:
    """Who waits for a server that may be left out does not require it."""
    for name, service in SERVICES.items():
        for other in left_out(variant) & service.get("depends_on", {}).keys() if name not in left_out(variant) else ():
            assert service["depends_on"][other]["required"] is False, f"{name} needs {other}"


@EVERY_VARIANT
def test_who_reads_an_address_reaches_it(variant: Path) -> None:
    """Services with the address of your server have a way out, but those that only read the configuration."""
    for name, change in services_of(variant).items():
        if any(key in change.get("environment", {}) for key in ("PLATFORM_POSTGRES", "PLATFORM_REDIS")):
            assert change["networks"] == ["internal", "published"], name


def test_every_server_can_be_left_out() -> None:
    """PostgreSQL, Redis and MinIO, each by a file of its own."""
    assert {name for variant in VARIANTS for name in left_out(variant)} == {
        "postgres",
        "redis",
        "redis-exporter",
        "minio",
    }


def test_every_setting_is_in_the_example() -> None:
    """.env.example names every variable that Compose is asked for, with what is taken by itself."""
    example = dict(re.findall(r"^# (PLATFORM_\w+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE))
    taken: dict[str, set[str]] = {}
    for file in (ROOT / "docker-compose.yml", *VARIANTS):
        for name, default in VARIABLE.findall(file.read_text()):
            taken.setdefault(name, set()).add(default)

    assert set(example) == set(taken)
    for name, value in example.items():
        assert value in taken[name] or name == "PLATFORM_GRAFANA_URL", name


def test_the_example_is_documented() -> None:
    """The page on Docker leads to the example, and sets no variable that is read nowhere."""
    known = set(re.findall(r"PLATFORM_\w+", (ROOT / ".env.example").read_text()))
    named = set(re.findall(r"^    (PLATFORM_(?!SDK)\w+)=", PAGE, re.MULTILINE))

    assert "(../.env.example)" in PAGE
    assert named <= known


def test_the_page_names_every_secret(tmp_path: Path) -> None:
    """Whose each is stands in one table, which knows no other."""
    made = {path.name for path in made_secrets(tmp_path / "secrets").iterdir() if not path.name.startswith(".")}
    table = PAGE.partition("| file | whose |")[2].partition("\n\n")[0]
    named = {name for row in re.findall(r"^\| ([a-z_, ]+) \|", table, re.MULTILINE) for name in row.split(", ")}

    assert named == {name for name in made if "." not in name}


@pytest.mark.parametrize("profiles", [set(), {"demo", "exporters"}])
def test_the_page_sums_limits(profiles: set[str]) -> None:
    """Processors and memory of what stays, without profiles and with both."""
    processors = memory = 0.0
    for service in SERVICES.values():
        if service["restart"] != "no" and (not service.get("profiles") or profiles & set(service["profiles"])):
            limits = service["deploy"]["resources"]["limits"]
            processors += float(limits["cpus"])
            memory += int(limits["memory"][:-1]) / {"M": 1024, "G": 1}[limits["memory"][-1]]

    [sentence] = re.findall(r"^- Limits of what stays sum up to .*$", PAGE, re.MULTILINE)
    assert f"{processors:g} processors and {memory:.1f} GB".replace(".0 GB", " GB") in sentence.replace("(", "")


@pytest.mark.parametrize("document", [*ROOT.glob("*.md"), *ROOT.glob("*/*.md")], ids=str)
def test_no_document_signals_with_compose_kill(document: Path) -> None:
    """The engine does not start a container again that Compose sent a signal, when it crashes later."""
    assert not re.search(r"docker compose kill -", document.read_text(encoding="utf-8"))
