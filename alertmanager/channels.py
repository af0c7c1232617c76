"""The kinds of channels, and the blocks of Alertmanager's configuration that they become."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

Block = dict[str, Any]
Version = tuple[int, ...]


class ChannelsError(ValueError):
    """Raised when the file of channels is invalid."""


@dataclass(frozen=True)
class Channel:
    """One channel of the file; `secrets` is the folder of its secrets, `alertmanager` the oldest version."""

    name: str
    keys: dict[str, Any]
    secrets: PurePosixPath
    alertmanager: Version

    def __getitem__(self, key: str) -> Any:
        return self.keys[key]

    def secret(self, key: str) -> str:
        """Return the absolute path of a secret: Alertmanager would look for a relative one in its working directory."""
        return str(self.secrets / str(self.keys[key]))

    def requires(self, version: Version, what: str) -> None:
        """Raise ChannelsError where the Alertmanager is older than this."""
        if self.alertmanager < version:
            raise ChannelsError(
                f"`channels.{self.name}` has {what}, which Alertmanager knows from {'.'.join(map(str, version))} on; "
                f"`alertmanager` is {'.'.join(map(str, self.alertmanager))}"
            )


def email(channel: Channel) -> Block:
    """Return an entry of email_configs: HTML and text of the same content."""
    block: Block = {key: channel[key] for key in ("to", "from", "smarthost")}
    if "username" in channel.keys:
        block |= {"auth_username": channel["username"], "auth_password_file": channel.secret("password_file")}
    if "ca_file" in channel.keys:
        block["tls_config"] = {"ca_file": channel.secret("ca_file")}
    return block | {
        "require_tls": channel.keys.get("require_tls", True),
        "headers": {"Subject": _template("platform.title")},
        "html": _template("platform.email.html"),
        "text": _template("platform.email.text"),
        "send_resolved": True,
    }


def slack(channel: Channel) -> Block:
    """Return an entry of slack_configs for an incoming webhook."""
    block: Block = {"api_url_file": channel.secret("url_file")}
    if "channel" in channel.keys:
        block["channel"] = channel["channel"]
    return block | {
        "color": _template("platform.slack.color"),
        "title": _template("platform.slack.title"),
        "title_link": _template("platform.link"),
        "text": _template("platform.slack.text"),
        "fallback": _template("platform.title"),
        "mrkdwn_in": ["text"],
        "send_resolved": True,
    }


def pagerduty(channel: Channel) -> Block:
    """Return an entry of pagerduty_configs for the Events API v2; a group of alerts is one incident there."""
    block: Block = {"routing_key_file": channel.secret("routing_key_file")}
    if "url" in channel.keys:
        block["url"] = channel["url"]
    parts = ("severity", "class", "component", "group", "source")
    links = ("runbook", "dashboard", "silence")
    return block | {
        "client": "platform-exporter",
        "client_url": _template("platform.link"),
        "description": _template("platform.title"),
        **{part: _template(f"platform.pagerduty.{part}") for part in parts},
        # `firing` and `resolved` are Alertmanager's own, which it would add at greater length.
        "details": {
            **{part: _template(f"platform.{part}") for part in ("firing", "resolved")},
            **{link: _template(f"platform.pagerduty.{link}") for link in links},
        },
        "links": [{"href": _template(f"platform.pagerduty.{link}"), "text": link.capitalize()} for link in links],
        "send_resolved": True,
    }


def teams(channel: Channel) -> Block:
    """Return an entry of msteamsv2_configs: an adaptive card, posted to a workflow."""
    channel.requires((0, 28), "kind `teams`")
    return {
        "webhook_url_file": channel.secret("url_file"),
        "title": _template("platform.title"),
        "text": _template("platform.teams.text"),
        "send_resolved": True,
    }


def discord(channel: Channel) -> Block:
    """Return an entry of discord_configs; before 0.28 its address could not be read from a file."""
    channel.requires((0, 28), "kind `discord` (until then: kind `slack`, Discord's address with /slack at its end)")
    return {
        "webhook_url_file": channel.secret("url_file"),
        "title": _template("platform.title"),
        "message": _template("platform.discord.text"),
        "send_resolved": True,
    }


def webhook(channel: Channel) -> Block:
    """Return an entry of webhook_configs: Alertmanager's own JSON."""
    if ("url" in channel.keys) == ("url_file" in channel.keys):
        raise ChannelsError(f"`channels.{channel.name}` has none or both of `url` and `url_file`: expected one of them")
    block: Block = {}
    if "url" in channel.keys:
        block["url"] = channel["url"]
    else:
        channel.requires((0, 26), "`url_file`")
        block["url_file"] = channel.secret("url_file")
    if "token_file" in channel.keys:
        block["http_config"] = {"authorization": {"credentials_file": channel.secret("token_file")}}
    return block | {"send_resolved": True}


@dataclass(frozen=True)
class Kind:
    """A kind of channel: Alertmanager's key for it, the function that makes its block, and its keys in the file."""

    section: str
    block: Callable[[Channel], Block]
    required: frozenset[str] = frozenset()
    optional: frozenset[str] = frozenset()
    together: tuple[tuple[str, str], ...] = ()


KINDS = {
    "email": Kind(
        "email_configs",
        email,
        frozenset({"to", "from", "smarthost"}),
        frozenset({"username", "password_file", "require_tls", "ca_file"}),
        (("username", "password_file"),),
    ),
    "slack": Kind("slack_configs", slack, frozenset({"url_file"}), frozenset({"channel"})),
    "pagerduty": Kind("pagerduty_configs", pagerduty, frozenset({"routing_key_file"}), frozenset({"url"})),
    "teams": Kind("msteamsv2_configs", teams, frozenset({"url_file"})),
    "discord": Kind("discord_configs", discord, frozenset({"url_file"})),
    "webhook": Kind("webhook_configs", webhook, frozenset(), frozenset({"url", "url_file", "token_file"})),
}


def _template(name: str) -> str:
    return f'{{{{ template "{name}" . }}}}'
