"""What is said outside of requests: for the process, a thread, a coroutine, a task of a queue."""

import asyncio
import threading
from collections.abc import Callable
from contextvars import ContextVar, copy_context
from functools import partial
from typing import Any
from uuid import UUID

import pytest

import platform_sdk
from platform_sdk import diagnostics, emit, scope
from tests.sdk.events import Store
from tests.servers import PATIENCE_SECONDS

Start = Callable[..., None]


@pytest.fixture(autouse=True)
def unsaid(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget what a test said for the process."""
    monkeypatch.setattr(scope, "_process", scope.Scope(shared=True))
    monkeypatch.setattr(scope, "used", False)


def in_a_thread(function: Callable[[], Any]) -> None:
    thread = threading.Thread(target=function)
    thread.start()
    thread.join()


def logged(store: Store) -> list[tuple[Any, ...]]:
    """Return (message, user, context) of the errors."""
    assert platform_sdk.flush(60)
    return store.rows("message, user_id, context", "error")


def test_at_start_up_it_is_the_process_s(store: Store, start: Start) -> None:
    """Every thread and coroutine has it."""
    start()
    platform_sdk.set_user("importer")
    platform_sdk.set_tag("region", "eu")
    in_a_thread(lambda: platform_sdk.log_error("in a thread"))

    async def main() -> None:
        platform_sdk.log_error("in a coroutine")

    asyncio.run(main())

    expected = {"tags": {"region": "eu"}}
    assert logged(store) == [("in a thread", "importer", expected), ("in a coroutine", "importer", expected)]


def test_threads_are_apart(store: Store, start: Start) -> None:
    """What a thread says is its own."""
    start()

    def work() -> None:
        platform_sdk.set_user(7)
        platform_sdk.log_error("mine")

    in_a_thread(work)
    in_a_thread(lambda: platform_sdk.log_error("another's"))
    platform_sdk.log_error("the main thread's")

    assert [row[:2] for row in logged(store)] == [("mine", "7"), ("another's", None), ("the main thread's", None)]


def test_coroutines_are_apart(store: Store, start: Start) -> None:
    """A task inherits what was said before it was made; what it says itself is its own."""
    start()

    async def work(user: int, turn: asyncio.Barrier) -> None:
        platform_sdk.set_user(user)
        platform_sdk.set_tag("number", user)
        await turn.wait()
        platform_sdk.log_error(f"task {user}")

    async def main() -> None:
        platform_sdk.set_tag("run", "nightly")
        turn = asyncio.Barrier(2)
        await asyncio.gather(work(1, turn), work(2, turn))
        platform_sdk.log_error("main")

    asyncio.run(main())

    assert sorted(logged(store)) == [
        ("main", None, {"tags": {"run": "nightly"}}),
        ("task 1", "1", {"tags": {"run": "nightly", "number": "1"}}),
        ("task 2", "2", {"tags": {"run": "nightly", "number": "2"}}),
    ]


def test_a_scope_ends(store: Store, start: Start) -> None:
    """It has what was said before for the process, but its user; what is said within is gone with it."""
    start()
    platform_sdk.set_user("importer")
    platform_sdk.set_tag("region", "eu")
    with scope.opened():
        platform_sdk.log_error("first")
        platform_sdk.set_user(7)
        platform_sdk.set_tag("task", "import")
        asyncio.run(say_and_log())
    platform_sdk.log_error("after")

    assert logged(store) == [
        ("first", None, {"tags": {"region": "eu"}}),
        ("within", "7", {"tags": {"region": "eu", "task": "import", "page": "3"}}),
        ("after", "importer", {"tags": {"region": "eu"}}),
    ]


async def say_and_log() -> None:
    platform_sdk.set_tag("page", 3)
    platform_sdk.log_error("within")


def test_what_is_said_deep_within_a_scope_is_known_outside(store: Store, start: Start) -> None:
    """A queue's worker records the failure of a task when the task's own coroutines have ended."""
    start()
    with scope.opened():
        asyncio.run(say_and_log())
        platform_sdk.log_error("failed")

    assert logged(store)[1] == ("failed", None, {"tags": {"page": "3"}})


def test_a_thread_s_leavings_are_not_the_next_scope_s(store: Store, start: Start) -> None:
    """Threads are used again: a user that one was told outside of a scope is not the next task's."""
    start()

    def work() -> None:
        platform_sdk.set_user("left behind")
        with scope.opened():
            platform_sdk.log_error("task")

    in_a_thread(work)

    assert logged(store)[0][:2] == ("task", None)


def test_scopes_within_scopes(store: Store, start: Start) -> None:
    """An inner one begins as the outer one is, and changes only itself."""
    start()
    with scope.opened():
        platform_sdk.set_user(7)
        with scope.opened():
            platform_sdk.set_tag("depth", 2)
            platform_sdk.log_error("inner")
        platform_sdk.log_error("outer")

    assert logged(store) == [("inner", "7", {"tags": {"depth": "2"}}), ("outer", "7", None)]


def test_contexts_and_what_an_error_has_itself(store: Store, start: Start) -> None:
    """A context is copied when it is set, and its secrets hidden; what an error brings along stays."""
    start()
    cart: dict[str, object] = {"items": 3, "card": {"api_key": "k3y"}}
    with scope.opened():
        platform_sdk.set_context("cart", cart)
        cart["items"] = 4
        platform_sdk.set_tag("token", "t0ken")
        platform_sdk.log_error("broken", context={"order": 5, "tags": {"plan": "pro"}})

    assert logged(store)[0][2] == {
        "order": 5,
        "tags": {"plan": "pro", "token": "********"},
        "contexts": {"cart": {"items": 3, "card": {"api_key": "********"}}},
    }


def test_taking_back(store: Store, start: Start) -> None:
    """None takes a user, a tag or a context back."""
    start()
    with scope.opened():
        for value in (7, None):
            platform_sdk.set_user(value)
            platform_sdk.set_tag("plan", value)
            platform_sdk.set_context("cart", None if value is None else {"items": value})
        platform_sdk.log_error("broken")

    assert logged(store) == [("broken", None, None)]


def test_activities(store: Store, start: Start) -> None:
    """An activity has the user that was named, with role and a digest of the session, unless it names another."""
    start()
    with scope.opened():
        platform_sdk.set_user(7, role="editor", session_id="key")
        platform_sdk.log_activity("print")
        platform_sdk.log_activity("print", user_id=8)
    assert platform_sdk.flush(60)

    (mine, another) = store.rows("user_id, role, session_id", "user_activity")
    assert mine[:2] == ("7", "editor")
    assert len(mine[2]) == 24
    assert another == ("8", None, None)


USER_ID = "6f3a2c1e-0d9b-4c57-9a50-1f1c53a4c111"


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ("ann", "ann"),
        (7, "7"),
        (UUID(USER_ID), USER_ID),
        ({"id": 7, "email": "ann@example.org"}, "7"),
        (True, None),
        ((1, 2), None),
        ("x" * 10_000, "x" * 200),
        (object(), None),
    ],
)
def test_users(store: Store, start: Start, user: object, expected: str | None) -> None:
    """Ids, and what holds one; whatever else names nobody."""
    start()
    with scope.opened():
        platform_sdk.set_user(user)
        platform_sdk.log_error("broken")

    assert logged(store)[0][1] == expected


def test_it_is_bounded(store: Store, start: Start) -> None:
    """Neither more tags nor larger contexts than fit."""
    start()
    with scope.opened():
        for number in range(1000):
            platform_sdk.set_tag(f"{number}" * 100, "x" * 1000)
            platform_sdk.set_context(f"{number}", {"text": "x" * 10_000})
        platform_sdk.log_error("broken")

    context = logged(store)[0][2]
    assert len(context["tags"]) == 64
    assert len(str(context)) < 100_000


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: scope.end(None), "scope.end: TypeError: invalid NoneType for end(token): expected what begin() ret"),
        (lambda: scope.end("x" * 10_000_000), "scope.end: TypeError: invalid str for end(token): expected what begin"),
        (lambda: scope.end(), "; expected end(token)"),
        (lambda: scope.end(**{"x" * 10_000_000: 1}), "; expected end(token)"),
        (lambda: scope.end(ContextVar("other", default="x" * 10_000).set("y")), "invalid Token for end(token)"),
        (lambda: [scope.end(token) for token in [scope.begin()] * 2], "invalid token for end(token): it was ended bef"),
        (lambda: in_a_thread(partial(scope.end, scope.begin())), "that begin() returned in this context"),
        (lambda: scope.end(scope.begin(1)), "; expected begin()"),
        (lambda: scope.opened(1).__enter__(), "; expected opened()"),
        (lambda: scope.opened().__exit__(None, None, None), "scope.end: TypeError: invalid NoneType"),
    ],
)
def test_wrong_calls_are_logged(caplog: pytest.LogCaptureFixture, call: Callable[[], Any], said: str) -> None:
    """Nothing is raised; the log names the call and what it takes, not what it was given."""
    diagnostics._last.clear()
    copy_context().run(call)

    assert said in caplog.text
    assert len(caplog.text) < 2_000


def test_one_opened_for_several_bodies(store: Store, start: Start) -> None:
    """One within another, one after the other, and in threads at a time; each ends its own scope."""
    start()
    each = scope.opened()

    def work() -> None:
        with each:
            platform_sdk.set_user(8)
            both.wait(PATIENCE_SECONDS)
            platform_sdk.log_error("thread")
            both.wait(PATIENCE_SECONDS)
        platform_sdk.log_error("after")

    both = threading.Barrier(2)
    thread = threading.Thread(target=work)
    with each:
        platform_sdk.set_user(7)
        with each:
            platform_sdk.set_tag("depth", 2)
        thread.start()
        both.wait(PATIENCE_SECONDS)
        platform_sdk.log_error("main")
    both.wait(PATIENCE_SECONDS)
    thread.join()
    with each:
        platform_sdk.log_error("again")

    assert sorted(row[:2] for row in logged(store)) == [
        ("after", None),
        ("again", None),
        ("main", "7"),
        ("thread", "8"),
    ]


def test_it_never_raises(store: Store, start: Start) -> None:
    """Whatever it is called with, before `init` too."""
    with scope.opened():
        platform_sdk.set_user()  # type: ignore[call-arg]
        platform_sdk.set_tag("one")  # type: ignore[call-arg]
        platform_sdk.set_context("cart", 5, more=6)  # type: ignore[call-arg]
        platform_sdk.set_context("cart", object())  # type: ignore[arg-type]
        platform_sdk.set_tag(object(), object())  # type: ignore[arg-type]
        start()
        emit.error_message("broken", context=5)  # type: ignore[arg-type]

    assert logged(store)[0][2]["value"] == 5
