"""The actions with which panels resolve, reopen and ignore error issues.

An action is a button or a menu entry of a cell. It POSTs to Grafana itself, which checks the role (Editors only), adds
the user and the exporter's token, and forwards to the exporter; docs/errors.md says which sources describe this.

All parameters are in the query, where Grafana encodes values; in a body it would insert them unencoded. Grafana shows
the result of an action as "API call was successful" or an error; the panel shows the change at its next refresh.
"""

from typing import Any

DATA_SOURCE = "platform-issues"
URL = f"/api/datasources/proxy/uid/{DATA_SOURCE}/api/v2/alerts"
"""The one address in `[security] actions_allow_post_url`. It is relative to Grafana's root."""

Json = dict[str, Any]

RESOLVE, REOPEN, IGNORE = "resolve", "reopen", "ignore"


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


def of_row() -> list[Json]:
    """Return the actions on the issue of a row, whose id is in the column `id` (it may be hidden, not renamed)."""
    return _all("this issue", "${__data.fields.id}")


def of_listed() -> list[Json]:
    """Return the actions on the issues of a row: `ids` has their ids, joined by commas, and `number` their number."""
    return _all("these ${__data.fields.number} issues", "${__data.fields.ids}")


def _all(whom: str, ids: str) -> list[Json]:
    reopens = "It reopens as a regression when it occurs again."
    latest = "Occurrences in releases older than the app's latest are not regressions."
    return [
        action("Resolve", RESOLVE, f"Resolve {whom}? {reopens}", ids=ids),
        action("Resolve in the latest release", RESOLVE, f"Resolve {whom}? {latest}", release="latest", ids=ids),
        action("Reopen", REOPEN, f"Reopen {whom}?", ids=ids),
        action("Ignore for a day", IGNORE, f"Ignore {whom} for a day?", for_="1d", ids=ids),
        action("Ignore for 100 more", IGNORE, f"Ignore {whom} for 100 more occurrences?", events="100", ids=ids),
        action("Ignore", IGNORE, f"Ignore {whom} until someone reopens it?", ids=ids),
    ]
