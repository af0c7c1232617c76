"""A stand-in mail server that requires a login, over STARTTLS where it is given a certificate."""

import email
import email.policy
import ssl
from email.message import EmailMessage

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from tools.stack.ports import free_port
from tools.stack.receivers.base import ReceivedMessage, Receiver


class MailReceiver(Receiver):
    """An SMTP server on a loopback port; with a password, only who knows it may send."""

    name = "mail"

    def __init__(
        self, *, user: str = "alertmanager", password: str | None = None, tls: ssl.SSLContext | None = None
    ) -> None:
        super().__init__()
        self._user, self._password = user, password
        self._controller = Controller(
            self,
            hostname="127.0.0.1",
            port=free_port(),
            ready_timeout=30,
            tls_context=tls,
            require_starttls=tls is not None,
            authenticator=self._authenticated,
            auth_required=password is not None,
            auth_require_tls=tls is not None,
            # aiosmtpd asks for "User Name", where Alertmanager's LOGIN waits for "Username:"; what is left is PLAIN.
            auth_exclude_mechanism=["LOGIN"],
            decode_data=False,
        )
        self._controller.start()

    @property
    def address(self) -> str:
        """Return HOST:PORT, what Alertmanager calls a smarthost."""
        return f"{self._controller.hostname}:{self._controller.port}"

    def close(self) -> None:
        self._controller.stop()

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802  # aiosmtpd's name
        content = envelope.content or b""
        raw = content if isinstance(content, bytes) else content.encode()
        message = email.message_from_bytes(raw, EmailMessage, policy=email.policy.default)
        self._arrivals.append(ReceivedMessage(self.name, message, problems(message), length_bytes=len(raw)))
        return "250 OK"

    def _authenticated(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: object
    ) -> AuthResult:
        expected = (self._user.encode(), (self._password or "").encode())
        known = isinstance(data, LoginPassword) and (data.login, data.password) == expected
        return AuthResult(success=known, handled=True)


def problems(message: EmailMessage) -> tuple[str, ...]:
    """Return what an e-mail lacks: headers of RFC 5322, a text, and an HTML part after it (RFC 2046, 5.1.4)."""
    found = [f"no header {name}" for name in ("From", "To", "Subject", "Date", "Message-Id") if not message[name]]
    found += [str(defect) for part in message.walk() for defect in part.defects]
    if message.get_content_type() != "multipart/alternative":
        found.append(f"is {message.get_content_type()}, expected multipart/alternative")
    # The last part is the one that readers prefer.
    elif [part.get_content_type() for part in message.iter_parts()] != ["text/plain", "text/html"]:
        found.append("expected a part text/plain and then a part text/html")
    return tuple(found)
