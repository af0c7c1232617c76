"""Keep every failure of the SDK's own out of the application."""

import functools
from collections.abc import Callable
from typing import ParamSpec

from platform_sdk import client

Parameters = ParamSpec("Parameters")


def guarded(function: Callable[Parameters, None]) -> Callable[Parameters, None]:
    """Count as dropped, and log, whatever goes wrong in `function`, even where its arguments do not fit."""

    @functools.wraps(function)
    def call(*args: Parameters.args, **kwargs: Parameters.kwargs) -> None:
        intake = client.current
        if intake is None:
            return
        try:
            function(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 - that is what this is for
            intake.fail(function.__name__, error)

    return call
