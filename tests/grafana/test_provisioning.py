"""Grafana's provisioning files: fixed uids, every address and secret from the environment."""

import re
from typing import Any

import pytest
import yaml

from tests.grafana.boards import DATASOURCES
from tests.prometheus.names import ROOT

FOLDER = ROOT / "grafana/provisioning"
SOURCES = {one["uid"]: one for one in yaml.safe_load((FOLDER / "datasources/platform.yml").read_text())["datasources"]}
# Not among the defaults of grafana.env: a secret, and a path that depends on where the checkout lies.
SET_BY_THE_LAUNCHER = {
    "GF_PLATFORM_POSTGRESQL_PASSWORD",
    "GF_PLATFORM_RESTRICTED_PASSWORD",
    "GF_PLATFORM_ERRORS_TOKEN",
    "GF_PLATFORM_DASHBOARDS",
}


def variables(text: str) -> set[str]:
    """Return the names of the environment that a provisioning file refers to."""
    return set(re.findall(r"(?m)^\s*\w+: \$(\w+)$", text))


def test_data_sources_have_fixed_uids_and_known_types() -> None:
    """Dashboards name data sources by uid."""
    assert {uid: one["type"] for uid, one in SOURCES.items()} == DATASOURCES


@pytest.mark.parametrize("uid", DATASOURCES)
def test_addresses_and_secrets_come_from_the_environment(uid: str) -> None:
    """The same files serve plain processes and containers, and hold no secret."""
    source: dict[str, Any] = SOURCES[uid]

    assert source["url"].startswith("$GF_PLATFORM_")
    assert all(value.startswith("$GF_PLATFORM_") for value in source.get("secureJsonData", {}).values())
    assert not {"password", "basicAuthPassword"} & {*source, *source["jsonData"]}


def test_every_variable_has_its_default_or_is_the_launchers() -> None:
    """Grafana knows no defaults for variables: an unset one would silently be empty."""
    used = set().union(*(variables(path.read_text()) for path in FOLDER.rglob("*.yml")))
    lines = (ROOT / "grafana/grafana.env").read_text().splitlines()
    defaults = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))

    assert used == {name for name in defaults if name.startswith("GF_PLATFORM_")} | SET_BY_THE_LAUNCHER
    assert all(defaults.values())


def test_users_addresses_and_stack_traces_have_a_data_source_of_their_own() -> None:
    """It signs in as another role, so that access to one can be revoked without the other."""
    ordinary, restricted = SOURCES["platform-postgresql"], SOURCES["platform-postgresql-restricted"]

    assert ordinary["url"] == restricted["url"]
    assert ordinary["user"] != restricted["user"]
    assert ordinary["secureJsonData"] != restricted["secureJsonData"]


def test_actions_may_post_to_one_address() -> None:
    """That of the API of error issues, behind Grafana's check of roles; containers and plain processes alike."""
    defaults = dict(
        line.split("=", 1) for line in (ROOT / "grafana/grafana.env").read_text().splitlines() if line.startswith("GF_")
    )
    composed = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["grafana"]["environment"]

    assert defaults["GF_SECURITY_ACTIONS_ALLOW_POST_URL"] == "/api/datasources/proxy/uid/platform-issues/api/v2/alerts"
    for name in (
        "GF_SECURITY_ACTIONS_ALLOW_POST_URL",
        "GF_DATAPROXY_SEND_USER_HEADER",
        "GF_USERS_AUTO_ASSIGN_ORG_ROLE",
    ):
        assert composed[name] == defaults[name]
    assert SOURCES["platform-issues"]["jsonData"]["httpHeaderName1"] == "X-Platform-Token"


def test_one_folder_that_nobody_edits_in_the_browser() -> None:
    """A change in the browser would be lost with the next start: it is refused at once."""
    [provider] = yaml.safe_load((FOLDER / "dashboards/platform.yml").read_text())["providers"]

    assert (provider["folder"], provider["folderUid"]) == ("Platform", "platform")
    assert provider["allowUiUpdates"] is False
    assert provider["options"]["path"] == "$GF_PLATFORM_DASHBOARDS"
