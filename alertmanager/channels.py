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

    @property
    def secret_files(self) -> list[str]:
        """Return the names of all its secrets, below the folder."""
        return [str(self.keys[key]) for key in self.keys if key.endswith("_file")]

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
    }


def slack(channel: Channel) -> Block:
    """Return an entry of slack_configs for an incoming webhook."""
    return _with(channel, channel="channel") | {
        "api_url_file": channel.secret("url_file"),
        "color": _template("platform.slack.color"),
        "title": _template("platform.slack.title"),
        "title_link": _template("platform.link"),
        "text": _template("platform.slack.text"),
        "fallback": _template("platform.title"),
        "mrkdwn_in": ["text"],
    }


def pagerduty(channel: Channel) -> Block:
    """Return an entry of pagerduty_configs for the Events API v2; a group of alerts is one incident there."""
    parts = ("severity", "class", "component", "group", "source")
    links = ("runbook", "dashboard", "silence")
    return _with(channel, url="url") | {
        "routing_key_file": channel.secret("routing_key_file"),
        "client": "platform-exporter",
        "client_url": _template("platform.link"),
        "description": _template("platform.title"),
        **{part: _template(f"platform.pagerduty.{part}") for part in parts},
        # `firing` and `resolved` are Alertmanager's own, which it would add at greater length.
        "details": {
            **{part: _template(f"platform.{part}") for part in ("firing", "resolved")},
            **{link: _template(f"platform.{link}") for link in links},
        },
        "links": [{"href": _template(f"platform.{link}"), "text": link.capitalize()} for link in links],
    }


def teams(channel: Channel) -> Block:
    """Return an entry of msteamsv2_configs: an adaptive card, posted to a workflow."""
    return {
        "webhook_url_file": channel.secret("url_file"),
        "title": _template("platform.title"),
        "text": _template("platform.teams.text"),
    }


def discord(channel: Channel) -> Block:
    """Return an entry of discord_configs; before 0.28 its address could not be read from a file."""
    return {
        "webhook_url_file": channel.secret("url_file"),
        "title": _template("platform.title"),
        "message": _template("platform.discord.text"),
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
    if "max_alerts" in channel.keys:
        block["max_alerts"] = channel["max_alerts"]
    return block


def opsgenie(channel: Channel) -> Block:
    """Return an entry of opsgenie_configs; in Europe `url` is https://api.eu.opsgenie.com/."""
    return _with(channel, api_url="url") | {
        "api_key_file": channel.secret("api_key_file"),
        "message": _template("platform.title"),
        "description": _template("platform.text"),
        "source": "platform-exporter",
        "priority": _template("platform.opsgenie.priority"),
    }


def telegram(channel: Channel) -> Block:
    """Return an entry of telegram_configs: plain text, so that nothing in it is markup."""
    return _with(channel, api_url="url") | {
        "bot_token_file": channel.secret("bot_token_file"),
        "chat_id": channel["chat_id"],
        "parse_mode": "",
        "message": _titled("platform.text"),
    }


def mattermost(channel: Channel) -> Block:
    """Return an entry of mattermost_configs for an incoming webhook."""
    return _with(channel, channel="channel") | {
        "webhook_url_file": channel.secret("url_file"),
        "color": _template("platform.slack.color"),
        "title": _template("platform.title"),
        "title_link": _template("platform.link"),
        "text": _template("platform.discord.text"),
        "fallback": _template("platform.title"),
    }


def rocketchat(channel: Channel) -> Block:
    """Return an entry of rocketchat_configs: a message of a user, by a personal access token."""
    return _with(channel, api_url="url") | {
        "token_file": channel.secret("token_file"),
        "token_id_file": channel.secret("token_id_file"),
        "channel": channel["channel"],
        "title": _template("platform.title"),
        "title_link": _template("platform.link"),
        "text": _template("platform.discord.text"),
    }


def webex(channel: Channel) -> Block:
    """Return an entry of webex_configs: a message of a bot in a room."""
    return _with(channel, api_url="url") | {
        "room_id": channel["room_id"],
        "message": _titled("platform.teams.text"),
        "http_config": {"authorization": {"credentials_file": channel.secret("token_file")}},
    }


def sns(channel: Channel) -> Block:
    """Return an entry of sns_configs, signed as its machine's role, environment or `profile` says."""
    return {
        "topic_arn": channel["topic_arn"],
        "sigv4": {"region": channel["region"]} | _with(channel, profile="profile", role_arn="role_arn"),
        "subject": _template("platform.title"),
        "message": _template("platform.text"),
    }


def pushover(channel: Channel) -> Block:
    """Return an entry of pushover_configs; what is critical rings until someone confirms it."""
    return {
        **{key: channel.secret(key) for key in ("user_key_file", "token_file")},
        "title": _template("platform.title"),
        "message": _template("platform.text"),
        "url": _template("platform.link"),
        "priority": _template("platform.pushover.priority"),
    }


def victorops(channel: Channel) -> Block:
    """Return an entry of victorops_configs, Splunk On-Call."""
    return _with(channel, api_url="url") | {
        "api_key_file": channel.secret("api_key_file"),
        "routing_key": channel["routing_key"],
        "message_type": _template("platform.victorops.type"),
        "entity_display_name": _template("platform.title"),
        "state_message": _template("platform.text"),
    }


def wechat(channel: Channel) -> Block:
    """Return an entry of wechat_configs; one of `to_user`, `to_party` and `to_tag` says who gets it."""
    names = ("corp_id", "agent_id", "to_user", "to_party", "to_tag")
    return _with(channel, api_url="url", **{name: name for name in names}) | {
        "api_secret_file": channel.secret("api_secret_file"),
        "message": _titled("platform.text"),
    }


def jira(channel: Channel) -> Block:
    """Return an entry of jira_configs: an issue for each group of alerts."""
    names = ("project", "issue_type", "resolve_transition", "reopen_transition")
    return _with(channel, api_url="url", **{name: name for name in names}) | {
        "summary": _template("platform.title"),
        "description": _template("platform.text"),
        "http_config": {
            "basic_auth": {"username": channel["username"], "password_file": channel.secret("password_file")}
        },
    }


def incidentio(channel: Channel) -> Block:
    """Return an entry of incidentio_configs: Alertmanager's own JSON."""
    return {
        "url": channel["url"],
        "alert_source_token_file": channel.secret("token_file"),
    }


@dataclass(frozen=True)
class Kind:
    """A kind of channel: Alertmanager's key for it, the function that makes its block, and its keys in the file.

    since: the version of Alertmanager that has it, and reads its secrets from files. before: what to use until then.
    """

    section: str
    block: Callable[[Channel], Block]
    required: frozenset[str] = frozenset()
    optional: frozenset[str] = frozenset()
    together: tuple[tuple[str, str], ...] = ()
    since: Version = (0, 25)
    before: str = ""


def _kind(
    block: Callable[[Channel], Block], required: str, optional: str = "", since: Version = (0, 25), **more: Any
) -> Kind:
    """Return a kind whose section is named as its function; keys are words."""
    section = more.pop("section", f"{block.__name__}_configs")
    return Kind(section, block, frozenset(required.split()), frozenset(optional.split()), since=since, **more)


KINDS = {
    "email": _kind(
        email,
        "to from smarthost",
        "username password_file require_tls ca_file",
        together=(("username", "password_file"),),
    ),
    "slack": _kind(slack, "url_file", "channel"),
    "pagerduty": _kind(pagerduty, "routing_key_file", "url"),
    "teams": _kind(teams, "url_file", since=(0, 28), section="msteamsv2_configs"),
    "discord": _kind(
        discord, "url_file", since=(0, 28), before="kind `slack`, Discord's address with /slack at its end"
    ),
    "webhook": _kind(webhook, "", "url url_file token_file max_alerts"),
    "opsgenie": _kind(opsgenie, "api_key_file", "url"),
    "telegram": _kind(telegram, "bot_token_file chat_id", "url", (0, 26)),
    "mattermost": _kind(mattermost, "url_file", "channel", (0, 32), before="kind `slack` with the same address"),
    "rocketchat": _kind(rocketchat, "url token_file token_id_file channel", since=(0, 28)),
    "webex": _kind(webex, "room_id token_file", "url"),
    "sns": _kind(sns, "topic_arn region", "profile role_arn"),
    "pushover": _kind(pushover, "user_key_file token_file", since=(0, 26)),
    "victorops": _kind(victorops, "api_key_file routing_key", "url"),
    "wechat": _kind(wechat, "corp_id agent_id api_secret_file", "to_user to_party to_tag url", (0, 31)),
    "jira": _kind(
        jira,
        "url project issue_type username password_file",
        "resolve_transition reopen_transition",
        (0, 28),
    ),
    "incidentio": _kind(incidentio, "url token_file", since=(0, 29)),
}


def _with(one: Channel, /, **keys: str) -> Block:
    """Return those of Alertmanager's keys whose key in the file is there."""
    return {theirs: one[ours] for theirs, ours in keys.items() if ours in one.keys}


def _titled(name: str) -> str:
    return f"{_template('platform.title')}\n\n{_template(name)}"


def _template(name: str) -> str:
    return f'{{{{ template "{name}" . }}}}'
