"""What groups with what: stable across lines, messages and interpreters, apart where the place or type differs."""

import sys
import time
from collections.abc import Callable
from types import CodeType

import psycopg
import pytest
import sqlalchemy

import platform_sdk
from platform_sdk.capture import fingerprint_v1
from platform_sdk.capture.exceptions import Captured, CapturedException, capture, capture_message
from platform_sdk.capture.fingerprint import Fingerprints, fingerprint
from platform_sdk.capture.messages import LONGEST, code, normalised
from platform_sdk.capture.stacktrace import Stacks
from tests.sdk.events import Store

SOURCE = """
def outer(n):
    inner(n)

def inner(n):
    raise ValueError(f"bad value {n}")

def recursive(n):
    if n == 0:
        raise ValueError("deep")
    recursive(n - 1)

def chained(n):
    try:
        inner(n)
    except ValueError as error:
        raise KeyError(n) from error

def grouped(n):
    errors = []
    for function in (inner, recursive) if n else (recursive, inner):
        try:
            function(2)
        except ValueError as error:
            errors.append(error)
    raise ExceptionGroup("several", errors)
"""


def caught(call: str, source: str = SOURCE, file: str = "/app/shop/views.py", module: str = "shop.views") -> Captured:
    """Return what is captured of the exception that a call raises, from code at the place given."""
    code: CodeType = compile(source, file, "exec")
    names: dict[str, object] = {"__name__": module}
    exec(code, names)
    try:
        exec(compile(call, "/usr/lib/x/site-packages/framework.py", "exec"), names)
    except Exception as error:  # noqa: BLE001 - whatever the code given raises
        captured = capture(error)
        assert captured is not None
        return captured
    raise AssertionError("nothing was raised")


def made(captured: Captured, explicit: str | None = None) -> str:
    return fingerprint(captured, Stacks(), explicit)


SAME = {
    "another message": lambda: caught("outer(2)"),
    "moved down by lines": lambda: caught("outer(1)", "\n\n\n# new\n" + SOURCE),
    "installed elsewhere": lambda: caught("outer(1)", file="/srv/release-7/shop/views.py"),
    "called through other frameworks": lambda: caught("(lambda: outer(1))()"),
}


@pytest.mark.parametrize("change", SAME)
def test_same_error_has_the_same_fingerprint(change: str) -> None:
    """None of these makes it another error."""
    assert made(SAME[change]()) == made(caught("outer(1)"))


OTHER: dict[str, Callable[[], Captured]] = {
    "another function": lambda: caught("inner(1)"),
    "another type": lambda: caught("outer(1)", SOURCE.replace("ValueError(f", "TypeError(f")),
    "another module": lambda: caught("outer(1)", module="shop.api"),
    "with a cause": lambda: caught("chained(1)"),
    "a group": lambda: caught("grouped(1)"),
}


@pytest.mark.parametrize("change", OTHER)
def test_other_error_has_another_fingerprint(change: str) -> None:
    """Each of these makes it another error."""
    assert made(OTHER[change]()) != made(caught("outer(1)"))


def test_depth_of_a_recursion_does_not_matter() -> None:
    """A recursion that fails deeper is the same error."""
    assert made(caught("recursive(3)")) == made(caught("recursive(30)"))


def test_order_within_a_group_does_not_matter() -> None:
    """Which member of an ExceptionGroup failed first is chance."""
    assert made(caught("grouped(1)")) == made(caught("grouped(0)"))


@pytest.mark.parametrize(
    "call", ["connection.execute(text)", "with engine.begin() as opened: opened.exec_driver_sql(text)"]
)
def test_constraints_tell_errors_apart(store: Store, call: str) -> None:
    """Of psycopg, and of SQLAlchemy over it: two constraints of one table, violated from one line."""
    url = sqlalchemy.make_url(store.dsn).set(drivername="postgresql+psycopg")
    engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool)
    found = []
    with psycopg.connect(store.dsn, autocommit=True) as connection:
        connection.execute(
            "CREATE TABLE a (id int PRIMARY KEY, email text UNIQUE); INSERT INTO a VALUES (1, 'x'), (2, 'y')"
        )
        source = f"def add(connection, engine, text):\n    {call}\n"
        exec(compile(source, "/app/shop/store.py", "exec"), names := {"__name__": "shop.store"})
        for row in ("(1, 'a')", "(2, 'b')", "(3, 'x')"):
            with pytest.raises(Exception, match="violates unique constraint") as raised:
                names["add"](connection, engine, f"INSERT INTO a VALUES {row}")  # type: ignore[operator]
            captured = capture(raised.value)
            assert captured is not None
            found.append(made(captured))

    assert found[0] == found[1] != found[2]


def test_versions_are_frozen() -> None:
    """The rules of a version never change: a change needs a new version, or every group breaks up."""
    assert made(caught("outer(1)")) == "v2:f4ca97c4c8090d6c"
    assert made(capture_message("LoggedError", "it took 5 s")) == "v2:ba24cdf361767c14"


def test_version_1_is_frozen() -> None:
    """Issues from before version 2 are found by it."""
    former = [fingerprint_v1.fingerprint(of, Stacks()) for of in (
        caught("outer(1)"), caught("chained(1)"), caught("grouped(1)"), capture_message("LoggedError", "it took 5 s"),
    )]  # fmt: skip

    assert former == ["v1:3d147992984bfccc", "v1:eb1c61545ea0ea17", "v1:93e537791c7bde7e", "v1:d4bfcf1f021807f3"]


def test_both_versions_are_remembered() -> None:
    """Of an error that came before, other values of its message included."""
    fingerprints = Fingerprints(Stacks())
    one, other = (caught(f"outer({n})") for n in (1, 2))

    assert fingerprints.of(one) == (made(one), fingerprint_v1.fingerprint(one, Stacks()))
    assert fingerprints.of(other) == fingerprints.of(one)
    assert fingerprints.of(caught("inner(1)")) != fingerprints.of(one)
    assert fingerprints.of(one, "payments") == ("payments", None)


def test_both_versions_are_stored(store: Store, start: Callable[..., None]) -> None:
    """An explicit fingerprint has no version."""
    start()
    for explicit in (None, "payments"):
        platform_sdk.log_error(ValueError("x"), fingerprint=explicit)
    assert platform_sdk.flush(60)

    found = sorted(store.rows("fingerprint, former_fingerprint", "error"))
    assert found[0] == ("payments", None)
    assert [text[:3] for text in found[1]] == ["v2:", "v1:"]


def test_what_is_remembered_has_its_code() -> None:
    """A status in the message makes another error of the same place."""
    source = "def outer(n):\n    raise ValueError(f'status {n}')\n"
    exec(compile(source, "/app/shop/views.py", "exec"), names := {"__name__": "shop.views"})
    fingerprints = Fingerprints(Stacks())
    found = []
    for status in (404, 503):
        try:
            names["outer"](status)  # type: ignore[operator]
        except ValueError as error:
            found.append(fingerprints.of(capture(error)))  # type: ignore[arg-type]

    assert found[0][0] != found[1][0]
    assert found[0][1] == found[1][1]


def test_explicit_fingerprint_wins() -> None:
    """What the application says groups."""
    assert made(caught("outer(1)"), "payments") == "payments"


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("order 15 failed after 2.5 s", "order <*> failed after <*>"),
        ("no such file: '/tmp/x/y.txt'", "no such file: <*>"),
        ("GET https://x.example/a?b=1 failed", "GET <*> failed"),
        ("from 203.0.113.9:443 to ann@mail.example", "from <*> to <*>"),
        ("object at 0x7f3a2c at 2025-01-02T03:04:05Z", "object at <*> at <*>"),
        ("cannot adapt <shop.Order object at 0x7f>", "cannot adapt <Order>"),
        ("3 retries were made", "<*> retry was made"),
        ("GET /api/users/15 failed", "GET /api/users/<*> failed"),
        ("error=Timeout user=ann", "error=Timeout user=<*>"),
        ("uses s3 and utf-8", "uses s3 and utf-8"),
        ("the queue is full\n\nof jobs\nand more", "the queue is full\nof jobs"),
        ("", ""),
    ],
)
def test_messages_without_a_stack_are_normalised(message: str, expected: str) -> None:
    """Numbers, ids and names in quotes vary; words do not."""
    assert normalised(message) == expected


@pytest.mark.parametrize(
    ("kind", "message", "expected"),
    [
        ("HTTPError", "404 Client Error: Not Found for url: https://x/503", "404"),
        ("HTTPStatusError", "Server error '503 Service Unavailable' for url 'https://x/'", "503"),
        ("ClientResponseError", "429, message='Too Many Requests', url='https://x/'", "429"),
        ("HTTPException", "404: no such order", "404"),
        ("HTTPError", "HTTP Error 403: Forbidden", "403"),
        ("ApiError", '{"status_code": 502}', "502"),
        ("ApiError", "the API responded with 500", "500"),
        ("ValueError", "order 404 is unknown", ""),
        ("ValueError", "got 404 rows", ""),
        ("ValueError", "https://503.example/", ""),
        ("OSError", "[Errno 28] No space left on device: '/x'", "28"),
        ("FileNotFoundError", "[Errno 2] No such file or directory: '/x'", ""),
        ("ClientError", "An error occurred (NoSuchKey) when calling the GetObject operation: none", "NoSuchKey"),
        ("OperationalError", "(1205, 'Lock wait timeout exceeded')", "1205"),
        ("ProgrammingError", '(psycopg.errors.UndefinedTable) no such table', "psycopg.errors.UndefinedTable"),
        ("SSLError", "[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1006)", "WRONG_VERSION_NUMBER"),
    ],
)  # fmt: skip
def test_codes(kind: str, message: str, expected: str) -> None:
    """Two faults of one class and place; other numbers are parameters."""
    assert code(kind, message) == expected


HOSTILE = [
    *"a\"'«„<{[(1/.@-:=\\e4 \n¥", "1 ", "a/", "a.", "<a ", "<a:", "<*> ", "Mon <*> ", "status ", "HTTP 404 ",
    "f(x=1,", '"\\', "'a '", "a-bcdfg", "名1", "a://", "::", "0x",
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_text_costs_what_its_beginning_costs(text: str) -> None:
    """A megabyte of it is searched as little as its first thousand characters."""
    message = text * (1_000_000 // len(text))
    began = time.process_time()
    found = normalised(message), code("HTTPError", message)
    took = time.process_time() - began

    assert found == (normalised(message[:LONGEST]), code("HTTPError", message[:LONGEST]))
    assert (
        took < 1.0
    )  # of this thread's own processor; some ms, where it would be minutes or hours if it were quadratic


def deep(frames: int) -> CapturedException:
    """Return what is captured of a recursion that fails at its end."""
    source = "def dig(n):\n    return dig(n - 1) if n else bottom()\ndef bottom():\n    return {}[0]\n"
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(50_000)
    try:
        return caught(f"dig({frames})", source).chain[0]
    finally:
        sys.setrecursionlimit(limit)


def test_both_ends_of_a_deep_stack_are_kept() -> None:
    """The crash line is in the trace, however deep."""
    functions = [position[0].co_name for position in deep(10_000).positions]

    assert len(functions) == 60
    assert functions[:3] == ["caught", "<module>", "dig"]
    assert functions[-2:] == ["dig", "bottom"]


def test_a_long_chain_keeps_what_it_began_with() -> None:
    """Of thirty tries the first failure is what all others come from."""
    source = """
def tries(n):
    if n == 0:
        raise KeyError("first")
    try:
        tries(n - 1)
    except Exception:
        raise ValueError(n)
"""
    chain = caught("tries(30)", source).chain

    assert len(chain) == 9
    assert (chain[0].message, chain[-1].name) == ("30", "KeyError")


def test_members_of_one_kind_are_kept_once() -> None:
    """Of a hundred failures of two kinds two are described, and the trace says how many there were."""
    source = """
def fail(n):
    raise KeyError(n) if n == 77 else ValueError(n)
def group():
    errors = []
    for n in range(100):
        try:
            fail(n)
        except Exception as error:
            errors.append(error)
    raise ExceptionGroup("many", errors)
"""
    captured = caught("group()", source)
    trace = Stacks().trace(captured)

    assert [member.name for member in captured.chain[0].members] == ["ValueError", "KeyError"]
    assert trace is not None
    assert trace.endswith("  +---------------- and 98 more\n")
