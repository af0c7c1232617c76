"""Keep secrets out of the causes that people see."""

import re
from collections.abc import Iterator
from urllib.parse import unquote

from exporter.sections import Secret

HIDDEN = "********"

_USER_INFO = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*://)[^/\s@]*@", re.IGNORECASE)
_URL_PASSWORD = re.compile(r"^[a-z][a-z0-9+.-]*://[^/@:]*:(?P<password>[^/@]*)@", re.IGNORECASE)
_DSN_PASSWORD = re.compile(r"(?:^|[\s?&])(?:ssl)?password\s*=\s*(?P<password>'(?:\\.|[^'])*'|[^\s&]+)", re.IGNORECASE)


class Redactor:
    """Replaces the secrets of one target in texts about it.

    Known are the values of every Secret in its settings, and the passwords inside those that are URLs or DSNs; the
    user-info part of any URL is hidden too, whoever's it is.
    """

    def __init__(self, settings: object) -> None:
        secrets = {text for secret in _secrets(settings) for text in _spellings(secret)}
        self._secrets = sorted(secrets, key=len, reverse=True)  # a secret that contains another goes first

    def __call__(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        return _USER_INFO.sub(rf"\g<scheme>{HIDDEN}@", text)


def _secrets(settings: object) -> Iterator[str]:
    for field in getattr(settings, "__struct_fields__", ()):
        value = getattr(settings, field)
        for item in value.values() if isinstance(value, dict) else (value,):
            if isinstance(item, Secret):
                yield item.reveal()


def _spellings(secret: str) -> Iterator[str]:
    """Yield the secret, and the password in it as it is written and as it is meant."""
    yield secret
    for pattern in (_URL_PASSWORD, _DSN_PASSWORD):
        for match in pattern.finditer(secret):
            password = match["password"]
            yield from filter(None, (password, unquote(password), password.strip("'")))
