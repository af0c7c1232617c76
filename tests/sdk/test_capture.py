"""What is taken of an exception, and what is not."""

import asyncio
import gc
import pickle
import sys
import time
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

import platform_sdk
from platform_sdk import emit, request_context
from platform_sdk.capture.exceptions import capture
from platform_sdk.capture.fingerprint import fingerprint
from platform_sdk.capture.stacktrace import Stacks
from tests.sdk.events import Store


class Held:
    """Something that a local variable holds."""


def descend(frames: int) -> None:
    if frames == 0:
        raise ValueError("out of range")
    descend(frames - 1)


def test_locals_are_not_kept_alive() -> None:
    """What is captured holds no frame, and so no local variable."""
    held = Held()
    reference = weakref.ref(held)

    def fail(value: Held) -> None:
        raise ValueError("x")

    try:
        fail(held)
    except ValueError as error:
        captured = capture(error)
    del held
    gc.collect()

    assert captured is not None
    assert reference() is None


def test_an_exception_is_taken_once(store: Store, start: Callable[..., None]) -> None:
    """What one handler logs and raises on, an outer one does not log again."""
    start()
    try:
        descend(2)
    except ValueError as error:
        emit.exception(error)
        platform_sdk.log_error(error)
    assert platform_sdk.flush(60)

    assert store.count("error") == 1


SHARED = ValueError("not found")


def raise_shared() -> None:
    raise SHARED


taken: list[object] = []


def log_and_raise_on() -> None:
    try:
        descend(2)
    except ValueError as error:
        taken.append(capture(error))
        raise error


def in_a_pool() -> None:
    with ThreadPoolExecutor() as pool:
        pool.submit(log_and_raise_on).result()


def through_an_exit_stack() -> None:
    with ExitStack() as stack:
        stack.callback(log_and_raise_on)


async def in_a_task() -> None:
    async def fail() -> None:
        log_and_raise_on()

    await asyncio.create_task(fail())


@pytest.mark.parametrize(
    "function", [log_and_raise_on, in_a_pool, through_an_exit_stack, lambda: asyncio.run(in_a_task())]
)
def test_what_is_raised_on_is_taken_once(function: Callable[[], None]) -> None:
    """Through frames, a pool's future, an exit stack, an asyncio task."""
    with pytest.raises(ValueError, match="out of range") as caught:
        function()

    assert taken.pop() is not None
    assert capture(caught.value) is None


def test_an_exception_raised_again_is_captured_again() -> None:
    """A module that keeps one object and raises it again and again has an error each time."""
    taken = []
    for _ in range(3):
        try:
            raise_shared()
        except ValueError as error:
            taken += [capture(error), capture(error)]

    assert [found is None for found in taken] == [False, True] * 3
    assert len({fingerprint(found, Stacks()) for found in taken if found is not None}) == 1
    assert [len(found.chain[0].positions) for found in taken if found is not None] == [2, 2, 2]


def test_an_exception_raised_again_in_a_loop_is_captured_again() -> None:
    """By the same function, which catches it itself."""
    taken, shared = 0, ValueError("not found")
    for _ in range(3):
        try:
            raise shared
        except ValueError as error:
            taken += capture(error) is not None

    assert taken == 3


def reraise(kind: type[BaseException], error: BaseException, traceback: Any) -> None:
    """As in six, and in gunicorn."""
    if error.__traceback__ is not traceback:
        raise error.with_traceback(traceback)
    raise error


def hand_on() -> None:
    try:
        log_and_raise_on()
    except ValueError:
        reraise(*sys.exc_info())  # type: ignore[arg-type]  # there is one


def hand_on_the_end() -> None:
    try:
        descend(2)
    except ValueError as error:
        taken.append(capture(error))
        _, _, traceback = sys.exc_info()
        raise error.with_traceback(traceback and traceback.tb_next) from None


SERVED = Held()


def hand_on_from_a_request() -> None:
    def serve() -> None:
        token = request_context.current.set(SERVED)  # type: ignore[arg-type]  # any object
        try:
            log_and_raise_on()
        finally:
            request_context.current.reset(token)

    try:
        serve()
    except ValueError:
        reraise(*sys.exc_info())  # type: ignore[arg-type]  # there is one


@pytest.mark.parametrize("function", [hand_on, hand_on_the_end, hand_on_from_a_request])
def test_what_a_function_raises_on_is_taken_once(function: Callable[[], None]) -> None:
    """By `reraise(*sys.exc_info())`, with the traceback as it was or only its end, in a request or after it."""
    with pytest.raises(ValueError, match="out of range") as caught:
        function()

    assert taken.pop() is not None
    assert capture(caught.value) is None


def test_a_shared_exception_raised_in_two_places_is_captured_twice() -> None:
    """Of one function."""
    found = []
    try:
        raise_shared()
    except ValueError as error:
        found.append(capture(error))
    try:
        raise_shared()
    except ValueError as error:
        found.append(capture(error))

    assert None not in found


@pytest.mark.parametrize("copy", [lambda error: pickle.loads(pickle.dumps(error)), deepcopy])
def test_an_exception_can_be_pickled_when_it_was_taken(copy: Callable[[ValueError], ValueError]) -> None:
    """Pools of processes send it to another, which knows then that it was taken."""
    try:
        descend(2)
    except ValueError as error:
        capture(error)
        copied = copy(error)

    assert copied.args == ("out of range",)
    assert capture(copied) is None


def test_an_exception_logged_before_it_is_raised_is_taken_once() -> None:
    """Some log, and then raise."""
    error = KeyError("title")
    assert capture(error) is not None
    with pytest.raises(KeyError) as caught:
        raise error

    assert capture(caught.value) is None


def test_trace_reads_as_python_s_own() -> None:
    """File, line, function and source line, the chain in the order of happening."""
    try:
        try:
            descend(1)
        except ValueError as error:
            raise KeyError("title") from error
    except KeyError as error:
        captured = capture(error)
    assert captured is not None
    trace = Stacks().trace(captured)
    assert trace is not None

    assert trace.index("ValueError: out of range") < trace.index("direct cause") < trace.index("KeyError: 'title'")
    assert f'File "{Path(__file__)}", line ' in trace
    assert 'raise ValueError("out of range")' in trace


def test_crash_line_tells_errors_of_one_function_apart() -> None:
    """Two places of one type in one function are two errors."""

    def fail(first: bool) -> None:
        if first:
            raise ValueError("one")
        raise ValueError("two")

    prints = set()
    for first in (True, False):
        try:
            fail(first)
        except ValueError as error:
            captured = capture(error)
            assert captured is not None
            prints.add(fingerprint(captured, Stacks()))

    assert len(prints) == 2


def test_deep_recursion_is_cut_in_the_middle() -> None:
    """A thousand frames are not kept; both ends are."""
    try:
        descend(900)
    except ValueError as error:
        captured = capture(error)

    assert captured is not None
    assert len(captured.chain[0].positions) == 60


def test_capture_is_cheap() -> None:
    """30 frames deep, well below the budget of 40 us of CPU; the best of some tries, as the machine may be busy."""
    costs = []
    for _ in range(50):
        try:
            descend(29)
        except ValueError as error:
            began = time.thread_time_ns()
            capture(error)
            costs.append(time.thread_time_ns() - began)

    assert min(costs) < 40_000
