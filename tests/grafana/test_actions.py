"""The actions' JSON: what Grafana's front end reads, and nothing that a value could break out of."""

import json
import re
from datetime import UTC, datetime
from typing import cast
from urllib.parse import urlsplit

import pytest

from exporter.issues import parsing
from exporter.issues.change import ACTIONS, Action
from grafana import actions
from grafana.design.targets import ISSUES
from tests.prometheus.names import ROOT

ALL = [*actions.of_row(), *actions.of_listed()]


@pytest.mark.parametrize("action", ALL, ids=lambda action: str(action["title"]))
def test_an_action_is_of_the_documented_shape(action: actions.Json) -> None:
    """As public/app/features/actions/utils.ts and packages/grafana-data/src/types/action.ts read it."""
    fetch = action[action["type"]]

    assert action["type"] == "fetch"
    assert action["title"]
    assert action["confirmation"].count("?") == 1
    assert action["oneClick"] is False
    assert {tuple(box) for box in action.get("variables", [])} <= {("key", "name", "type")}
    assert set(fetch) == {"method", "url", "queryParams", "headers", "body"}
    assert fetch["method"] == "POST"
    assert all(len(pair) == 2 and all(isinstance(text, str) for text in pair) for pair in fetch["queryParams"])
    assert json.loads(fetch["body"]) == {}


@pytest.mark.parametrize("action", ALL, ids=lambda action: str(action["title"]))
def test_grafanas_own_types_know_all_of_it(action: actions.Json) -> None:
    """Through the Foundation SDK and back, nothing is lost."""
    # Imported here: the SDK warns about this schema unless the package `grafana` imported it first.
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.models import dashboard

    encoded = json.loads(json.dumps(dashboard.Action.from_json(action), cls=JSONEncoder))

    assert encoded == action


@pytest.mark.parametrize("action", ALL, ids=lambda action: str(action["title"]))
def test_values_are_in_parameters_only(action: actions.Json) -> None:
    """Nothing is filled into a body, where it would not be encoded, and into the address only an encoded uid."""
    fetch = action["fetch"]

    assert "$" not in fetch["url"].replace("${issues:percentencode}", "") + fetch["body"]
    assert urlsplit(fetch["url"]).query == ""


@pytest.mark.parametrize("action", ALL, ids=lambda action: str(action["title"]))
def test_the_exporter_understands_it(action: actions.Json) -> None:
    """With ids in place of the variable, and a text in place of what a person types."""
    filled = {"ids": "0123456789abcdef,ffff456789abcdef"} | {box["key"]: "ann" for box in action.get("variables", [])}
    pairs = {name: filled.get(name, text) for name, text in action["fetch"]["queryParams"]}
    verb = cast(Action, pairs.pop("action"))
    asked = parsing.from_query(pairs.items(), b"{}")
    parsing.interpret(asked, verb, "ann", datetime.now(UTC))

    assert verb in ACTIONS
    assert len(asked.ids) == 2
    assert not [text for text in pairs.values() if "$" in text]


def test_there_is_an_action_for_each_change() -> None:
    """What the exporter can do, Editors can: all but to merge in a row, all but to split in the table of many."""
    in_a_row, of_many = (
        {dict(one["fetch"]["queryParams"])["action"] for one in of} for of in (actions.of_row(), actions.of_listed())
    )

    assert in_a_row == set(ACTIONS) - {"merge"}
    assert of_many == set(ACTIONS) - {"split"}


def test_the_address_is_the_one_allowed() -> None:
    """The allow-list of Grafana names it, with the uid of the data source that is provisioned."""
    (allowed,) = re.findall(
        r"(?m)^GF_SECURITY_ACTIONS_ALLOW_POST_URL=(.*)$", (ROOT / "grafana/grafana.env").read_text()
    )

    assert {action["fetch"]["url"].replace("${issues:percentencode}", ISSUES.uid) for action in ALL} == {allowed}
