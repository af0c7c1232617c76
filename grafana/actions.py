"""Make the actions by which panels resolve, reopen and ignore error issues.

An action is a button or a menu entry of a cell. It POSTs to Grafana itself, which checks the role (Editors only), adds
who it is and the exporter's token, and forwards to the exporter; see docs/errors.md for what was read where.

Everything is in the query: Grafana encodes what it fills into parameters, and fills it into a body as it is. An
action's answer is shown as "API call was successful" or an error; the panel shows the change at its next refresh.
"""

from typing import Any

DATA_SOURCE = "platform-issues"
URL = f"/api/datasources/proxy/uid/{DATA_SOURCE}/api/v2/alerts"
"""The one address in `[security] actions_allow_post_url`. Relative: Grafana puts its own root before it."""

Json = dict[str, Any]

RESOLVE, REOPEN, IGNORE = "resolve", "reopen", "ignore"
GREEN, YELLOW, GREY = "semi-dark-green", "semi-dark-yellow", "text"

FILTER = ("app", "severity", "status", "endpoint", "type")


def action(title: str, verb: str, confirmation: str, **parameters: str) -> Json:
    """Return an action, as `fieldConfig.defaults.actions` or the property `actions` of an override takes it."""
    query = [["action", verb], *([name.rstrip("_"), text] for name, text in parameters.items())]
    return {
        "type": "fetch",
        "title": title,
        "confirmation": confirmation,
        "oneClick": False,
        "fetch": {
            "method": "POST",
            "url": URL,
            "queryParams": query,
            "headers": [["Content-Type", "application/json"]],
            "body": "{}",
        },
    }


def of_row(field: str = "id") -> list[Json]:
    """Return the actions on the issue of a row, whose id is in the column `field` (it may be hidden, not renamed)."""
    ids = f"${{__data.fields.{field}}}"
    return _all("this issue", ids=ids)


def of_listed(field: str = "ids", number: str = "number") -> list[Json]:
    """Return the actions on the issues whose ids, joined by commas, are in a row's column; another has their number."""
    return _all(f"these ${{__data.fields.{number}}} issues", ids=f"${{__data.fields.{field}}}")


def of_selected(variable: str = "issue") -> list[Json]:
    """Return the actions on the issues picked in a dashboard variable: several values, each an id, without All."""
    return _all("the issues picked", ids=f"${{{variable}:csv}}")


def of_matching(expected: str, *variables: str, search: str | None = None) -> list[Json]:
    """Return the actions on all issues that the dashboard's variables of the names in FILTER leave.

    `expected` is a column that holds their number: where there are more or fewer by now, the exporter refuses. `search`
    is the name of the text box.
    """
    unknown = set(variables) - set(FILTER)
    if unknown:
        raise ValueError(f"variables {sorted(unknown)} are no filters; wanted some of {FILTER}")
    chosen = {name: f"${{{name}:json}}" for name in variables}
    if search:
        chosen["search"] = f"${{{search}}}"
    number = f"${{__data.fields.{expected}}}"
    return _all(f"all {number} issues shown", expected=number, **chosen)


def _all(whom: str, **parameters: str) -> list[Json]:
    return [
        action(
            "Resolve", RESOLVE, f"Resolve {whom}? It opens again as a regression when it occurs again.", **parameters
        ),
        action(
            "Resolve in the latest release",
            RESOLVE,
            f"Resolve {whom}? Occurrences in releases older than the app's latest are no regression.",
            release="latest",
            **parameters,
        ),
        action("Reopen", REOPEN, f"Reopen {whom}?", **parameters),
        action("Ignore for a day", IGNORE, f"Ignore {whom} for a day?", for_="1d", **parameters),
        action("Ignore for 100 more", IGNORE, f"Ignore {whom} until 100 more are counted?", events="100", **parameters),
        action("Ignore", IGNORE, f"Ignore {whom} until somebody reopens it?", **parameters),
    ]
