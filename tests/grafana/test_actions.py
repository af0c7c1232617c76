"""The actions' JSON: what Grafana's front end reads, and nothing that a value could break out of."""

import json
import re
from urllib.parse import urlsplit

import pytest

from exporter.issues import parsing
from exporter.issues.change import ACTIONS
from grafana import actions
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
    """Nothing is filled into an address or a body, where it would not be encoded."""
    fetch = action["fetch"]

    assert "$" not in fetch["url"] + fetch["body"]
    assert urlsplit(fetch["url"]).query == ""


@pytest.mark.parametrize("action", ALL, ids=lambda action: str(action["title"]))
def test_the_exporter_understands_it(action: actions.Json) -> None:
    """With ids in place of the variable."""
    pairs = [(k, "0123456789abcdef,ffff456789abcdef" if "$" in v else v) for k, v in action["fetch"]["queryParams"]]
    asked = parsing.from_query([pair for pair in pairs if pair[0] != "action"], b"{}")

    assert dict(pairs)["action"] in ACTIONS
    assert len(asked.ids) == 2


def test_the_address_is_the_one_allowed() -> None:
    """The allow-list of Grafana names it."""
    (allowed,) = re.findall(
        r"(?m)^GF_SECURITY_ACTIONS_ALLOW_POST_URL=(.*)$", (ROOT / "grafana/grafana.env").read_text()
    )

    assert {action["fetch"]["url"] for action in ALL} == {allowed}
