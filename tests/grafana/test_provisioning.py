"""Grafana's provisioning files: fixed uids, every address and secret from the environment."""

import re
from typing import Any

import pytest
import yaml

from grafana.design import links, targets
from tests.grafana.boards import DATASOURCES
from tests.prometheus.names import ROOT
from tools.stack.config_files import settings_of

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
    return set(re.findall(r"(?m)^\s*\w+: \$(\w+)(?:\$\$\{__value\.raw\})?$", text))


def test_data_sources_have_fixed_uids_and_known_types() -> None:
    """Dashboards take them by uid where they are, and Grafana's pages of silences by name."""
    known = (*targets.SOURCES, targets.ALERTMANAGER, targets.ISSUES)

    assert {uid: one["type"] for uid, one in SOURCES.items()} == DATASOURCES
    assert {(one["uid"], one["type"], one["name"]) for one in SOURCES.values()} == {
        (source.uid, source.kind, source.name) for source in known
    }


def test_none_is_the_default() -> None:
    """A Grafana that has another default would refuse to start with two."""
    assert not any("isDefault" in one for one in SOURCES.values())


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
    defaults = settings_of(ROOT / "grafana/grafana.env")

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
    defaults = settings_of(ROOT / "grafana/grafana.env")

    assert defaults["GF_SECURITY_ACTIONS_ALLOW_POST_URL"] == "/api/datasources/proxy/uid/platform-issues/api/v2/alerts"
    assert defaults["GF_DATAPROXY_SEND_USER_HEADER"] == "true"
    assert SOURCES["platform-issues"]["jsonData"]["httpHeaderName1"] == "X-Platform-Token"


@pytest.mark.parametrize("folder", ["alerting", "dashboards", "datasources", "plugins"])
def test_grafana_finds_every_folder(folder: str) -> None:
    """It logs an error at each start where one is missing, and takes a file of nothing but its version."""
    files = list((FOLDER / folder).glob("*.yml"))

    assert files
    assert all(yaml.safe_load(file.read_text())["apiVersion"] == 1 for file in files)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("ANALYTICS_REPORTING_ENABLED", "false"),
        ("ANALYTICS_CHECK_FOR_UPDATES", "false"),
        ("ANALYTICS_CHECK_FOR_PLUGIN_UPDATES", "false"),
        ("NEWS_NEWS_FEED_ENABLED", "false"),
        ("PLUGINS_PREINSTALL_DISABLED", "true"),
        ("PLUGINS_PLUGIN_ADMIN_ENABLED", "false"),
        ("PLUGINS_PUBLIC_KEY_RETRIEVAL_DISABLED", "true"),
        ("SECURITY_DISABLE_GRAVATAR", "true"),
        ("SNAPSHOTS_EXTERNAL_ENABLED", "false"),
    ],
)
def test_grafana_asks_nobody_outside(setting: str, value: str) -> None:
    """Each of these has a default with which Grafana calls its makers or others."""
    assert settings_of(ROOT / "grafana/grafana.env")[f"GF_{setting}"] == value


def test_the_overview_is_the_home_page() -> None:
    """Whoever signs in sees it first, unless they or their organisation chose another."""
    home = settings_of(ROOT / "grafana/grafana.env")["GF_USERS_HOME_PAGE"]

    assert f"{home}?" == links.to("overview").partition("${")[0]


def test_one_folder_that_nobody_edits_in_the_browser() -> None:
    """A change in the browser would be lost with the next start: it is refused at once."""
    [provider] = yaml.safe_load((FOLDER / "dashboards/platform.yml").read_text())["providers"]

    assert (provider["folder"], provider["folderUid"]) == ("Platform", "platform")
    assert provider["allowUiUpdates"] is False
    assert provider["options"]["path"] == "$GF_PLATFORM_DASHBOARDS"
