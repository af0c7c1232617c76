"""Dashboards and provisioning files have the shape that Grafana documents."""

import copy
from typing import Any

import jsonschema
import pytest
import yaml

from tests.grafana import shapes
from tests.grafana.boards import DASHBOARDS, every_dashboard
from tests.prometheus.names import ROOT

PROVISIONING = ROOT / "grafana/provisioning"


@every_dashboard
def test_dashboards_have_their_shape(name: str) -> None:
    """No key is missing, misspelt or of another type."""
    jsonschema.validate(DASHBOARDS[name], shapes.DASHBOARD, jsonschema.Draft202012Validator)


@pytest.mark.parametrize(
    ("schema", "path"),
    [(shapes.DATASOURCES, path) for path in sorted((PROVISIONING / "datasources").glob("*.yml"))]
    + [(shapes.PROVIDERS, path) for path in sorted((PROVISIONING / "dashboards").glob("*.yml"))],
    ids=lambda value: getattr(value, "name", ""),
)
def test_provisioning_files_have_their_shape(schema: dict[str, Any], path: Any) -> None:
    """Grafana silently ignores a key that it does not know."""
    jsonschema.validate(yaml.safe_load(path.read_text()), schema, jsonschema.Draft202012Validator)


@pytest.mark.parametrize("wrong", [{"uid": "x"}, {"titel": "Platform"}, {"refresh": 30}, {"panels": []}])
def test_the_shape_refuses(wrong: dict[str, Any]) -> None:
    """The schema is strict enough to be worth having."""
    board = copy.deepcopy(DASHBOARDS["http"]) | wrong

    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(board, shapes.DASHBOARD, jsonschema.Draft202012Validator)
