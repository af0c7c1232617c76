"""What applications log becomes errors: by `logging` in all its set-ups, by structlog, by loguru; once each."""

import asyncio
import contextvars
import json
import logging
import logging.config
import logging.handlers
import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any

import loguru
import pytest
import structlog

import platform_sdk
from platform_sdk import emit, logs
from tests.sdk.events import Store

Start = Callable[..., None]

shop = logging.getLogger("shop.orders")
COLUMNS = "severity, error_type, message"


class Odd:
    """An argument whose text cannot be made."""

    def __str__(self) -> str:
        raise RuntimeError("str")


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Leave the loggers as they were."""
    emit._recorded.clear()
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    logs.uninstall()
    root.handlers[:], root.level = handlers, level
    shop.handlers.clear()
    shop.propagate, shop.disabled = True, False
    structlog.reset_defaults()


@pytest.fixture
def logged(store: Store, start: Start) -> Callable[..., list[tuple[Any, ...]]]:
    """Return a function that returns what is stored of errors; what is logged is recorded."""
    start()
    logs.install()

    def rows(columns: str = COLUMNS) -> list[tuple[Any, ...]]:
        assert platform_sdk.flush(60)
        return store.rows(columns, "error")

    return rows


Logged = Callable[..., list[tuple[Any, ...]]]


def alone() -> None:
    """Let no other handler make the text of a record: pytest's own raises what goes wrong in that."""
    shop.propagate = False
    shop.addHandler(logging.NullHandler())


def fail(text: str = "out of range") -> None:
    raise ValueError(text)


def log_exception(logger: Any = shop) -> None:
    try:
        fail()
    except ValueError:
        logger.exception("order %s failed", 4711)


def test_an_exception(logged: Logged) -> None:
    """With its stack, and in its context what was logged and by whom, with `extra`."""
    try:
        fail()
    except ValueError:
        shop.exception("order %s failed", 4711, extra={"basket": {"id": 5}, "user": Odd()})

    columns = (
        "stack_trace LIKE '%in fail%', context->>'message', context->>'logger', context->'basket', context->'user'"
    )
    assert logged() == [("high", "ValueError", "out of range")]
    assert logged(columns) == [(True, "order 4711 failed", "shop.orders", {"id": 5}, "<Odd>")]
    assert "test_logs.py:" in logged("context->>'place'")[0][0]


def test_messages_are_grouped_by_their_template(logged: Logged) -> None:
    """Not by their arguments, nor by what varies in a text that was made before; other loggers are other groups."""
    for name in ("Ann", "a very different customer"):
        shop.error("no order of %s", name)
    for number in (5, 67):
        shop.error(f"order {number} is lost")
    logging.getLogger("bank").error("no order of %s", "Ann")

    texts = ["no order of Ann", "no order of a very different customer", "order 5 is lost", "order 67 is lost"]
    assert logged("message") == [(text,) for text in [*texts, "no order of Ann"]]
    prints = [fingerprint for (fingerprint,) in logged("fingerprint")]
    assert prints[0] == prints[1]
    assert prints[2] == prints[3]
    assert len(set(prints)) == 3


def test_templates_without_words_group_by_the_text(logged: Logged) -> None:
    """`%s`, or "Error: %s", says nothing; the parameters of the text do not count."""
    log = logging.getLogger("shop")
    for template in ("%s", "Error: %s"):
        for text in ("order 15 refused", "order 16 refused", "disk full"):
            log.error(template, text)

    found = [row[0] for row in logged("fingerprint")]
    assert [found.index(one) for one in found] == [0, 0, 2, 3, 3, 5]


def test_levels(logged: Logged) -> None:
    """Nothing below ERROR; CRITICAL is critical."""
    shop.warning("slow")
    shop.error("broken")
    shop.critical("on fire")

    assert logged() == [("high", "LoggedError", "broken"), ("critical", "LoggedError", "on fire")]


def test_odd_records(logged: Logged) -> None:
    """Arguments that do not fit or have no text, no exception where one was promised, and an exception as the text."""
    alone()
    shop.error("order %d", "x")
    shop.error("order %s", Odd())
    shop.error("nothing is wrong", exc_info=True)
    shop.error(ValueError("as the text"))
    shop.error("with a stack", stack_info=True)

    assert logged("error_type, message") == [
        ("LoggedError", "order %d"), ("LoggedError", "order %s"), ("LoggedError", "nothing is wrong"),
        ("ValueError", "as the text"), ("LoggedError", "with a stack"),
    ]  # fmt: skip
    assert "in test_odd_records" in logged("stack_trace")[-1][0]


def test_what_is_logged_and_raised_is_recorded_once(logged: Logged) -> None:
    """Whoever sees it first."""
    try:
        try:
            fail()
        except ValueError:
            shop.exception("failed")
            raise
    except ValueError as error:
        emit.exception(error)
        logging.getLogger("uvicorn.error").error("Exception in ASGI application", exc_info=error)

    assert logged("error_type") == [("ValueError",)]


def test_a_task_of_asyncio(logged: Logged) -> None:
    """One whose exception nobody fetches is logged by asyncio."""

    async def main() -> None:
        task = asyncio.create_task(asyncio.to_thread(fail))
        await asyncio.wait([task])

    asyncio.run(main())

    assert logged("error_type, context->>'logger'") == [("ValueError", "asyncio")]


def test_loggers_that_do_not_propagate(logged: Logged) -> None:
    """And those that are configured after the SDK."""
    shop.propagate = False
    log_exception()
    logging.config.dictConfig({"version": 1, "disable_existing_loggers": False, "root": {"level": "INFO"}})
    log_exception(logging.getLogger("new"))

    assert logged("error_type") == [("ValueError",)] * 2


@pytest.mark.parametrize("installed", [True, False])
def test_dict_config(store: Store, start: Start, installed: bool) -> None:
    """By class path, with a level; once, also where everything is recorded anyway."""
    start()
    if installed:
        logs.install()
    handler = {"class": "platform_sdk.logs.PlatformHandler", "level": "CRITICAL" if not installed else "ERROR"}
    logging.config.dictConfig(
        {"version": 1, "disable_existing_loggers": False, "handlers": {"sdk": handler}, "root": {"handlers": ["sdk"]}}
    )
    shop.critical("on fire")
    if not installed:
        shop.error("broken")
    assert platform_sdk.flush(60)

    assert store.rows("message", "error") == [("on fire",)]


@pytest.mark.parametrize("installed", [True, False])
def test_a_queue(store: Store, start: Start, installed: bool) -> None:
    """Behind a queue, which makes a text of the exception, it still is one with its type and stack; and once."""
    start()
    waiting: queue.SimpleQueue[Any] = queue.SimpleQueue()
    listener = logging.handlers.QueueListener(waiting, logs.PlatformHandler())
    shop.addHandler(logging.handlers.QueueHandler(waiting))
    shop.propagate = False
    if installed:
        logs.install()
    listener.start()
    log_exception()
    shop.error("order %s is lost", 5)
    listener.stop()
    assert platform_sdk.flush(60)

    stack = "stack_trace LIKE '%in fail%ValueError: out of range%'"
    text = "out of range" if installed else "order 4711 failed"
    assert store.rows(f"error_type, message, {stack}", "error") == [
        ("ValueError", text, True), ("LoggedError", "order 5 is lost", None)
    ]  # fmt: skip


def test_a_queue_after_a_middleware(store: Store, start: Start) -> None:
    """What a middleware recorded as an exception is not recorded as a text again, but the same error later is."""
    start()
    waiting: queue.SimpleQueue[Any] = queue.SimpleQueue()
    shop.addHandler(logging.handlers.QueueHandler(waiting))
    for _ in range(2):
        try:
            fail()
        except ValueError as error:
            shop.exception("failed")
            emit.exception(error)
    log_exception()
    listener = logging.handlers.QueueListener(waiting, logs.PlatformHandler())
    listener.start()
    listener.stop()
    assert platform_sdk.flush(60)

    assert store.rows("error_type", "error") == [("ValueError",)] * 3


def test_our_own_records_are_left_out(store: Store, start: Start) -> None:
    """Whatever the SDK logs, from any of its threads, makes no event that could make it log again."""

    def hook(event: dict[str, Any]) -> dict[str, Any]:
        shop.error("in the hook")
        return event

    start(before_send=hook)
    logs.install()
    logging.getLogger("platform_sdk").error("our own")
    shop.error("broken")
    assert platform_sdk.flush(60)

    assert store.rows("message", "error") == [("broken",)]


def test_a_handler_that_logs_is_no_circle(logged: Logged) -> None:
    """What the text of an argument logs while it is made is not recorded."""

    class Loud:
        def __str__(self) -> str:
            shop.error("made a text")
            return "loud"

    alone()
    shop.error("given %s", Loud())

    assert logged("message") == [("given loud",)]


def test_nothing_while_it_is_off() -> None:
    """Records pass."""
    logs.install(breadcrumbs=3)
    log_exception()

    assert platform_sdk.stats().produced == 0


def test_breadcrumbs(store: Store, start: Start) -> None:
    """The last records before an error, the oldest first, bounded in number and length."""
    start()
    logs.install(breadcrumbs=3)
    shop.setLevel(logging.DEBUG)
    for number in range(5):
        shop.debug("step %s", number)
    shop.info("x" * 1000)
    shop.error("broken")
    shop.setLevel(logging.NOTSET)
    assert platform_sdk.flush(60)

    (crumbs,) = store.rows("context->'breadcrumbs'", "error")[0]
    assert [crumb["message"] for crumb in crumbs] == ["step 3", "step 4", "x" * 300]
    assert crumbs[0]["level"] == "DEBUG"
    assert crumbs[0]["logger"] == "shop.orders"


def test_breadcrumbs_are_of_one_task(store: Store, start: Start) -> None:
    """Tasks and threads that run at the same time do not see each other's."""
    start()
    logs.install(breadcrumbs=5)

    async def work(name: str) -> None:
        shop.warning("before %s", name)
        await asyncio.sleep(0)
        shop.error("broken %s", name)

    async def main() -> None:
        await asyncio.gather(work("a"), work("b"))

    asyncio.run(main())
    thread = threading.Thread(target=lambda: shop.error("broken c"))
    contextvars.Context().run(thread.start)
    thread.join()
    assert platform_sdk.flush(60)

    found = {
        message: [crumb["message"] for crumb in crumbs or []]
        for message, crumbs in store.rows("message, context->'breadcrumbs'", "error")
    }
    assert found == {"broken a": ["before a"], "broken b": ["before b"], "broken c": []}


RENDERERS: dict[str, Any] = {
    "text": (structlog.stdlib.filter_by_level, structlog.stdlib.render_to_log_kwargs),
    "json": (structlog.processors.format_exc_info, structlog.processors.JSONRenderer()),
    "formatter": (structlog.stdlib.ProcessorFormatter.wrap_for_formatter,),
}


@pytest.mark.parametrize("renderer", list(RENDERERS))
def test_structlog(logged: Logged, renderer: str) -> None:
    """Grouped by the event, its fields are context; its exceptions have their stack, as objects or as texts."""
    structlog.configure(
        [structlog.stdlib.add_log_level, *RENDERERS[renderer]], structlog.stdlib.BoundLogger, dict,
        structlog.stdlib.LoggerFactory(),
    )  # fmt: skip
    logger = structlog.get_logger("shop.orders")
    for customer in ("Ann", "someone else"):
        logger.error("no order", customer=customer)
    try:
        fail()
    except ValueError:
        logger.exception("failed", order=4711)

    assert logged("error_type, context->>'customer', context->>'order'") == [
        ("LoggedError", "Ann", None), ("LoggedError", "someone else", None), ("ValueError", None, "4711"),
    ]  # fmt: skip
    prints = [fingerprint for (fingerprint,) in logged("fingerprint")]
    assert prints[0] == prints[1] != prints[2]
    assert logged("message")[:2] == [("no order",)] * 2
    assert "in fail" in logged("stack_trace")[2][0]


def test_loguru(store: Store, start: Start) -> None:
    """As a sink of loguru's; its exceptions have their stack, its bound values are context."""
    start()
    sink = loguru.logger.add(logs.PlatformHandler(), format="{message}")
    try:
        loguru.logger.warning("slow")
        loguru.logger.bind(customer="Ann").error("no order {}", 5)
        loguru.logger.error("no order {}", 67)
        try:
            fail()
        except ValueError:
            loguru.logger.exception("failed")
    finally:
        loguru.logger.remove(sink)
    assert platform_sdk.flush(60)

    assert store.rows("error_type, message, context->'extra'->>'customer'", "error") == [
        ("LoggedError", "no order 5", "Ann"), ("LoggedError", "no order 67", None),
        ("ValueError", "out of range", None),
    ]  # fmt: skip
    prints = [fingerprint for (fingerprint,) in store.rows("fingerprint", "error")]
    assert prints[0] == prints[1] != prints[2]
    assert store.rows("context->>'message'", "error")[2] == ("failed",)


def test_json_that_is_no_record(logged: Logged) -> None:
    """A text in braces stays a text."""
    shop.error("{not json}")
    shop.error(json.dumps({"a": 1}))

    assert logged("message") == [("{not json}",), ('{"a": 1}',)]
