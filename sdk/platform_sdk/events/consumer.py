"""Consumers: on whose behalf an application is asked, and asks others. What kinds of events have of them in common."""

from typing import Any

from platform_sdk.events.base import APP, Column, Label, Rollup

CONSUMER = Column(
    "consumer", "text", "on whose behalf: a customer, a partner, a key's short digest; never the key", free_text=True
)


def of_consumers(name: str, text: str, value: str, **more: Any) -> Rollup:
    """Return the series of a kind by consumer alone: each label more would multiply them. Others are not counted.

    A consumer has one label set in each: what is 0 so far takes its place, too, so that a consumer that has a name
    in one has it in all.
    """
    labels = (APP, Label("consumer", "consumer"))
    return Rollup(f"platform_consumer_{name}", text, labels, value, require="consumer", **more)
