"""JSON Schemas of Grafana's files.

DASHBOARD is the classic model ("JSON model" in Grafana's documentation of dashboards) as far as 11.6, 12 and 13 share
it and we use it; Grafana publishes no schema of it. DATASOURCES and PROVIDERS are those of "Provision Grafana" in its
documentation of administration. Unlisted keys are refused: they would be typos.
"""

from typing import Any

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
WORD: Schema = {"type": "string", "minLength": 1}
FLAG: Schema = {"type": "boolean"}
COUNT: Schema = {"type": "integer", "minimum": 0}
ANY: Schema = {}


def _object(required: dict[str, Schema], optional: dict[str, Schema] | None = None, *, open_: bool = False) -> Schema:
    return {
        "type": "object",
        "required": list(required),
        "properties": {**required, **(optional or {})},
        "additionalProperties": open_,
    }


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


SOURCE = _object({"type": WORD, "uid": WORD})
PLACE = _object(
    {
        "h": {"type": "integer", "minimum": 1},
        "w": {"type": "integer", "minimum": 1, "maximum": 24},
        "x": {"type": "integer", "minimum": 0, "maximum": 23},
        "y": COUNT,
    }
)
LINK = _object(
    {"title": WORD},
    {
        "type": {"enum": ["link", "dashboards"]},
        "icon": TEXT,
        "tooltip": TEXT,
        "url": TEXT,
        "tags": _list(WORD),
        "asDropdown": FLAG,
        "targetBlank": FLAG,
        "includeVars": FLAG,
        "keepTime": FLAG,
    },
)
# Where the SDK writes one behind figures, it cannot leave out `placement`, which means nothing there.
DATA_LINK = {**LINK, "properties": {**LINK["properties"], "placement": WORD}}
STEPS = _list(_object({"color": WORD, "value": {"type": ["number", "null"]}}))
MAPPING = _object({"type": {"enum": ["value", "range", "regex", "special"]}, "options": {"type": "object"}})
OVERRIDE = _object(
    {
        "matcher": _object({"id": {"enum": ["byName", "byRegexp", "byType", "byFrameRefID"]}, "options": TEXT}),
        "properties": _list(_object({"id": WORD, "value": ANY})),
    }
)
FIELDS = _object(
    {
        "defaults": _object(
            {},
            {
                "unit": WORD,
                "decimals": COUNT,
                "min": {"type": "number"},
                "max": {"type": "number"},
                "noValue": WORD,
                "displayName": WORD,
                "color": _object({"mode": WORD}, {"fixedColor": WORD, "seriesBy": WORD}),
                "thresholds": _object({"mode": {"enum": ["absolute", "percentage"]}, "steps": STEPS}),
                "mappings": _list(MAPPING),
                "links": _list(DATA_LINK),
                "actions": _list({"type": "object"}),
                "custom": {"type": "object"},
                "fieldMinMax": FLAG,
            },
        ),
        "overrides": _list(OVERRIDE),
    }
)
PROMQL = _object(
    {"datasource": SOURCE, "expr": WORD, "refId": WORD},
    {
        "editorMode": {"const": "code"},
        "instant": FLAG,
        "range": FLAG,
        "legendFormat": TEXT,
        "exemplar": FLAG,
        "format": {"enum": ["table", "heatmap", "time_series"]},
        "interval": WORD,
        "hide": FLAG,
    },
)
SQL = _object(
    {
        "datasource": SOURCE,
        "rawSql": WORD,
        "refId": WORD,
        "format": {"enum": ["table", "time_series"]},
        "rawQuery": {"const": True},
        "editorMode": {"const": "code"},
    }
)
PANEL = _object(
    {"id": {"type": "integer", "minimum": 1}, "type": WORD, "title": WORD, "gridPos": PLACE},
    {
        "description": WORD,
        "datasource": SOURCE,
        "targets": _list({"oneOf": [PROMQL, SQL]}),
        "fieldConfig": FIELDS,
        "options": {"type": "object"},
        "transformations": _list(_object({"id": WORD, "options": {"type": "object"}})),
        "transparent": FLAG,
        "repeatDirection": {"enum": ["h", "v"]},
        "repeat": WORD,
        "maxPerRow": COUNT,
        "interval": WORD,
        "timeFrom": WORD,
        "timeShift": WORD,
        "hideTimeOverride": FLAG,
        "links": _list(LINK),
        "maxDataPoints": COUNT,
    },
)
ROW = _object(
    {"id": COUNT, "type": {"const": "row"}, "title": WORD, "gridPos": PLACE, "collapsed": FLAG, "panels": _list(PANEL)},
    {"repeat": WORD},
)
VARIABLE = _object(
    {
        "type": {"enum": ["query", "custom", "textbox", "datasource"]},
        "name": WORD,
        "label": WORD,
        "query": ANY,
        "current": {"type": "object"},
    },
    {
        "datasource": SOURCE,
        "definition": WORD,
        "refresh": {"enum": [0, 1, 2]},
        "sort": COUNT,
        "multi": FLAG,
        "includeAll": FLAG,
        "allValue": WORD,
        "allowCustomValue": FLAG,
        "options": _list({"type": "object"}),
        "regex": TEXT,
        "hide": {"enum": [0, 1, 2, 3]},
        "skipUrlSync": FLAG,
        "description": TEXT,
        # The SDK's defaults of intervals, which Grafana ignores in other variables.
        "auto": FLAG,
        "auto_min": WORD,
        "auto_count": COUNT,
    },
)
MARK = _object(
    {"name": WORD, "datasource": SOURCE, "enable": FLAG, "iconColor": WORD, "target": {"oneOf": [PROMQL, SQL]}},
    {
        "hide": FLAG,
        "expr": WORD,
        "titleFormat": WORD,
        "textFormat": WORD,
        "step": WORD,
        "useValueForTime": FLAG,
        "builtIn": COUNT,
        "tagKeys": TEXT,
    },
)
DASHBOARD = _object(
    {
        "uid": {"type": "string", "pattern": "^[a-z-]{8,40}$"},
        "title": WORD,
        "description": WORD,
        "tags": _list(WORD),
        "schemaVersion": COUNT,
        "version": COUNT,
        "editable": FLAG,
        "graphTooltip": {"enum": [0, 1, 2]},
        "refresh": TEXT,
        "time": _object({"from": WORD, "to": WORD}),
        "timezone": {"enum": ["browser", "utc"]},
        "panels": {**_list({"oneOf": [ROW, PANEL]}), "minItems": 1},
        "links": _list(LINK),
        "templating": _object({"list": _list(VARIABLE)}),
        "annotations": _object({}, {"list": _list(MARK)}),
    },
    {
        "timepicker": _object(
            {},
            {
                "refresh_intervals": _list(WORD),
                "hidden": FLAG,
                "nowDelay": WORD,
                "quick_ranges": _list(_object({"display": WORD, "from": WORD, "to": WORD})),
            },
        ),
        "fiscalYearStartMonth": COUNT,
        "weekStart": TEXT,
        "liveNow": FLAG,
        "preload": FLAG,
    },
)

DATASOURCES = _object(
    {
        "apiVersion": {"const": 1},
        "datasources": _list(
            _object(
                {
                    "name": WORD,
                    "type": WORD,
                    "access": {"enum": ["proxy", "direct"]},
                    "uid": {**WORD, "maxLength": 40},
                    "url": WORD,
                },
                {
                    "orgId": COUNT,
                    "user": WORD,
                    "database": WORD,
                    "basicAuth": FLAG,
                    "basicAuthUser": WORD,
                    "withCredentials": FLAG,
                    "jsonData": {"type": "object"},
                    "secureJsonData": {"type": "object"},
                    "version": COUNT,
                    "editable": FLAG,
                },
            )
        ),
    },
    {"prune": FLAG, "deleteDatasources": _list(_object({"name": WORD, "orgId": COUNT}))},
)
PROVIDERS = _object(
    {
        "apiVersion": {"const": 1},
        "providers": _list(
            _object(
                {
                    "name": WORD,
                    "type": {"const": "file"},
                    "options": _object({"path": WORD}, {"foldersFromFilesStructure": FLAG}),
                },
                {
                    "orgId": COUNT,
                    "folder": TEXT,
                    "folderUid": WORD,
                    "disableDeletion": FLAG,
                    "updateIntervalSeconds": COUNT,
                    "allowUiUpdates": FLAG,
                },
            )
        ),
    }
)
