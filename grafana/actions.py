"""The actions with which panels change error issues.

An action is a button or a menu entry of a cell. It POSTs to Grafana itself, which checks the role (Editors only), adds
the user and the exporter's token, and forwards to the exporter; docs/errors.md says which sources describe this.

All parameters are in the query, where Grafana encodes values; in a body it would insert them unencoded. What a person
types (Grafana 12.1 and newer ask for it) replaces $NAME; the exporter takes an empty box as left out. Grafana shows the
result of an action as "API call was successful" or an error; the panel shows the change at its next refresh.
"""

from typing import Any

from grafana.design.targets import ISSUES

URL = f"/api/datasources/proxy/uid/${{{ISSUES.variable}:percentencode}}/api/v2/alerts"
"""With the usual uid it is the one address in `[security] actions_allow_post_url`; relative to Grafana's root."""

Json = dict[str, Any]

RESOLVE, REOPEN, IGNORE, ASSIGN, UNASSIGN, COMMENT = "resolve", "reopen", "ignore", "assign", "unassign", "comment"
MERGE, SPLIT = "merge", "split"


def action(title: str, verb: str, confirmation: str, typed: dict[str, str] | None = None, **parameters: str) -> Json:
    """Return an action, as `fieldConfig.defaults.actions` or the property `actions` of an override takes it.

    `typed` are the parameters that a person types, with the headings of their boxes.
    """
    boxes = {"variables": [{"key": key, "name": name, "type": "string"} for key, name in (typed or {}).items()]}
    parameters |= {name: f"${name}" for name in typed or {}}
    query = [["action", verb], *([name.rstrip("_"), text] for name, text in parameters.items())]
    return {
        **(boxes if typed else {}),
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
    ids = "${__data.fields.id}"
    split = "Split this issue? Each fingerprint that was merged into it becomes an issue of its own."
    return [*_all("this issue", ids), action("Split", SPLIT, split, ids=ids)]


def of_listed() -> list[Json]:
    """Return the actions on the issues of a row: `ids` has their ids, the oldest first, joined by commas, and `number`
    their number."""
    whom, ids = "these ${__data.fields.number} issues", "${__data.fields.ids}"
    merge = f"Merge {whom} into the oldest of them? They must be of one app."
    return [*_all(whom, ids), action("Merge", MERGE, merge, ids=ids)]


def _all(whom: str, ids: str) -> list[Json]:
    reopens = "It reopens as a regression when it occurs again."
    latest = "Occurrences in releases older than the app's latest are not regressions."
    return [
        action("Resolve", RESOLVE, f"Resolve {whom}? {reopens}", ids=ids),
        action("Resolve in latest", RESOLVE, f"Resolve {whom}? {latest}", release="latest", ids=ids),
        action("Reopen", REOPEN, f"Reopen {whom}?", ids=ids),
        action("Ignore for a day", IGNORE, f"Ignore {whom} for a day?", for_="1d", ids=ids),
        action("Ignore for 100 more", IGNORE, f"Ignore {whom} for 100 more occurrences?", events="100", ids=ids),
        action("Ignore", IGNORE, f"Ignore {whom} until someone reopens it?", ids=ids),
        action("Assign", ASSIGN, f"Assign {whom}?", {"person": "To whom? Empty: to you"}, ids=ids),
        action("Unassign", UNASSIGN, f"Assign {whom} to nobody?", ids=ids),
        action("Comment", COMMENT, f"Add '$note' to {whom}?", {"note": "Comment"}, ids=ids),
    ]
