"""Keep secrets out of what is stored, in the writer thread: in texts, headers, URLs and mappings."""

import re
from collections.abc import Iterable
from typing import Any

HIDDEN = "********"

_LONGEST_LABEL = 1_000
"""How much of a label is searched; less of it is stored."""

# Parts of names whose values are secrets. Not `author`, not `max_tokens`, not `sort_key`.
_NAMES = (
    r"passw(?:or)?d|passwd|passphrase|pwd|secret|credential|token(?!s|_count|_usage)|csrf|xsrf|jwt|"
    r"auth(?!or(?!i[sz]ation))|cookie|session[_-]?(?:id|key)|signature|"
    r"(?:api|access|private|secret|encryption|signing|app|client|consumer|subscription|master|license)[_-]?key"
)
_EXACT = r"sid|sig|pin|cvv|cvc|ssn|otp|key|pass|session"

# If none of this occurs, as in most texts, nothing else is searched for.
_QUICK = (
    r"passw|passphrase|pwd|secret|credential|token|csrf|xsrf|jwt|auth|cookie|sess|signature|key|bearer|basic |://|eyJ"
    r"|-----BEGIN|AKIA|gh[pousr]_|xox|sk[-_]|[?&](?:sid|sig)=|\b(?:pass|pin|cvv|cvc|ssn|otp)=|\s-u|-user"
)

# Bounded on its left and in length: a scheme is looked for once a word, not once a letter.
_URL_USER = re.compile(r"(?<![a-z0-9+.-])(?P<scheme>[a-z][a-z0-9+.-]{0,30}://)[^/\s?#\"'<>]+@", re.IGNORECASE)
# curl -u USER:PASSWORD, --user=USER:PASSWORD
_USER_OPTION = re.compile(
    r"(?P<before>(?<!\S)(?:-u|--(?:proxy-)?user\b)[ \t=]*[\"']?[^\s:\"'/-][^\s:\"'/]*:)[^\s\"']+", re.IGNORECASE
)
_AUTHORIZATION = re.compile(r"\b(?P<kind>Bearer|Basic|Token|Digest|Negotiate)\s+[A-Za-z0-9._~+/=-]{8,}", re.IGNORECASE)
_SHAPES = re.compile(
    r"\beyJ[\w-]{8,}\.[\w-]+\.[\w-]*"  # JSON web tokens
    r"|\bAKIA[0-9A-Z]{16}\b|\bgh[pousr]_\w{20,}|\bgithub_pat_\w{20,}|\bxox[abprs]-[\w-]{10,}"
    r"|\bsk[-_](?:live|test|proj|ant)?[-_]?\w{16,}"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)",
    re.DOTALL,
)
_HEADER = re.compile(
    r"^(?P<name>[ \t]*(?:(?:proxy-)?authorization|(?:set-)?cookie|x-api-key|x-auth-token)[ \t]*:[ \t]*)[^\n]+",
    re.IGNORECASE | re.MULTILINE,
)


class Redactor:
    """What hides the values of names that mean a secret, and texts that look like one; `extra` names are added."""

    def __init__(self, extra: Iterable[str] = ()) -> None:
        more = "".join(f"|{re.escape(name)}" for name in extra if name)
        # Atomic: a word is read once, however often a name occurs in it.
        names = f"(?>[\\w.-]*?(?:{_NAMES}{more})[\\w.-]*+)"
        self._quick = re.compile(_QUICK + more, re.IGNORECASE)
        self._name = re.compile(f"(?:{names}|(?:{_EXACT}))", re.IGNORECASE)
        # name=value, name: value, "name": "value", as in messages, queries, DSNs, reprs of mappings.
        self._pair = re.compile(
            rf"(?P<before>(?<![\w.-])(?:\\*[\"'])?(?:{names}(?:\\*[\"'])?\s*(?:=>|:=|[:=])|(?:pass|pin|cvv|cvc|ssn|otp)=)\s*)"
            r"(?P<value>\\+\"(?:(?!\\+\").)*|[bru]?\"(?:\\.|[^\"\\\n])*\"?|[bru]?'(?:\\.|[^'\\\n])*'?|[^\s,;&\"')}\]>]+)",
            re.IGNORECASE,
        )
        # --password VALUE, and <password>VALUE</password>
        self._option = re.compile(
            rf"(?P<before>(?<!\S)--?{names}[ \t]+)(?P<value>\"[^\"\n]*\"?|'[^'\n]*'?|[^\s-]\S*)", re.IGNORECASE
        )
        self._element = re.compile(
            rf"(?P<before><(?:\w+:)?(?:{names}|pass|pin)(?:\s[^<>]*)?>\s*)(?P<value>[^<\s][^<]*)", re.IGNORECASE
        )
        self._query = re.compile(rf"(?P<before>[?&;](?:{_EXACT})=)[^&\s#\"'<>]+", re.IGNORECASE)

    def text(self, text: str) -> str:
        """Return a text without secrets."""
        if not self._quick.search(text):
            return text
        text = _URL_USER.sub(rf"\g<scheme>{HIDDEN}@", text)
        text = _HEADER.sub(rf"\g<name>{HIDDEN}", text)
        text = _AUTHORIZATION.sub(rf"\g<kind> {HIDDEN}", text)
        text = _SHAPES.sub(HIDDEN, text)
        text = self._query.sub(rf"\g<before>{HIDDEN}", text)
        text = _USER_OPTION.sub(rf"\g<before>{HIDDEN}", text)
        if "--" in text or " -" in text:
            text = self._option.sub(_hide_value, text)
        if "<" in text:
            text = self._element.sub(rf"\g<before>{HIDDEN}", text)
        return self._pair.sub(_hide_value, text)

    @staticmethod
    def label(text: str) -> str:
        """Return a text that may become a label, without users in its URLs."""
        return _URL_USER.sub(rf"\g<scheme>{HIDDEN}@", text[:_LONGEST_LABEL]) if "://" in text else text

    def secret_name(self, name: str) -> bool:
        """Return whether the value of a header, parameter or key of this name is a secret."""
        return self._name.fullmatch(name) is not None

    def value(self, value: Any) -> Any:
        """Return a copy of nested values, as `freeze` makes them, without secrets."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {
                self.text(key): HIDDEN if item is not None and self.secret_name(key) else self.value(item)
                for key, item in value.items()
            }
        if isinstance(value, list):
            if len(value) == 2 and isinstance(value[0], str) and self.secret_name(value[0]):
                return [value[0], HIDDEN]  # an item of headers or of a query
            return [self.value(item) for item in value]
        return value


def _hide_value(match: re.Match[str]) -> str:
    """Keep quotes, so that the text stays readable, and what is not secret: a scheme, a value already hidden."""
    value = match["value"]
    if value.startswith(HIDDEN) or value.lower() in ("bearer", "basic", "none", "null", "true", "false"):
        return match[0]
    quote = next((mark for mark in value[:2] if mark in "\"'"), "")
    return f"{match['before']}{quote}{HIDDEN}{quote}"
