"""Keep secrets out of what people see: causes, messages, addresses."""

import re
from collections.abc import Collection, Iterable, Iterator
from urllib.parse import parse_qsl, unquote, urlsplit

from exporter.sections import Secret

HIDDEN = "********"
NOT_SHOWN = "(not shown)"

_USER_INFO = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*://)[^\s?#\"'<>]*@", re.IGNORECASE)
_URL_PASSWORD = re.compile(r"^[a-z][a-z0-9+.-]*://[^/@:]*:(?P<password>[^/@]*)@", re.IGNORECASE)
_DSN_PASSWORD = re.compile(r"(?:^|[\s?&])(?:ssl)?password\s*=\s*(?P<password>'(?:\\.|[^'])*'|[^\s&]+)", re.IGNORECASE)

_URL = re.compile(r"[a-z][a-z0-9+.-]*://[^\s\"'<>,;)}]*[^\s\"'<>,;)}:.]", re.IGNORECASE)
_PAGES = re.compile(r"(?P<before>.*?)(?P<page>/metrics|/-/(?:ready|healthy|reload)|/api/health|/api/v[12]/\w+)/?")
"""What the servers around the exporter are asked for, and what stands before it in an address."""

_SIGN_IN = re.compile(r"[^\s@]:[^\s@]*@")
_CREDENTIALS = re.compile(rf"{_SIGN_IN.pattern}|passw|secret|token|\w=\S|-----BEGIN", re.IGNORECASE)
_PASSWORD = re.compile(r"(?=\S*[A-Z])(?=\S*[0-9])\S{6,}|(?=\S*[A-Za-z])(?=\S*[0-9])[A-Za-z0-9_+=-]{16,}")
"""What no word of a configuration looks like: capitals and digits mixed, or letters and digits of some length."""


_SECRET_WORD = re.compile(r"(?=\S*[A-Z])(?=\S*[0-9])\S{6,}|(?=\S*[A-Za-z])(?=\S*[0-9])[A-Za-z0-9+=]{16,}")
"""The same of a word in a longer text, such as a path: names there are longer, with _ and -."""
_WORD = re.compile(r"""[^\s/,;|(){}\[\]<>'"`]+""")

LONGEST_VALUE = 300
SHORTEST_SECRET = 4
"""A shorter one would be found in every word; as a value of its own it is not shown either."""

_NAMES = ("access_key",)


class Redactor:
    """Replaces the secrets of some settings in texts about them.

    Known are the values of every Secret in the settings and the sections in them, and the passwords inside those that
    are URLs or DSNs; `more` are further ones. Those shorter than `shortest` stay: they are in every word. The user-info
    part of any URL is hidden too, whoever's it is. Without `names`, which texts about other things are full of, the
    name that a store's access key is stays.
    """

    def __init__(
        self, settings: object, more: Iterable[str] = (), shortest: int = SHORTEST_SECRET, *, names: bool = True
    ) -> None:
        known = (*_secrets(settings, () if names else _NAMES), *more)
        secrets = {text for secret in known for text in _spellings(secret) if len(text) >= shortest}
        self._secrets = sorted(secrets, key=len, reverse=True)  # a secret that contains another goes first

    def __call__(self, text: str) -> str:
        return hide_users(self.known(text))

    def known(self, text: str) -> str:
        """Return a text of our own without the secrets that are known."""
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        return text


def shown_value(value: object) -> str:
    """Return a value as errors show it, after a space; nothing where it may be a secret or is too long to read."""
    texts = [item for item in (value if isinstance(value, list | tuple) else [value]) if isinstance(item, str)]
    shown = repr(value)
    return "" if len(shown) > LONGEST_VALUE or any(map(may_be_secret, texts)) else f" {shown}"


def without_secrets(message: str, tree: object, known: Collection[str] = ()) -> str:
    """Return an error's message about plain values without the words, in keys too, that may be secrets.

    Words that are `known` stay.
    """
    words = {word for text in _texts(tree) for word in _WORD.findall(text) if _is_secret(word)} - set(known)
    return Redactor(None, words).known(message)


def _texts(tree: object) -> Iterator[str]:
    """Yield the texts in plain values, and the keys."""
    if isinstance(tree, str):
        yield tree
    for item in (*tree.keys(), *tree.values()) if isinstance(tree, dict) else tree if isinstance(tree, list) else ():
        yield from _texts(item)


def _is_secret(word: str) -> bool:
    return bool(_SECRET_WORD.fullmatch(word) or _SIGN_IN.search(word))


def shown_name(name: str) -> str:
    """Return a name as errors show it, unless it may be a secret."""
    return NOT_SHOWN if may_be_secret(name) else name


def shown_key(key: str) -> str:
    """Return a key as errors show it; one that does not look like a key may be a DSN or a password."""
    return f"`{key}`" if re.fullmatch(r"[\w.-]{1,64}", key) and not _PASSWORD.fullmatch(key) else NOT_SHOWN


def may_be_secret(text: str) -> bool:
    """Tell whether a text may be a secret that stands where none is expected."""
    words = _WORD.findall(text)
    if _CREDENTIALS.search(text) or _PASSWORD.fullmatch(text):
        return True
    return any(map(_is_secret, words)) or hide_addresses(text) != text


def hide_users(text: str) -> str:
    """Return a text whose URLs show no user and password."""
    return _USER_INFO.sub(rf"\g<scheme>{HIDDEN}@", text)


def hide_addresses(text: str) -> str:
    """Return a text in which each URL shows host and port, and of its path only what this program asks for."""
    return _URL.sub(lambda match: _address(match[0]), hide_users(text))


def _address(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        return NOT_SHOWN
    _, user, host = parts.netloc.rpartition("@")
    page = _PAGES.fullmatch(parts.path)
    before = page["before"] if page else parts.path.rstrip("/")
    path = (f"/{HIDDEN}" if before else "") + (page["page"] if page else "")
    query = f"?{HIDDEN}" if parts.query or parts.fragment else ""
    return f"{parts.scheme}://{f'{HIDDEN}@' if user else ''}{host}{path}{query}"


def parts_of_url(url: str) -> Iterator[str]:
    """Yield what may be secret in an address, as a server may say it again: path, query and password."""
    try:
        parts = urlsplit(url)
        found = (parts.path.rstrip("/"), parts.query, *(value for _, value in parse_qsl(parts.query)), parts.password)
    except ValueError:
        return
    yield from filter(None, found)


def without_user(url: str) -> str:
    """Return an address for people to follow, without user and password."""
    scheme, mark, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    return f"{scheme}{mark}{authority.rpartition('@')[2]}{slash}{path}"


def _secrets(settings: object, but: tuple[str, ...]) -> Iterator[str]:
    """Yield the secrets in settings, but for fields of these names."""
    if isinstance(settings, Secret):
        yield settings.reveal()
    elif isinstance(settings, dict):
        for value in settings.values():
            yield from _secrets(value, but)
    elif isinstance(settings, tuple | list):
        for value in settings:
            yield from _secrets(value, but)
    else:
        for field in getattr(settings, "__struct_fields__", ()):
            if field not in but:
                yield from _secrets(getattr(settings, field), but)


def _spellings(secret: str) -> Iterator[str]:
    """Yield the secret, and the password in it as it is written and as it is meant."""
    yield secret
    for pattern in (_URL_PASSWORD, _DSN_PASSWORD):
        for match in pattern.finditer(secret):
            password = match["password"]
            yield from filter(None, (password, unquote(password), password.strip("'")))
