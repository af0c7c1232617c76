"""docker-compose.yml keeps its promises: hardened, limited, without default passwords, and whole."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from alertmanager.generate import COMPOSE as COMPOSE_ALERTMANAGER
from exporter import __version__
from tests.compose.shipped import COMPOSE, ROOT, SERVICES, loaded, made_secrets
from tools.stack.config_files import settings_of
from tools.stack.programs import catalogue

IMAGE_VOLUMES = {
    "postgres": {"/var/lib/postgresql"},
    "redis": {"/data"},
    "prom/prometheus": {"/prometheus"},
    "prom/alertmanager": {"/alertmanager"},
}
"""What the published images declare with VOLUME."""

ONE_SHOT = {name for name, service in SERVICES.items() if service["restart"] == "no"}
EVERY_SERVICE = pytest.mark.parametrize("name", SERVICES)


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of secrets made by the shipped script."""
    return made_secrets(tmp_path_factory.mktemp("made") / "secrets")


def bind_mounts() -> list[tuple[str, str]]:
    """Return service and source of every mount of a file or folder of this repository."""
    mounts = []
    for name, service in SERVICES.items():
        for volume in service.get("volumes", []):
            source = volume["source"] if isinstance(volume, dict) else volume.split(":")[0]
            if source.startswith((".", "/")):
                mounts.append((name, source))
    return mounts


def images() -> set[str]:
    """Return every image named in the compose file and in both Dockerfiles, but those made here."""
    named = {service["image"] for service in SERVICES.values()}
    named -= {service["image"] for service in SERVICES.values() if service.get("pull_policy") == "never"}
    for dockerfile in (ROOT / "Dockerfile", ROOT / "deploy" / "docker" / "minio" / "Dockerfile"):
        named |= set(re.findall(r"^FROM (\S+)", dockerfile.read_text(), re.MULTILINE))
    return named


@EVERY_SERVICE
def test_a_service_is_hardened(name: str) -> None:
    """No service writes to its root, has a capability, gains one, or runs as root."""
    service = SERVICES[name]

    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert "privileged" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["init"] is True
    assert re.fullmatch(r"[1-9]\d*:\d+", service["user"])


@EVERY_SERVICE
def test_a_service_is_limited(name: str) -> None:
    """No service takes all memory, processors or processes of the machine, or fills its disk with logs."""
    service = SERVICES[name]

    limits = service["deploy"]["resources"]["limits"]
    assert set(limits) == {"cpus", "memory", "pids"}
    assert service["logging"]["driver"] == "json-file"
    assert set(service["logging"]["options"]) == {"max-size", "max-file"}
    assert "stop_grace_period" in service


@EVERY_SERVICE
def test_a_service_tells_its_health(name: str) -> None:
    """Every service that stays has a health check; those that end have none, the image's neither, and never restart."""
    service = SERVICES[name]

    assert ("test" in service["healthcheck"]) == (name not in ONE_SHOT)
    assert service["healthcheck"].get("disable", False) == (name in ONE_SHOT)
    assert service["restart"] == ("no" if name in ONE_SHOT else "unless-stopped")


@EVERY_SERVICE
def test_only_what_ends_is_waited_for(name: str) -> None:
    """A service's first health check comes ten seconds after its start: a chain of them would add up."""
    for other, wait in SERVICES[name].get("depends_on", {}).items():
        expected = "service_completed_successfully" if other in ONE_SHOT else "service_started"

        assert wait["condition"] == expected
        assert set(SERVICES[other].get("profiles", [])) <= set(SERVICES[name].get("profiles", []))


def test_only_grafana_is_published_and_on_loopback() -> None:
    """Nothing but Grafana can be reached from outside the stack, and Grafana from this machine only."""
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}

    assert list(published) == ["grafana"]
    assert all(port.startswith("127.0.0.1:") for port in published["grafana"])


def test_all_but_grafana_are_on_the_internal_network_alone() -> None:
    """No service but Grafana has a way out, and none lives in the network of another, which may die."""
    networks = {name: set(service["networks"]) for name, service in SERVICES.items()}

    assert COMPOSE["networks"]["internal"] == {"internal": True}
    assert {name for name, its in networks.items() if its != {"internal"}} == {"grafana"}
    assert not any("network_mode" in service for service in SERVICES.values())


def test_profiles_are_demo_and_exporters() -> None:
    """What starts without a profile is the whole of it, less demo data and other exporters."""
    profiles = {name: service["profiles"] for name, service in SERVICES.items() if "profiles" in service}

    assert profiles == {
        "demo-create": ["demo"],
        "demo-load": ["demo"],
        "demo": ["demo"],
        "demo-traffic": ["demo"],
        "exporters": ["exporters"],
        "postgres-exporter": ["exporters"],
        "redis-exporter": ["exporters"],
    }


@pytest.mark.parametrize(("name", "source"), bind_mounts())
def test_what_is_mounted_exists(name: str, source: str) -> None:
    """A missing source would be made by the engine: an empty folder, owned by root."""
    assert (ROOT / source).exists(), f"{name} mounts {source}"


@pytest.mark.parametrize(("name", "source"), bind_mounts())
def test_what_is_mounted_cannot_be_written(name: str, source: str) -> None:
    """No container changes the checkout."""
    mounts = [volume for volume in SERVICES[name]["volumes"] if isinstance(volume, str)]

    assert all(mount.endswith(":ro") for mount in mounts if mount.startswith(f"{source}:"))


def test_volumes_are_declared_and_used() -> None:
    """Every named volume is declared once and mounted somewhere."""
    used = set()
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            source = volume["source"] if isinstance(volume, dict) else volume.split(":")[0]
            if not source.startswith("."):
                used.add(source)

    assert used == set(COMPOSE["volumes"])


@EVERY_SERVICE
def test_no_service_leaves_an_anonymous_volume(name: str) -> None:
    """Where an image declares a volume, a named one or a tmpfs is mounted."""
    service = SERVICES[name]
    declared = IMAGE_VOLUMES.get(service["image"].partition(":")[0], set())
    volumes = [one["target"] if isinstance(one, dict) else one.split(":")[1] for one in service.get("volumes", [])]

    assert declared <= {*volumes, *(one.partition(":")[0] for one in service.get("tmpfs", []))}


def test_every_secret_is_a_file_that_the_script_makes(secrets: Path) -> None:
    """deploy/docker/make-secrets.sh makes all that is mounted and asked for."""
    made = {path.name for path in secrets.iterdir()}
    mounted = {Path(secret["file"]).name for secret in COMPOSE["secrets"].values()}
    used = {name for service in SERVICES.values() for name in service.get("secrets", [])}
    files = {Path(file) for service in SERVICES.values() for file in service.get("env_file", [])}
    asked_for = {file.name for file in files if file.parent == Path("secrets")}

    assert mounted | asked_for <= made
    assert used <= set(COMPOSE["secrets"])
    assert all(list(secret) == ["file"] for secret in COMPOSE["secrets"].values())


def test_secrets_are_made_once_and_kept_private(secrets: Path) -> None:
    """A second run changes nothing; the folder is its owner's, and git never sees it."""
    before = {path.name: path.read_bytes() for path in secrets.iterdir()}

    made_secrets(secrets)

    assert {path.name: path.read_bytes() for path in secrets.iterdir()} == before
    assert secrets.stat().st_mode & 0o777 == 0o700
    assert before[".gitignore"] == b"*\n"
    passwords = [value for name, value in before.items() if name.endswith(("_password", "_key"))]
    assert len(set(passwords)) == len(passwords)
    assert all(re.fullmatch(rb"[0-9a-f]{48}", value) for value in passwords)


def test_a_secret_made_anew_is_known_to_redis(secrets: Path, tmp_path: Path) -> None:
    """What is derived from a secret follows it."""
    folder = made_secrets(tmp_path / "secrets")
    users = (folder / "redis_users").read_text()
    (folder / "redis_metrics_password").unlink()

    made_secrets(folder)

    assert (folder / "redis_users").read_text() != users
    assert (folder / "redis_metrics_password").read_text() in (folder / "redis_exporter_passwords").read_text()


def test_no_password_stands_in_the_environment() -> None:
    """Passwords come from files: a variable that is one names a file instead."""
    for service in SERVICES.values():
        for key, value in service.get("environment", {}).items():
            if re.search(r"PASS|SECRET|TOKEN|_KEY", key):
                assert value.startswith("/run/secrets/"), key
                assert value.removeprefix("/run/secrets/") in service["secrets"], key


def test_images_are_pinned_and_their_tags_accounted_for() -> None:
    """No image is `latest`, none is of another registry, and docs/docker.md says where each tag was seen."""
    documented = (ROOT / "docs" / "docker.md").read_text()

    for image in images():
        name, _, tag = image.partition(":")
        assert re.match(r"v?\d+\.\d+", tag), image
        assert "." not in name.split("/")[0], image
        assert f"`{image}`" in documented, image


def test_the_own_image_has_the_projects_version() -> None:
    """The image's tag is the version of the package."""
    assert SERVICES["exporter"]["image"] == f"platform-exporter:{__version__}"


def test_minio_is_the_one_that_plain_processes_use() -> None:
    """Both ways of running it build the same MinIO."""
    dockerfile = (ROOT / "deploy" / "docker" / "minio" / "Dockerfile").read_text()

    assert f"{catalogue.MINIO_MODULE}@{catalogue.MINIO_VERSION}\n" in dockerfile


def grafana_environment() -> dict[str, str]:
    """Return what Grafana's container has in its environment: grafana.env, and over it what the service sets."""
    service = SERVICES["grafana"]
    (file,) = service["env_file"]
    return settings_of(ROOT / file) | service["environment"]


def test_grafana_gets_every_variable_its_provisioning_uses() -> None:
    """Grafana expands an unset variable to nothing, silently."""
    used = set()
    for file in (ROOT / "grafana" / "provisioning").rglob("*.yml"):
        used |= {name for line in loaded_strings(yaml.safe_load(file.read_text())) for name in _variables(line)}
    given = {name.removesuffix("__FILE") for name in grafana_environment()}

    assert used
    assert used <= given


def test_grafana_lets_nobody_in_unasked() -> None:
    """No anonymous access, no sign-up, no default password or key."""
    environment = grafana_environment()

    assert environment["GF_AUTH_ANONYMOUS_ENABLED"] == "false"
    assert environment["GF_USERS_ALLOW_SIGN_UP"] == "false"
    assert environment["GF_SECURITY_ADMIN_PASSWORD__FILE"] == "/run/secrets/grafana_admin_password"
    assert environment["GF_SECURITY_SECRET_KEY__FILE"] == "/run/secrets/grafana_secret_key"


def interpolated(text: str, variables: dict[str, str]) -> str:
    """Return a value as Compose does: ${NAME:-default}, the innermost first."""
    inner = re.compile(r"\$\{(\w+):-([^${}]*)\}")
    while found := inner.search(text):
        text = text[: found.start()] + (variables.get(found[1]) or found[2]) + text[found.end() :]
    return text


@pytest.mark.parametrize(
    ("variables", "root_url", "domain"),
    [
        ({}, "http://127.0.0.1:3000", "127.0.0.1"),
        ({"PLATFORM_GRAFANA_PORT": "3001"}, "http://127.0.0.1:3001", "127.0.0.1"),
        ({"PLATFORM_GRAFANA_URL": "https://grafana.example.org"}, "https://grafana.example.org", "grafana.example.org"),
        ({"PLATFORM_GRAFANA_URL": "https://x.example.org:8443/g/"}, "https://x.example.org:8443/g/", "x.example.org"),
    ],
)
def test_grafana_has_one_address(variables: dict[str, str], root_url: str, domain: str) -> None:
    """An action of a panel goes to root_url: opened at another address, browsers would refuse it.

    Its host is the domain that is enforced, or browsers would be sent in circles. Alerts lead to the same address.
    """
    environment = grafana_environment()
    shell, option, script = SERVICES["grafana"]["entrypoint"]
    script = script.replace("$$", "$").replace("exec /run.sh", "echo $GF_SERVER_DOMAIN")
    given = interpolated(environment["GF_SERVER_ROOT_URL"], variables)

    assert environment["GF_SERVER_ENFORCE_DOMAIN"] == "true"
    assert given == root_url
    assert interpolated(SERVICES["setup"]["environment"]["PLATFORM_GRAFANA_URL"], variables) == root_url
    assert (
        subprocess.check_output([shell, option, script], env={"GF_SERVER_ROOT_URL": given}, text=True) == f"{domain}\n"
    )


def test_grafana_repeats_no_setting() -> None:
    """What plain processes and containers share stands in grafana.env alone."""
    service = SERVICES["grafana"]
    shared = settings_of(ROOT / service["env_file"][0])

    assert not {name for name, value in service["environment"].items() if shared.get(name) == value}


def test_prometheus_keeps_a_bounded_history() -> None:
    """History ends by time and by size."""
    flags = " ".join(SERVICES["prometheus"]["command"])

    assert "--storage.tsdb.retention.time=${PLATFORM_PROMETHEUS_RETENTION:-30d} " in flags
    assert "--storage.tsdb.retention.size=${PLATFORM_PROMETHEUS_RETENTION_SIZE:-8GB} " in flags


def test_two_alertmanagers_know_each_other_and_all_know_both() -> None:
    """Each is told of both; Prometheus and the exporter have the two by name; nothing of one is the other's."""
    pair = {name: SERVICES[name] for name in ("alertmanager", "alertmanager-2")}
    addresses = [f"{name}:9093" for name in pair]
    [group] = loaded(ROOT / "prometheus/targets/compose/alertmanager.yml")
    exporter = loaded(ROOT / "deploy/docker/platform-exporter.yml")

    for service in pair.values():
        assert {f"--cluster.peer={name}:9094" for name in pair} <= set(service["command"])
        assert "--web.listen-address=0.0.0.0:9093" in service["command"]
    assert group["targets"] == addresses
    assert exporter["alertmanager"]["urls"] == [f"http://{address}" for address in addresses]
    assert pair["alertmanager"]["volumes"][0] != pair["alertmanager-2"]["volumes"][0]


def test_notifications_go_to_a_service() -> None:
    """Every address of the containers' Alertmanagers is a service of the stack and its port."""
    receivers = loaded(COMPOSE_ALERTMANAGER)["receivers"]
    urls = {urlsplit(one["url"]).netloc for receiver in receivers for one in receiver.get("webhook_configs", [])}

    assert urls == {"notifications:9848", "exporter:9847"}
    assert "0.0.0.0:9848" in SERVICES["notifications"]["command"]


@pytest.mark.parametrize("name", ["prometheus", "alertmanager", "alertmanager-2"])
def test_an_address_with_a_path_moves_nothing(name: str) -> None:
    """Links may begin with https://HOST/PATH: what is asked inside the stack stays where it is."""
    command = SERVICES[name]["command"]

    assert any(flag.startswith("--web.external-url=${PLATFORM_") for flag in command)
    assert "--web.route-prefix=/" in command


def test_every_alert_goes_into_the_history() -> None:
    """Both Alertmanagers and the exporter have one token, and what waits for the database has a volume."""
    posting = loaded(COMPOSE_ALERTMANAGER)
    [history] = [one for one in posting["receivers"] if one["name"] == "history"]
    url = urlsplit(history["webhook_configs"][0]["url"])
    alerts = loaded(ROOT / "deploy/docker/platform-exporter.yml")["alerts"]
    spool = alerts["spool_folder"].partition(":-")[2].rstrip("}")

    for name in ("alertmanager", "alertmanager-2"):
        assert f"--config.file=/etc/alertmanager/{COMPOSE_ALERTMANAGER.name}" in SERVICES[name]["command"]
        assert "alerts_token" in SERVICES[name]["secrets"]
    assert url.hostname in SERVICES
    assert "alerts_token" in SERVICES[str(url.hostname)]["secrets"]
    assert alerts["token_file"].endswith("/alerts_token")
    assert f"alerts:{spool}" in SERVICES["exporter"]["volumes"]
    assert f" {spool} " in (ROOT / "Dockerfile").read_text(), "a volume takes its owner from the image's folder"


def test_what_was_shown_is_kept() -> None:
    """The exporter's state has a volume, and Prometheus ingests when series began."""
    state = loaded(ROOT / "deploy/docker/platform-exporter.yml")["state_folder"].partition(":-")[2].rstrip("}")

    assert f"state:{state}" in SERVICES["exporter"]["volumes"]
    assert f" {state} " in (ROOT / "Dockerfile").read_text(), "a volume takes its owner from the image's folder"
    assert "--enable-feature=created-timestamp-zero-ingestion" in SERVICES["prometheus"]["command"]
    assert "--enable-feature=exemplar-storage" in SERVICES["prometheus"]["command"]


def test_targets_are_services() -> None:
    """Every address Prometheus is given in containers is a service; those of the profile take no file of the others."""
    targets = ROOT / "prometheus" / "targets"
    hosts, files = {}, {}
    for folder in ("compose", "compose-exporters"):
        files[folder] = {file.name: loaded(file) for file in (targets / folder).glob("*.yml")}
        groups = [group for found in files[folder].values() for group in found]
        hosts[folder] = {target.partition(":")[0] for group in groups for target in group["targets"]}

    assert hosts["compose"] == {"exporter", "prometheus", "alertmanager", "alertmanager-2"}
    assert hosts["compose-exporters"] == {"postgres-exporter", "redis-exporter", "minio"}
    assert hosts["compose"] | hosts["compose-exporters"] <= SERVICES.keys()
    assert all(files["compose"][name] == [] for name in files["compose-exporters"])


def test_scripts_are_executable_and_plain_sh() -> None:
    """People start the scripts by name, on systems without bash too."""
    for script in (ROOT / "deploy" / "docker").glob("*.sh"):
        assert script.stat().st_mode & 0o111, script
        assert script.read_text().startswith("#!/bin/sh\n"), script
        subprocess.run(["sh", "-n", str(script)], check=True)


def test_the_builder_gets_nothing_but_what_the_image_copies() -> None:
    """.dockerignore lets through exactly the sources of COPY, and the licence."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    allowed = {line[1:] for line in lines if line.startswith("!")}
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)

    assert "*" in lines
    assert {source for sources in copied for source in sources.split()} == allowed


def loaded_strings(tree: Any) -> Iterator[str]:
    """Yield every text in a tree of YAML."""
    if isinstance(tree, str):
        yield tree
    for item in tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ():
        yield from loaded_strings(item)


def _variables(text: str) -> list[str]:
    return re.findall(r"\$\{?([A-Z][A-Z0-9_]*)", text)
