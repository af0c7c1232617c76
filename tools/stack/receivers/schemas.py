"""The documented shapes of what the services take, as JSON schemas.

Only what Alertmanager sends is described, and nothing else is let through: a field that a service does not know it
would ignore, and its author would never learn of that.
"""

from typing import Any

from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # its stubs are a package of their own

Schema = dict[str, Any]


def _object(required: list[str], **properties: Schema) -> Schema:
    return {"type": "object", "required": required, "properties": properties, "additionalProperties": False}


def _text(longest: int | None = None, **more: Any) -> Schema:
    return {"type": "string", **({"maxLength": longest} if longest else {}), **more}


ADDRESS = _text(pattern="^https?://[^ ]+$")
NON_EMPTY = _text(minLength=1)
LABELS: Schema = {"type": "object", "additionalProperties": _text()}
TIME = _text(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")

# https://api.slack.com/reference/messaging/attachments; the length of a text: https://api.slack.com/changelog/2018-04-truncating-really-long-messages
SLACK = _object(
    ["attachments"],
    channel=_text(pattern="^[#@C]"),
    username=_text(),
    text=_text(40_000),
    attachments={
        "type": "array",
        "minItems": 1,
        "maxItems": 20,
        "items": _object(
            ["fallback", "text"],
            fallback=NON_EMPTY,
            title=NON_EMPTY,
            title_link=ADDRESS,
            text=_text(40_000, minLength=1),
            color=_text(pattern="^(good|warning|danger|#[0-9a-fA-F]{6})$"),
            footer=_text(300),
            callback_id=_text(),
            mrkdwn_in={"type": "array", "items": {"enum": ["pretext", "text", "fields"]}},
        ),
    },
)

# https://developer.pagerduty.com/docs/send-alert-event
PAGERDUTY = _object(
    ["routing_key", "event_action", "dedup_key", "payload"],
    routing_key=_text(pattern="^[0-9A-Za-z]{32}$"),
    event_action={"enum": ["trigger", "acknowledge", "resolve"]},
    dedup_key=_text(255, minLength=1),
    client=_text(),
    client_url=ADDRESS,
    links={"type": "array", "items": _object(["href", "text"], href=ADDRESS, text=NON_EMPTY)},
    images={"type": "array", "items": _object(["src"], src=ADDRESS, href=ADDRESS, alt=_text())},
    payload=_object(
        ["summary", "source", "severity"],
        summary=_text(1024, minLength=1),
        source=NON_EMPTY,
        severity={"enum": ["critical", "error", "warning", "info"]},
        timestamp=TIME,
        component=_text(),
        group=_text(),
        custom_details={"type": "object"},
        **{"class": _text()},
    ),
)

# https://discord.com/developers/docs/resources/webhook#execute-webhook and .../message#embed-object-embed-limits
DISCORD = _object(
    ["embeds"],
    content=_text(2000),
    username=_text(80),
    avatar_url=_text(),
    embeds={
        "type": "array",
        "minItems": 1,
        "maxItems": 10,
        "items": _object(
            ["title", "description"],
            title=_text(256, minLength=1),
            description=_text(4096, minLength=1),
            color={"type": "integer", "minimum": 0, "maximum": 0xFFFFFF},
            url=_text(),
        ),
    },
)

# https://learn.microsoft.com/en-us/connectors/teams/#request-body-schema and https://adaptivecards.io/explorer/TextBlock.html
TEXT_BLOCK = _object(
    ["type", "text"],
    type={"const": "TextBlock"},
    text=NON_EMPTY,
    weight={"enum": ["Default", "Lighter", "Bolder"]},
    size={"enum": ["Default", "Small", "Medium", "Large", "ExtraLarge"]},
    color={"enum": ["Default", "Dark", "Light", "Accent", "Good", "Warning", "Attention"]},
    style={"enum": ["default", "heading"]},
    wrap={"type": "boolean"},
)
CARD = _object(
    ["type", "version", "body"],
    type={"const": "AdaptiveCard"},
    version=_text(pattern=r"^1\.\d$"),
    body={"type": "array", "minItems": 1, "items": TEXT_BLOCK},
    msteams=_object([], width={"enum": ["full", "Full"]}),
    **{"$schema": ADDRESS},
)
TEAMS = _object(
    ["type", "attachments"],
    type={"const": "message"},
    attachments={
        "type": "array",
        "minItems": 1,
        "items": _object(
            ["contentType", "content"],
            contentType={"const": "application/vnd.microsoft.card.adaptive"},
            contentUrl={"type": "null"},
            content=CARD,
        ),
    },
)

# https://prometheus.io/docs/alerting/latest/configuration/#webhook_config
WEBHOOK: Schema = {
    "type": "object",
    "required": ["version", "groupKey", "status", "receiver", "groupLabels", "commonLabels", "externalURL", "alerts"],
    "properties": {
        "version": {"const": "4"},
        "groupKey": NON_EMPTY,
        "status": {"enum": ["firing", "resolved"]},
        "receiver": NON_EMPTY,
        "groupLabels": LABELS,
        "commonLabels": LABELS,
        "commonAnnotations": LABELS,
        "externalURL": ADDRESS,
        "truncatedAlerts": {"type": "integer"},
        "alerts": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["status", "labels", "annotations", "startsAt", "endsAt", "fingerprint"],
                "properties": {
                    "status": {"enum": ["firing", "resolved"]},
                    "labels": LABELS,
                    "annotations": LABELS,
                    "startsAt": TIME,
                    "endsAt": TIME,
                    "fingerprint": NON_EMPTY,
                },
            },
        },
    },
}

SHAPES = {"slack": SLACK, "pagerduty": PAGERDUTY, "discord": DISCORD, "teams": TEAMS, "webhook": WEBHOOK}
# Whole messages that are longer are refused: 512 KB at PagerDuty, 28 KB at Teams.
LONGEST_BYTES = {"pagerduty": 512 * 1024, "teams": 28 * 1024}


def problems(service: str, content: Any, length_bytes: int) -> tuple[str, ...]:
    """Return one sentence for each place where a message is not of its service's shape."""
    errors = Draft202012Validator(SHAPES[service]).iter_errors(content)
    found = [f"{error.json_path}: {error.message[:200]}" for error in errors]
    longest = LONGEST_BYTES.get(service)
    if longest and length_bytes > longest:
        found.append(f"$: {length_bytes} bytes, more than the {longest} that {service} takes")
    return tuple(found)
