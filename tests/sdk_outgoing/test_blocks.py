"""Blocked pages are told from good ones, by a table of responses as scrapers meet them."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from platform_sdk.events.scraping_request import BLOCKS
from platform_sdk.outgoing.blocks import Page, block_of, headers_of

TABLE: dict[str, list[dict[str, Any]]] = yaml.safe_load((Path(__file__).parent / "responses.yml").read_text())
HEAD = '<meta name="description" content="' + "A page about something that readers look for. " * 26 + '">'
FILLER = "Chairs are older than tables, and nobody knows who first sat on one of four legs. " * 25


def judged(case: dict[str, Any]) -> str | None:
    """Return what is said of a case."""
    body = case["body"].replace("{filler}", FILLER).replace("{head}", HEAD).encode()
    headers = {"Content-Type": "text/html; charset=utf-8"} if "headers" not in case else {}
    given = {str(name): str(value) for name, value in case.get("headers", {}).items()}
    if not any(name.lower() == "content-type" for name in given) and case.get("status", 200) != 204:
        headers = {"Content-Type": "text/html"}
    page = Page(
        case.get("method", "GET"), case.get("path", "/items/17"), case.get("status", 200),
        headers_of({**headers, **given}.items()), body[:4096], len(body),
    )  # fmt: skip
    return block_of(page)


@pytest.mark.parametrize("case", TABLE["blocked"], ids=lambda case: case["name"])
def test_blocked_pages_are_recognised(case: dict[str, Any]) -> None:
    """By whom, or by what."""
    assert judged(case) == case["block"]


@pytest.mark.parametrize("case", TABLE["good"], ids=lambda case: case["name"])
def test_good_pages_are_let_through(case: dict[str, Any]) -> None:
    """Whatever they are about, and whoever serves them."""
    assert judged(case) is None


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le"])
def test_another_encoding(encoding: str) -> None:
    """A page in UTF-16, with its byte order mark."""
    body = "\ufeff" * (encoding == "utf-16-le") + "<html><head><title>Just a moment...</title></head></html>"
    start = body.encode(encoding)

    assert block_of(Page("GET", "/", 200, {"content-type": "text/html"}, start, len(start))) == "cloudflare"


def test_the_table_is_large_enough() -> None:
    """At least forty of each, and every kind that is not found by a history is among them."""
    assert min(len(TABLE["blocked"]), len(TABLE["good"])) >= 40
    assert {case["block"] for case in TABLE["blocked"]} == {*BLOCKS} - {"small", "no_items", "custom"}
