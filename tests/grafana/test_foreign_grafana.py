"""Dashboards brought into a Grafana that has data sources of other names and uids: by hand, by file or by a sidecar.

Grafana takes such a file as it is. It then gives each variable of data sources a value, as `DataSourceVariable` and
`MultiValueVariable` of @grafana/scenes do: the stored one if there is a data source of that uid, otherwise the first by
name of those of its kind, and the queries go there.
"""

import json
import re
from dataclasses import dataclass
from typing import Any

import pytest

from tests.grafana.boards import CHOSEN, DASHBOARDS, DATASOURCES, every, every_dashboard


@dataclass(frozen=True)
class Installed:
    """A data source of a Grafana."""

    name: str
    uid: str
    kind: str


FOREIGN = (
    Installed("Mimir", "dfa1zq", "prometheus"),
    Installed("VictoriaMetrics", "P4169E866C3094E38", "prometheus"),
    Installed("events, read only", "bem2q", "grafana-postgresql-datasource"),
    Installed("Loki", "loki", "loki"),
)
OURS = tuple(Installed(f"Platform {uid}", uid, kind) for uid, kind in DATASOURCES.items())


def chosen(board: dict[str, Any], installed: tuple[Installed, ...], address: dict[str, str]) -> dict[str, str]:
    """Return the uid that each variable of data sources has, opened with the `var-` parameters of an address."""
    found = {}
    for variable in board["templating"]["list"]:
        if variable["type"] == "datasource":
            of_kind = sorted(
                (one for one in installed if one.kind == variable["query"]), key=lambda one: one.name.lower()
            )
            wanted = address.get(variable["name"], variable["current"]["value"])
            found[variable["name"]] = next((one.uid for one in of_kind if one.uid == wanted), of_kind[0].uid)
    return found


def asked(board: dict[str, Any], installed: tuple[Installed, ...], **address: str) -> set[Installed]:
    """Return the data sources that panels, variables and marks of an opened dashboard ask."""
    values = chosen(board, installed, address)
    by_uid = {one.uid: one for one in installed}
    found = set()
    for reference in every(board, "datasource"):
        variable = re.fullmatch(r"\$\{(\w+)\}", reference["uid"])
        assert variable, f"{reference['uid']}: a fixed uid, expected a variable of data sources"
        source = by_uid[values[variable[1]]]
        assert source.kind == reference["type"]
        found.add(source)
    return found


@every_dashboard
def test_it_asks_what_is_there(name: str) -> None:
    """Nothing names a data source that only our provisioning has."""
    found = asked(DASHBOARDS[name], FOREIGN)

    assert {one.uid for one in found} <= {"dfa1zq", "bem2q"}


@every_dashboard
def test_the_viewers_choice_counts(name: str) -> None:
    """Each query follows the variable of its data source."""
    found = asked(DASHBOARDS[name], FOREIGN, datasource="P4169E866C3094E38")

    assert "dfa1zq" not in {one.uid for one in found}


@every_dashboard
def test_ours_are_the_default(name: str) -> None:
    """Beside others, whatever their names, the provisioned ones are taken."""
    found = asked(DASHBOARDS[name], (*FOREIGN, *OURS))

    assert {one.uid for one in found} <= set(DATASOURCES)


@every_dashboard
def test_data_sources_come_first(name: str) -> None:
    """Choices that ask a data source need its variable before them; the rest of the file names no uid of ours."""
    variables = DASHBOARDS[name]["templating"]["list"]

    assert tuple(one["name"] for one in variables[: len(CHOSEN)]) == CHOSEN
    rest = {**DASHBOARDS[name], "templating": {"list": variables[len(CHOSEN) :]}}
    assert not [uid for uid in DATASOURCES if uid in json.dumps(rest)]


@every_dashboard
def test_no_input_is_left_to_fill(name: str) -> None:
    """Files that ask for inputs work in Grafana's import dialog only, and not by provisioning or a sidecar."""
    assert not {"__inputs", "__requires", "__elements"} & set(DASHBOARDS[name])


@every_dashboard
def test_links_keep_the_data_sources(name: str) -> None:
    """A dashboard opened from another asks what that one asked."""
    for url in every(DASHBOARDS[name], "url"):
        if url.startswith("/d/") and "?" in url:
            assert re.findall(r"\$\{(\w+):queryparam\}", url)[: len(CHOSEN)] == list(CHOSEN), url


def test_a_fixed_uid_is_found() -> None:
    """The check can fail."""
    board = {
        "templating": {"list": []},
        "panels": [{"datasource": {"type": "prometheus", "uid": "platform-prometheus"}}],
    }

    with pytest.raises(AssertionError, match="platform-prometheus: a fixed uid"):
        asked(board, OURS)
