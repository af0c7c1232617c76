"""Tell pages that refuse a scraper, whatever their status, from those that it asked for.

A response is judged by its status and headers and by the first bytes of its body, if the application has read them: no
body is read for it. What is said of it is one of `events.scraping_request.BLOCKS`:

    a protection   a header, a title or a script that only its challenge or refusal has, never its mere presence:
                   half of the web is served by Cloudflare, and articles are written about captchas
    captcha        a page that is hardly more than a captcha, of no known protection
    login          a redirect to a login page that nobody asked for, or such a page in place of another
    empty          a page without text that its scripts would have to fill, or without anything
    small          a page much smaller than all that its route gave before (`Sizes`)

It costs some microseconds a response: `make bench ONLY=sdk_core`.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

from platform_sdk.outgoing import block_signatures as signs

START_BYTES = 4096
"""How much of a body is looked at: challenges say what they are at their beginning."""
MARKED_BYTES = 2048
"""Marks are within the first 2 KB."""
LONGEST_GOOD_BYTES, MOST_WORDS, MOST_BESIDE_WIDGET = 10_000, 800, 300
"""A page that says that all is well is not looked at if it is longer; one with a mark is not a challenge if it has more
letters to read; with no more letters than the last beside a captcha it is one, in whatever language."""
LONG_REFUSAL_BYTES, LONGEST_REFUSAL_BYTES = 16_000, 100_000
"""Of a long refusal nothing but its title counts, of one that is too long nothing."""

_CHALLENGES = re.compile(
    rb"not a robot|are (?:a )?human|unusual traffic|security check|automated (?:access|quer|requests|traffic)|\ba bot\b"
    rb"|(?:complete|enter|fill|solve|type)\b[^.]{0,40}captcha"
)
_OTHER_FIELDS = (
    b'type="email"', b'name="email', b'name="mail', b"newsletter", b"mailto:", b'type="password"', b"<textarea",
    b'type="tel"', b"<article", b"<select",
)  # fmt: skip
_DATA = (
    b"<img", b"<frame", b"<iframe", b"<input", b"<video", b"<object", b"<embed", b"application/json",
    b"application/ld+json", b"__next_data__", b"__nuxt",
    b"__initial_state__", b"window.__",
)  # fmt: skip

_LOGIN = re.compile(
    r"(?:^|/)(?:(?:accounts?|auth|customers?|members?|service|users?|wp)[-_]?)?(?:log[-_]?in|sign[-_]?in|authwall|sso)"
    r"(?:\.\w{1,5})?(?:[/;]|$)|/checkpoint/lg(?:/|$)",
    re.IGNORECASE,
)
_LOGIN_HOST = re.compile(r"(?:https?:)?//(?:login|signin|sso|accounts|auth)\.")
_ACCOUNT = re.compile(
    r"log[-_]?(?:in|out)|sign[-_]?(?:in|out|up)|auth|account|session|password|register|sso|anmeld|einlogg|connexion"
    r"|sesion|acceder|entrar|accedi|inlog|zaloguj",
    re.IGNORECASE,
)
_LOGIN_WORDS = tuple(
    word.encode()
    for word in (
        "anmeld", "einlogg", "se connecter", "connexion", "iniciar sesi", "inicia sesi", "acceder", "accedi", "entrar",
        "inloggen", "zaloguj", "logga in", "log ind", "logg inn", "kirjaudu", "přihl", "bejelentkez", "giriş yap",
        "đăng nhập", "Đăng nhập", "masuk", "вход", "Вход", "войти", "Войти", "登录", "登入", "ログイン", "로그인",
        "تسجيل الدخول",
    )
)  # fmt: skip
"""How titles of login pages begin elsewhere."""
_LOGIN_TITLE = re.compile(
    rb"^(?:please )?(?:log ?into\b|(?:log ?in|sign[ -]?in)(?:\s*(?:$|[|:\xc2\xe2]|- )|\s+to\b))"
    rb"|(?:[|:-]\s*|^\w+ )(?:log ?in|sign[ -]?in)$"
)
_LOGIN_ASKED = re.compile(
    rb"(?:must|need to|have to) (?:be )?(?:logged|signed|log|sign) ?in\b"
    rb"|(?:log|sign) ?in to (?:continue|view|see|access)"
)
_INVISIBLE = re.compile(
    rb"<(script|style|svg|template)\b.*?(?:</\1\s*>|$)|<!--.*?(?:-->|$)|<head\b.*?(?:</head\s*>|$)", re.DOTALL
)
_LOADING = re.compile(rb"(?:(?:loading|please wait)\W*)?")
_NOSCRIPT = re.compile(rb"<noscript\b.*?(?:</noscript\s*>|$)", re.DOTALL)
_TAG = re.compile(rb"<[^>]*>")
_CONTENT = re.compile(
    rb"<(?!/|!|(?:html|head|meta|title|body|link|style|base|noscript|div|span|p|br|main)\b)|http-equiv=.?refresh"
)
_WHOLE = re.compile(rb"<html\b|<!doctype|<body\b")
_SCRIPT_DATA = re.compile(rb"(?:\b(?:var|let|const)\s+\w+|window\.\w+)\s*=\s*(?:[\[{]|json\.parse)")
_HOST = re.compile(r"^(?:https?:)?//([^/?:]+)[^/]*")


class Page(NamedTuple):
    """What is known of a response. `start` is the beginning of its body, decoded; None where nobody has read it.

    `size` is that of the whole body, in bytes, None where it is not known.
    """

    method: str
    path: str
    status: int
    headers: dict[str, str]
    start: bytes | None
    size: int | None

    @property
    def is_html(self) -> bool:
        """Whether it says that it is a page, or does not say what it is and looks like one."""
        kind = self.headers.get("content-type")
        if kind is not None:
            return "html" in kind
        return (
            self.start is not None and self.start[:200].lstrip()[:1] == b"<" and b"<html" in self.start[:1000].lower()
        )


def headers_of(pairs: Iterable[tuple[object, object]]) -> dict[str, str]:
    """Return the headers that a page is judged by, names in small letters; names and values may be bytes."""
    found = {}
    for name, value in pairs:
        key = name.lower() if type(name) is str else _text(name).lower()
        if key in signs.HEADERS:
            found[key] = _text(value)
    return found


def _text(value: object) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def block_of(page: Page) -> str | None:
    """Return what blocks the scraper, None where the page is what it asked for."""
    headers = page.headers
    if (len(headers) > 1 or page.status >= 400) and (found := _by_headers(page)):
        return found
    if 300 <= page.status < 400:
        return _refusing_redirect(page) or _login_redirect(page)
    start = page.start
    if start is None or page.status in (204, 304) or page.method == "HEAD":
        return None
    if start[:2] in (b"\xff\xfe", b"\xfe\xff"):
        start = start.decode("utf-16", "replace").encode()
        page = page._replace(start=start, size=(page.size or 0) // 2)
    size, html = page.size or 0, page.is_html
    longest = LONGEST_REFUSAL_BYTES if page.status >= 400 else LONGEST_GOOD_BYTES
    if size > longest or (not html and size > START_BYTES):
        return None
    text = start[:MARKED_BYTES].lower()
    title = _title(text) if html else b""
    if (found := signs.TITLES.get(title)) and (found := _certain(page, text, found, said=title in signs.ARTICLES)):
        return found
    return _by_body(page, text, title, html=html) if size <= LONG_REFUSAL_BYTES else None


def _title(text: bytes) -> bytes:
    begins = text.find(b">", text.find(b"<title") + 1) + 1 if b"<title" in text else 0
    ends = text.find(b"<", begins)
    return text[begins:ends].strip() if 0 < begins < ends else b""


def _by_headers(page: Page) -> str | None:
    headers = page.headers
    if "challenge" in headers.get("cf-mitigated", ""):
        return "cloudflare"
    if headers.get("x-amzn-waf-action") in ("challenge", "captcha"):
        return "aws_waf"
    if "challenge" in headers.get("x-vercel-mitigated", "") or "deny" in headers.get("x-vercel-mitigated", ""):
        return "other"
    if "x-sucuri-block" in headers:
        return "other"
    if page.status >= 400:
        if "x-dd-b" in headers or ("x-datadome" in headers and page.status in (401, 403)):
            return "datadome"
        if "x-px-blocked" in headers:
            return "perimeterx"
        if page.status == 429 and ("x-kpsdk-ct" in headers or "x-kpsdk-im" in headers):
            return "kasada"
        if page.status == 403 and headers.get("server") == "AkamaiGHost":
            return "akamai"
        if page.status in (403, 429) and headers.get("server") == "cloudflare":
            return "cloudflare" if (page.start or b"").startswith(b"error code: 1") else None
        if page.status == 999:  # LinkedIn's own
            return "other"
    return None


def _by_body(page: Page, text: bytes, title: bytes, *, html: bool) -> str | None:
    for hint in signs.HINTS if page.status == 200 else signs.REFUSED_HINTS:
        if hint in text:
            found = _by_marks(page, text, html=html)
            if found is not None:
                return found
            break
    for part, name in signs.TITLE_PARTS if title else ():
        if (title.startswith(part) or title.endswith(part)) and (found := _certain(page, text, name, said=True)):
            return found
    if html and page.status == 200:
        if b'type="password"' in text and not _is_asked_for(page.path) and _is_login(text, title):
            return "login"
        if page.method == "GET" and _is_empty(page, text):
            return _by_marks(page, text, html=html) or (None if _SCRIPT_DATA.search(text) else "empty")
    return None


def _by_marks(page: Page, text: bytes, *, html: bool) -> str | None:
    for mark, name in signs.MARKS:
        if mark in text and (found := _certain(page, text, name)):
            return found
    for sentence, name in signs.SENTENCES:
        read = sentence in text and (page.status >= 400 or sentence in _words(text))  # not in its title alone
        if read and (found := _certain(page, text, name, said=True)):
            return found
    if html and any(mark in text for mark in signs.CAPTCHAS) and _is_captcha_wall(page, text):
        return "captcha"
    return None


def _certain(page: Page, text: bytes, name: str, *, said: bool = False) -> str | None:
    """Return whose mark it is: some are on good pages, too, and any may be quoted by an article.

    What is `said` to a reader may be the subject of an article, whose text may begin behind what is known of it.
    """
    if name == "cloudflare_or_page":  # Cloudflare's scripts are on pages that it lets through, too
        return "cloudflare" if page.status >= 400 else None
    if name == "perimeterx_or_page":
        return "perimeterx" if page.status >= 400 or b"px-captcha" in text else None
    if name == "cloudfront":
        return "other" if page.status == 403 and b"request blocked" in text else None
    if name == "other_of_200":
        name, said = "other", True
        if page.status != 200:
            return None
    if name.endswith("_refusal"):  # the same page says that the site behind it does not answer
        if page.status >= 500 or (name == "akamai_refusal" and b"access denied" not in text):
            return None
        name = name.removesuffix("_refusal")
    long = page.status < 400 and (
        (said and (page.size or 0) > START_BYTES) or len(_words((page.start or b"").lower())) > MOST_WORDS
    )
    return None if long else name


def _words(text: bytes) -> bytes:
    """Return what a reader sees of the beginning of a page, in small letters."""
    return _TAG.sub(b" ", _INVISIBLE.sub(b" ", text)).strip()


def _is_captcha_wall(page: Page, text: bytes) -> bool:
    if any(mark in text for mark in _OTHER_FIELDS):
        return False
    words = _words(text)
    if len(words.decode(errors="ignore")) < MOST_BESIDE_WIDGET and (widget := signs.WIDGET.search(text)):
        return b"invisible" not in widget[0]
    return len(words) < 700 and _CHALLENGES.search(words) is not None


def _is_login(text: bytes, title: bytes) -> bool:
    if title.startswith(_LOGIN_WORDS) or _LOGIN_TITLE.search(title):
        return True
    words = _words(text)
    return len(words) < MOST_WORDS and _LOGIN_ASKED.search(words) is not None


def _is_empty(page: Page, text: bytes) -> bool:
    if len(text) >= MARKED_BYTES or (page.size or 0) > len(text):
        return False
    if not text.strip():
        return True
    if any(mark in text for mark in _DATA):
        return False
    if b"<script" not in text and (_CONTENT.search(text) or not _WHOLE.search(text)):  # a fragment, the last of a list
        return False
    words = _words(_NOSCRIPT.sub(b" ", text))
    return _LOADING.fullmatch(words.strip()) is not None


def _is_asked_for(path: str) -> bool:
    """Tell whether a login page at this path is what the scraper wanted; at the top of a site it may be."""
    return path in ("", "/") or _ACCOUNT.search(path) is not None


def _refusing_redirect(page: Page) -> str | None:
    to = page.headers.get("location", "")
    if host := _HOST.match(to):
        for end, name in signs.REFUSING_HOSTS.items():
            if host[1] == end or host[1].endswith(f".{end}"):
                return name
    found = signs.REFUSING_PATH.search(_HOST.sub("", to))
    if found is None or "captcha" in page.path or "blocked" in page.path:
        return None
    return "captcha" if found["captcha"] or found["first"] else "other"


def _login_redirect(page: Page) -> str | None:
    to = page.headers.get("location", "")
    if page.method != "GET" or page.path in ("", "/") or not to:
        return None
    at_login = _LOGIN.search(_HOST.sub("", to).partition("?")[0]) or _LOGIN_HOST.match(to)
    return "login" if at_login and not _is_asked_for(page.path) else None
