# ruff: noqa: RUF001, SIM905 - quotation marks and units of all languages
"""What is constant in a message: its words without parameters, and the codes that make two faults of one place.

A message is cut to its first thousand characters before anything is searched, and every repetition in a pattern is
bounded or cannot fail late: a hostile text of any length costs microseconds.
"""

import re
from functools import lru_cache
from http import HTTPStatus

LONGEST = 1_000
LINES = 2
"""How many lines of a message count; what follows is mostly a dump."""

ANY = "<*>"
"""What stands for a parameter, whatever it is: a host may be a name or an address, a time a number or a date."""

_QUOTED = re.compile(
    r'"(?:[^"\\\n]|\\.){0,300}"|(?<!\w)[bru]?\'(?:[^\'\\\n]|\\.){0,300}\'(?!\w)|`[^`\n]{0,200}`'
    r"|«[^»\n]{0,200}»|»[^«\n]{0,200}«|“[^”\n]{0,200}”|„[^“”\n]{0,200}[“”]|‚[^‘’\n]{0,200}[‘’]|‘[^’\n]{0,200}’(?!\w)"
    r"|「[^」\n]{0,200}」|『[^』\n]{0,200}』"
)
_REPR = re.compile(r"<([A-Za-z_][\w.]*)(?:([ :])[^<>\n]*)?>")
_BRACKETED = re.compile(
    r"(?<!\w)\[(?=[^\]]{0,45}:[^\]]{0,45}:)[0-9a-f:.]{2,45}(?:%[\w.-]{1,30})?\](?::\d{1,5}\b)?", re.IGNORECASE
)
"""An address of IPv6 as it stands before a port."""
_BRACES = re.compile(r"\{[^{}\n]{0,500}\}")
_CALL = re.compile(r"\b([A-Za-z_]\w*)\((?:[\w.]{1,60}=<\*>[,\s]*)+\)")
_BRACKETS = re.compile(r"[\[(]\s*<\*>[,\s]*[\])]")
_REPEATED = re.compile(r"<\*>(?:[\s,;:/|~+×-]{0,5}<\*>)+")
_OPENING, _CLOSING = "([{,;", ")]},;:.!?"
_CURRENCY = re.compile(r"[€$£¥₹₽₩₺₴₦₫¢]")

_CODES = "EUR|USD|GBP|CHF|JPY|CNY|PLN|CZK|SEK|NOK|DKK|INR|RUB|BRL|CAD|AUD|TRY|UAH|KRW|MXN|ZAR|BTC"
_ZONES = "GMT|UTC|Z|CES?T|E[SD]T|C[SD]T|M[SD]T|P[SD]T|BST|MSK|IST|JST|AM|PM|am|pm"
_TIMES = "ns|us|µs|μs|ms|msecs?|s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?|w|weeks?|months?|y|years?"
_SIZES = "B|[kKMGTP]i?B?|bytes?|bits?|[kMG]bps|[kMG]bit/s|[kKMG]i?B/s"
_OTHERS = "%|‰|percent|°C|°F|[kMG]?Hz|px|[ckm]?m|[km]?g|rps|req/s|/s|/min|zł|kr|Kč|Ft|руб|лв"
_UNIT = re.compile(rf"<\*>\s{{0,2}}(?:{_TIMES}|{_SIZES}|{_OTHERS}|{_CODES}|{_ZONES})(?![\w/])")
_MONTHS = (
    "Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sept?|Oct|Nov|Dec|January|February|March|April|June|July|August|September|October"
    "|November|December"
)
_DAYS = "(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun|Tues|Wednes|Thurs|Satur)(?:day)?"
_BEFORE = re.compile(rf"\b(?:{_DAYS}|{_MONTHS}|{_CODES})[.,]?\s{{1,2}}(?:(?:{_MONTHS})\s{{1,2}})?<\*>")
_AFTER = re.compile(rf"<\*>\s{{1,2}}(?:{_MONTHS})\b")
_COUNTED = re.compile(r"(<\*> )([^\W\d_]{2,30})( (?:are|were|have|is|was|has)\b)?")
_VERBS = {" are": " is", " were": " was", " have": " has"}

_VALUES = frozenset(("None", "True", "False", "null", "true", "false", "nan", "NaN", "inf", "-inf", "Infinity"))
# Words with a digit that are not a parameter; of any other word with one, the template would be the same without it.
_NAMES = frozenset(
    "s3 ec2 k8s ipv4 ipv6 utf8 utf-8 utf-16 latin-1 sha1 sha256 sha-256 sha512 md5 base64 http2 http3 h2 oauth2 "
    "x509 i18n l10n int8 int16 int32 int64 uint32 uint64 float32 float64 python3 psycopg2 urllib3 boto3 mp3 mp4 "
    "oauth1 cp1252 crc32 argon2 bz2 log4j neo4j e2e b2b p2p 2fa 3d win32 x86_64 amd64 arm64".split()
)
_TOP_LEVELS = (
    "com|net|org|io|dev|app|cloud|ai|edu|gov|info|biz|internal|local|localdomain|lan|corp|home|intra|example|test"
    "|invalid|localhost|svc|consul|de|uk|fr|eu|us|ch|at|nl|pl|it|es|ru|cn|jp|br|in|ca|au|se|no|dk|fi|cz|be|me|tv|co"
)
_LETTERS_ONLY = re.compile(
    rf"""(?:[a-z0-9-]{{1,63}}\.){{1,10}}(?:{_TOP_LEVELS})(?::\w*)?   # a host
    |(?:[0-9a-f]{{0,4}}:){{2,8}}[0-9a-f]{{0,4}}(?:%\w+)?|(?:[0-9a-f]{{2}}-){{5}}[0-9a-f]{{2}}   # IPv6, MAC
    |[\w.-]{{1,200}}-(?!https)[bcdfghjklmnpqrstvwxz]{{5}}   # a pod of Kubernetes, whose alphabet has no vowels
    |~?/(?:tmp|var|home|usr|app|opt|data|mnt|media|root|srv|proc|etc|dev|run|lib|Users|private|Volumes)(?:/.*)?
    |~/.*|[a-z]:[\\/].*|\\\\.*   # a file
    |[^\s@]{{1,200}}@[^\s@]{{1,200}}|[a-z][a-z0-9+.-]{{0,30}}://.*   # an e-mail address, a URL""",
    re.IGNORECASE | re.VERBOSE,
)
_MADE = re.compile(r"[a-f]{8,}|tmp[a-z]{6,10}", re.IGNORECASE)
"""A hash or a temporary name that happens to have no digit."""
_EXTENSION = re.compile(r"[^/]\.\w{1,6}\Z")
_DIGITS = re.compile(r"[-+]?\d+(?:[.,:]\d+)*")
_SEGMENT = re.compile(r"(?<=/)[^/]*\d[^/]*")
_KEPT_KEYS = frozenset("error reason type kind level state event method op action code status cause".split())


def normalised(message: str) -> str:
    """Return a message's first lines with `<*>` for numbers, ids, addresses, times, paths, quoted texts and such."""
    return _normalised(message[:LONGEST])


@lru_cache(512)
def _normalised(message: str) -> str:
    lines = [line for line in message.splitlines() if line.strip()][:LINES]
    return "\n".join(_line(line) for line in lines)


_PLACEHOLDER = re.compile(r"%(?:\(\w{1,60}\))?[-+ #0]{0,5}[\d*]{0,5}(?:\.[\d*]{0,5})?[a-zA-Z%]|\$?\{[^{}\n]{0,200}\}")
_LETTERS = re.compile(r"[^\W\d_]+")
_SAYS_NOTHING = frozenset(
    "a an and the in at of is was has with there s got for from by to on as during while when caught occurred "
    "happened raised message msg reason info debug "
    "error errors err exception exceptions exc failed failure fail fails warning warn fatal critical severe alert "
    "unhandled uncaught unexpected unknown internal problem traceback fehler ausnahme erreur".split()
)


@lru_cache(512)
def has_words(template: str) -> bool:
    """Return whether a template says what happened: it has words beside its placeholders, and not only "error"."""
    words = _LETTERS.findall(_PLACEHOLDER.sub(" ", template[:LONGEST]))
    return any(word.lower() not in _SAYS_NOTHING for word in words)


def _line(line: str) -> str:
    text = _QUOTED.sub(ANY, line).replace("<locals>.", "")
    text = _BRACKETED.sub(ANY, text)
    text = _CURRENCY.sub(" ", _REPR.sub(_class, text))
    text = " ".join(_word(word) for word in text.split())
    for _ in range(2):
        text = _AFTER.sub(ANY, _BEFORE.sub(ANY, text))
        text = _UNIT.sub(ANY, text)
        text = _REPEATED.sub(ANY, text)
        text = _BRACES.sub(lambda match: ANY if ANY in match[0] else match[0], text)
        text = _BRACKETS.sub(ANY, _CALL.sub(rf"\1({ANY})", text))
    return _COUNTED.sub(_singular, _REPEATED.sub(ANY, text))


def _class(match: re.Match[str]) -> str:
    """Return an object's repr as its class: `<shop.Order object at 0x1f>`, `<User: ann>`, `<Color.RED: 1>`."""
    names = match[1].split(".")
    return f"<{names[0] if match[2] == ':' else names[-1]}>"


def _word(word: str) -> str:
    core = word.lstrip(_OPENING).rstrip(_CLOSING)
    if not core:
        return word
    begin = word.index(core)
    return word[:begin] + _core(core) + word[begin + len(core) :]


def _core(core: str) -> str:
    if core.isascii() and core.isalpha():
        return ANY if core in _VALUES or _MADE.fullmatch(core) else core
    key, equals, value = core.partition("=")
    if equals and key and value and "/" not in key:
        # `error=Timeout` says what happened, `user=ann` to whom.
        kept = key.rpartition(".")[2].lower() in _KEPT_KEYS and value.isalpha()
        return core if kept else f"{key}={ANY}"
    if core in _VALUES or _LETTERS_ONLY.fullmatch(core) or ("/" in core and _EXTENSION.search(core)):
        return ANY
    if not any(letter.isdigit() for letter in core) or core.lower() in _NAMES:
        return core
    if any(letter.isalpha() and not letter.isascii() for letter in core):  # no blanks between words
        return _DIGITS.sub(ANY, core)
    return _SEGMENT.sub(ANY, core) if core.startswith("/") else ANY


def _singular(match: re.Match[str]) -> str:
    noun, verb = match[2], match[3] or ""
    if noun.endswith("ies"):
        noun = f"{noun[:-3]}y"
    elif noun.endswith("s"):
        noun = noun[:-1]
    return f"{match[1]}{noun}{_VERBS.get(verb, verb)}"


_STATUSES = {status.value: status.phrase.lower() for status in HTTPStatus if status.value >= 300}
_NUMBER = re.compile(r"(?<![\w.-])[345]\d\d(?![\w-]|[.,]\d)")
_NAMED = re.compile(
    r"\b(?:https?(?!:)|status(?:[ _-]?code)?|response(?:[ _-]?code)?|error[ _-]?code)\W{0,4}"
    r"(?:(?:code|error|status|is|was|of|with)\W{1,3})?\Z",
    re.IGNORECASE,
)
_SAID = re.compile(r"\b(?:answer|repli|respond|return|receiv|got)(?:ed|s|d|es)?(?: with)?(?: an?)? \Z", re.IGNORECASE)
_CODE = re.compile(
    r"\A\[(?:Errno|WinError) (-?\d{1,6})\]|\[SSL: (\w{1,60})\]|An error occurred \((\w{1,60})\)"
    r"|StatusCode\.([A-Z_]{1,30})|\A\(([A-Za-z_][\w.]{1,60})\) |\A\((\d{3,5}), ['\"]"
)
_LONGEST_CODED = 300

_NAME = r"[^\W\d][\w.$-]{0,127}"
_CONSTRAINT = re.compile(
    rf"constraint failed: ([\w.]{{1,128}}(?:, [\w.]{{1,128}}){{0,5}})"  # SQLite
    r"|(?:constraint|contrainte|restricci[oó]n|restri[cç][aã]o|vincolo|ограничени[ея]|制約|约束)"  # PostgreSQL's
    rf"[^\"'`«»„“(\n]{{0,30}}[\"'`«»„“(]\s?({_NAME})\s?[\"'`«»”“)]"
    rf"|\bfor key ['\"]({_NAME})['\"]"  # MySQL
    rf"|\bcolumn [\"']({_NAME})[\"'](?: of relation \"{_NAME}\")? (?:violates not-null|cannot be null)",
    re.IGNORECASE,
)
_HINTS = ("constraint", "contrainte", "restri", "vincolo", "ограничени", "制約", "约束", "for key", "column")
_PARTITION = re.compile(r"\d{4,}(?:_\d{1,2}){0,3}")


def _constraint(message: str) -> str:
    """Return the name of the constraint, or of the column, that a database says is violated; empty where none is."""
    text = message[:_LONGEST_CODED]
    lower = text.lower()
    if not any(hint in lower for hint in _HINTS):  # the pattern costs far more
        return ""
    found = _CONSTRAINT.search(text)
    return _PARTITION.sub("#", found[found.lastindex or 0]) if found else ""


def code(kind: str, message: str) -> str:
    """Return the code by which errors of one class and place differ, empty where there is none.

    The status of HTTP; the number of an OSError that has no class of its own; the codes of SSL, AWS, gRPC and MySQL;
    the driver's class that SQLAlchemy names; beside it a violated constraint. `kind` is the class's name.
    """
    return f"{_code(kind, message)} {_constraint(message)}".strip()


def _code(kind: str, message: str) -> str:
    text = message[:_LONGEST_CODED]
    found = _CODE.search(text)
    if found is not None and (found[1] is None or kind == "OSError"):
        return found[found.lastindex or 0]
    for match in _NUMBER.finditer(text):
        if _is_status(match, kind):
            return match[0]
    return ""


def _is_status(number: re.Match[str], kind: str) -> bool:
    """Return whether a number of three digits is a status of HTTP rather than, say, an order's number."""
    phrase = _STATUSES.get(int(number[0]))
    if phrase is None:
        return False
    before = number.string[max(number.start() - 30, 0) : number.start()]
    after = number.string[number.end() : number.end() + 50].lstrip(" ,:'\"-").lower()
    if _NAMED.search(before) or after.startswith((phrase, "client error", "server error", "message=")):
        return True
    if _SAID.search(before):
        return not after[:1].isalnum() or after.startswith(("from ", "for ", "error"))
    return "http" in kind.lower() and number.start() < 12
