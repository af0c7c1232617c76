"""Functions of any kind, each call of which is a scraping job."""

import functools
import inspect
from collections.abc import AsyncIterator, Callable, Generator
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Any, Protocol, TypeVar, cast

Function = TypeVar("Function", bound=Callable[..., Any])


class Job(AbstractContextManager[Any], AbstractAsyncContextManager[Any], Protocol):
    """What is entered for a call."""


def decorated(function: Function, fresh: Callable[[], Job]) -> Function:
    """Return a function that runs in a `fresh` job; of a generator function, each iteration does."""

    @functools.wraps(function)
    async def coroutine(*args: Any, **kwargs: Any) -> Any:
        async with fresh():
            return await function(*args, **kwargs)

    @functools.wraps(function)
    def plain(*args: Any, **kwargs: Any) -> Any:
        with fresh():
            return function(*args, **kwargs)

    @functools.wraps(function)
    def generator(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        with fresh():
            return (yield from function(*args, **kwargs))

    @functools.wraps(function)
    async def async_generator(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        async with fresh():
            async for each in function(*args, **kwargs):
                yield each

    kinds: dict[Callable[[Any], bool], Any] = {
        inspect.iscoroutinefunction: coroutine, inspect.isgeneratorfunction: generator,
        inspect.isasyncgenfunction: async_generator,
    }  # fmt: skip
    return cast(Function, next((made for is_one, made in kinds.items() if is_one(function)), plain))
