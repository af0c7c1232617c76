"""Read matchers as people type them, and make silences of them."""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from exporter.errors import AlertInputError

_MATCHER = re.compile(r"(?P<name>[a-zA-Z_][a-zA-Z0-9_]*)\s*(?P<operator>!=|=~|!~|=)\s*(?P<value>.*)", re.DOTALL)


def matcher(text: str) -> dict[str, Any]:
    """Return a matcher of the API for NAME=VALUE, != =~ or !~; quotes around the value are left out.

    Raises AlertInputError.
    """
    match = _MATCHER.fullmatch(text.strip())
    if not match:
        raise AlertInputError(f"{text!r} is no matcher; wanted NAME=VALUE, NAME!=VALUE, NAME=~REGEX or NAME!~REGEX")
    value, operator = match["value"], match["operator"]
    if len(value) > 1 and value[0] == value[-1] == '"':
        value = value[1:-1]
    return {"name": match["name"], "value": value, "isRegex": "~" in operator, "isEqual": "!" not in operator}


def silence(matchers: Sequence[str], lasts: timedelta, by: str, comment: str, now: datetime) -> dict[str, Any]:
    """Return a silence as Alertmanager's API takes it. Raises AlertInputError."""
    read = [matcher(text) for text in matchers]
    if all(_matches_nothing_said(one) for one in read):
        raise AlertInputError(
            f"{' '.join(matchers)} would match alerts that lack these labels, too; wanted a matcher that an empty "
            "value does not fulfil, such as app=shop"
        )
    return {
        "matchers": read,
        "startsAt": now.isoformat(),
        "endsAt": (now + lasts).isoformat(),
        "createdBy": by,
        "comment": comment,
    }


def _matches_nothing_said(one: dict[str, Any]) -> bool:
    """Tell whether an absent label fulfils a matcher; a silence of such ones only would mute nearly everything."""
    if one["isRegex"]:
        try:
            empty = re.fullmatch(one["value"], "") is not None
        except re.error:
            empty = False  # Alertmanager judges it: its expressions are RE2's
    else:
        empty = one["value"] == ""
    return bool(empty == one["isEqual"])


def described(found: dict[str, Any]) -> str:
    """Return the matchers of a silence in a line."""
    signs = {(False, True): "=", (False, False): "!=", (True, True): "=~", (True, False): "!~"}
    return " ".join(
        f'{one["name"]}{signs[one["isRegex"], one.get("isEqual", True)]}"{one["value"]}"' for one in found["matchers"]
    )
