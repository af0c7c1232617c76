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

# https://docs.opsgenie.com/docs/alert-api: to create an alert, and to close it, which says no more than who does
OPSGENIE: Schema = {
    "anyOf": [
        _object(
            ["alias", "message"],
            alias=_text(512, minLength=1),
            message=_text(130, minLength=1),
            description=_text(15_000),
            details=LABELS,
            source=_text(100),
            priority={"enum": ["P1", "P2", "P3", "P4", "P5"]},
        ),
        _object(["source"], source=_text(100)),
    ]
}

# https://core.telegram.org/bots/api#sendmessage
TELEGRAM = _object(
    ["chat_id", "text"],
    chat_id=_text(pattern="^-?[0-9]+$"),
    text=_text(4096, minLength=1),
    disable_web_page_preview={"enum": ["true"]},
)

# https://developers.mattermost.com/integrate/webhooks/incoming and .../integrate/reference/message-attachments
MATTERMOST = _object(
    ["attachments"],
    channel=_text(pattern="^[a-z0-9]"),
    username=_text(),
    text=_text(16_383),
    attachments={
        "type": "array",
        "minItems": 1,
        "items": _object(
            ["fallback", "text", "title"],
            fallback=NON_EMPTY,
            title=NON_EMPTY,
            title_link=ADDRESS,
            text=_text(16_383, minLength=1),
            color=_text(pattern="^(good|warning|danger|#[0-9a-fA-F]{6})$"),
        ),
    },
)

# https://developer.rocket.chat/apidocs/post-message
ROCKETCHAT = _object(
    ["channel", "attachments"],
    channel=NON_EMPTY,
    attachments={
        "type": "array",
        "minItems": 1,
        "items": _object(
            ["title", "text"], title=NON_EMPTY, title_link=ADDRESS, text=_text(minLength=1), color=NON_EMPTY
        ),
    },
)

# https://developer.webex.com/docs/api/v1/messages/create-a-message
WEBEX = _object(["roomId", "markdown"], roomId=NON_EMPTY, markdown=_text(7439, minLength=1))

# https://help.victorops.com/knowledge-base/rest-endpoint-integration-guide
VICTOROPS = _object(
    ["message_type", "entity_id"],
    message_type={"enum": ["CRITICAL", "WARNING", "ACKNOWLEDGEMENT", "INFO", "RECOVERY"]},
    entity_id=NON_EMPTY,
    entity_display_name=NON_EMPTY,
    state_message=_text(20_480),
    monitoring_tool=_text(),
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

SHAPES = {
    "slack": SLACK,
    "pagerduty": PAGERDUTY,
    "discord": DISCORD,
    "teams": TEAMS,
    "webhook": WEBHOOK,
    "opsgenie": OPSGENIE,
    "telegram": TELEGRAM,
    "mattermost": MATTERMOST,
    "rocketchat": ROCKETCHAT,
    "webex": WEBEX,
    "victorops": VICTOROPS,
}
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
