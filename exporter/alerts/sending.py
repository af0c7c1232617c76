"""Messages by mail and by webhook, without Alertmanager: for what must be said when Alertmanager cannot."""

import html
import smtplib
import socket
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from typing import TYPE_CHECKING, Any, Protocol

from exporter.config.settings import Watchdog, WatchdogMail, WatchdogWebhook, parse_address
from exporter.errors import SendError

# Imported where it is used, as in alertmanager.py: `serve` starts without it.
if TYPE_CHECKING:
    import requests

TIMEOUT_SECONDS = 10.0
NEVER = "0001-01-01T00:00:00Z"


@dataclass(frozen=True, slots=True)
class Message:
    """What is said: that something fires, or that it is over; since when, in Unix seconds, and of which exporter."""

    firing: bool
    subject: str
    text: str
    since: float
    place: str


class Channel(Protocol):
    """A way to people."""

    name: str

    def send(self, message: Message) -> None:
        """Send a message. Blocks for about TIMEOUT_SECONDS at most. Raises SendError, whose text holds no secret."""


def channels(settings: Watchdog) -> tuple[Channel, ...]:
    """Return the channels that are configured."""
    found: list[Channel] = []
    if settings.mail:
        found.append(MailChannel(settings.mail))
    if settings.webhook:
        found.append(WebhookChannel(settings.webhook))
    return tuple(found)


class MailChannel:
    """A mail server."""

    name = "mail"

    def __init__(self, settings: WatchdogMail) -> None:
        self._settings = settings

    def send(self, message: Message) -> None:
        settings = self._settings
        try:
            with self._connected() as server:
                self._sign_in(server)
                server.send_message(self._mail(message))
        except (OSError, smtplib.SMTPException) as error:
            raise SendError(f"mail server {settings.server}: {_mail_problem(error)}") from error

    def _connected(self) -> smtplib.SMTP:
        settings = self._settings
        host, port = parse_address(settings.server)
        context = ssl.create_default_context(cafile=settings.ca_file)
        if settings.encryption == "tls":
            return smtplib.SMTP_SSL(host, port, timeout=TIMEOUT_SECONDS, context=context)
        server = smtplib.SMTP(host, port, timeout=TIMEOUT_SECONDS)
        try:
            if settings.encryption == "starttls":
                server.starttls(context=context)
        except BaseException:
            server.close()
            raise
        return server

    def _sign_in(self, server: smtplib.SMTP) -> None:
        settings = self._settings
        if settings.username and settings.password:
            try:
                server.login(settings.username, settings.password.reveal())
            except (smtplib.SMTPAuthenticationError, smtplib.SMTPServerDisconnected) as error:
                raise SendError(f"mail server {settings.server}: it refuses user and password") from error

    def _mail(self, message: Message) -> EmailMessage:
        mail = EmailMessage()
        mail["From"], mail["To"] = self._settings.sender, ", ".join(self._settings.to)
        mail["Subject"], mail["Date"], mail["Message-ID"] = message.subject, formatdate(), make_msgid(domain="watchdog")
        text = f"{message.text}\n\nSent by the watchdog of platform-exporter at {message.place}."
        mail.set_content(text)
        mail.add_alternative(f"<pre style='white-space: pre-wrap'>{html.escape(text)}</pre>", subtype="html")
        return mail


class WebhookChannel:
    """An address that takes JSON: as Alertmanager posts it, and `text` and `content`, which chats show."""

    name = "webhook"

    def __init__(self, settings: WatchdogWebhook) -> None:
        self._settings = settings

    def send(self, message: Message) -> None:
        import requests

        settings = self._settings
        headers = {"Authorization": f"Bearer {settings.token.reveal()}"} if settings.token else {}
        try:
            with requests.Session() as session:
                session.trust_env = False  # no proxy, no ~/.netrc
                answer = session.post(
                    settings.address.reveal(), json=_json(message), headers=headers, timeout=TIMEOUT_SECONDS,
                    verify=settings.ca_file or True,
                )  # fmt: skip
        except requests.RequestException as error:  # its text holds the address
            raise SendError(f"webhook: {_webhook_problem(error)}") from None
        if not answer.ok:
            raise SendError(f"webhook: it answers {answer.status_code}")


def _json(message: Message) -> dict[str, Any]:
    labels = {"alertname": "PlatformWatchdogMissing", "severity": "critical"}
    annotations = {"summary": message.subject, "description": message.text}
    status = "firing" if message.firing else "resolved"
    alert = {
        "status": status,
        "labels": labels,
        "annotations": annotations,
        "startsAt": datetime.fromtimestamp(message.since, UTC).isoformat(),
        "endsAt": NEVER if message.firing else datetime.now(UTC).isoformat(),
        "generatorURL": f"http://{message.place}/",
        "fingerprint": "watchdog",
    }
    short = f"{message.subject}\n{message.text}"[:1900]  # Discord takes 2,000 characters
    return {
        "version": "4",
        "status": status,
        "receiver": "watchdog",
        "groupKey": "watchdog",
        "groupLabels": labels,
        "commonLabels": labels,
        "commonAnnotations": annotations,
        "externalURL": f"http://{message.place}/",
        "truncatedAlerts": 0,
        "alerts": [alert],
        "text": short,
        "content": short,
    }


def _mail_problem(error: OSError | smtplib.SMTPException) -> str:
    if isinstance(error, smtplib.SMTPResponseException):
        return f"it answers {error.smtp_code}"
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return "it refuses every address of `to`"
    if isinstance(error, ssl.SSLError):
        return "its certificate is not trusted, or it does not speak TLS; set `ca_file` or `encryption`"
    if isinstance(error, socket.timeout | TimeoutError):
        return "no answer in time"
    return type(error).__name__ if isinstance(error, smtplib.SMTPException) else error.strerror or type(error).__name__


def _webhook_problem(error: "requests.RequestException") -> str:
    import requests

    if isinstance(error, requests.Timeout):
        return "no answer in time"
    if isinstance(error, requests.exceptions.SSLError):
        return "its certificate is not trusted; set `ca_file`"
    return "connection refused or lost" if isinstance(error, requests.ConnectionError) else type(error).__name__
