"""Requests that scraping jobs made, those that are alike in one row."""

from platform_sdk.events.api_call import MONTH, costs
from platform_sdk.events.base import APP, CODE, Column, EventKind, Label, Rollup, reject_number

BLOCKS = (
    "cloudflare", "akamai", "datadome", "perimeterx", "imperva", "aws_waf", "kasada", "captcha", "login", "empty",
    "small", "no_items", "custom", "other",
)  # fmt: skip
"""What blocks a scraper: a protection, or what came in place of the page. `custom` is the application's own verdict."""

_BLOCK = Column("block", "text", "what blocked them, whatever their status", values=BLOCKS)
_SCRAPER = Label("scraper", "scraper")
_OUTCOME = """CASE WHEN block IS NOT NULL THEN 'blocked' WHEN status IS NULL THEN 'failed'
    WHEN status < 400 THEN 'success' WHEN status = 407 THEN 'unauthorized'
    WHEN status IN (401, 403, 429, 503) THEN 'refused' ELSE 'failed' END"""
_PROXY, _SITE = Label("proxy", "proxy"), Label("site", "site")

SCRAPING_REQUEST = EventKind(
    name="scraping_request",
    rows_are="a number of requests of a scraping job that were alike",
    columns=(
        Column("job_id", "text", "the job"),
        Column("scraper", "text", "the scraper's type", required=True),
        Column("site", "text", "the site's host"),
        Column("status", "integer", "the responses' status code; NULL where none came"),
        _BLOCK,
        Column("requests", "bigint", "how many requests", default="1"),
        Column("retries", "bigint", "how many of them repeated an earlier one", default="0"),
        Column("response_bytes", "bigint", "bytes received"),
        Column("proxy", "text", "who provides the proxy that they went through; NULL where they went through none"),
        Column("cost", "double precision", "what is paid for them, in the account's currency"),
        Column(
            "early",
            "bigint",
            "how many were made before the time until which the site's Retry-After asked to wait",
            default="0",
        ),
        Column(
            "disallowed",
            "bigint",
            "how many more were not made because the site's robots.txt disallows them",
            default="0",
        ),
    ),
    checks=tuple(
        reject_number(name) for name in ("requests", "retries", "response_bytes", "cost", "early", "disallowed")
    ),
    rollups=(
        Rollup(
            "platform_scraping_requests_total",
            "Requests that scraping jobs made, by the response's status code; none where no response came.",
            (APP, _SCRAPER, Label("code", CODE, open=False)),
            value="coalesce(requests, 0)",
        ),
        Rollup(
            "platform_scraping_blocked_total",
            "Requests of scraping jobs that were blocked, whatever the status, by what blocked them.",
            (APP, _SCRAPER, Label("block", _BLOCK.closed, open=False)),
            value="coalesce(requests, 0)",
            require="block",
        ),
        Rollup(
            "platform_scraping_retries_total",
            "Requests of scraping jobs that repeated an earlier one.",
            (APP, _SCRAPER),
            value="coalesce(retries, 0)",
        ),
        Rollup(
            "platform_scraping_site_requests_total",
            "Requests to a scraped site: success, blocked, refused (status 401, 403, 429 or 503), unauthorized (407: "
            "by a proxy), failed.",
            (APP, _SITE, Label("outcome", _OUTCOME, open=False)),
            value="coalesce(requests, 0)",
            require="site",
        ),
        Rollup(
            "platform_scraping_site_bytes_total",
            "Bytes received from a scraped site.",
            (APP, _SITE),
            value="coalesce(response_bytes, 0)",
            require="site",
        ),
        Rollup(
            "platform_scraping_site_early_requests_total",
            "Requests to a scraped site before the time until which its Retry-After asked to wait.",
            (APP, _SITE),
            value="coalesce(early, 0)",
            require="site",
        ),
        Rollup(
            "platform_scraping_site_disallowed_total",
            "Pages of a scraped site that were not requested because its robots.txt disallows them.",
            (APP, _SITE),
            value="coalesce(disallowed, 0)",
            require="site",
        ),
        Rollup(
            "platform_scraping_pages_total",
            "Pages that scraping jobs got: responses of status 200 to 299 that nothing blocked.",
            (APP, _SCRAPER),
            value="CASE WHEN block IS NULL AND status BETWEEN 200 AND 299 THEN coalesce(requests, 0) ELSE 0 END",
        ),
        Rollup(
            "platform_scraping_cost_total",
            "What is paid for requests of scraping jobs, in the account's currency.",
            (APP, _SCRAPER),
            value="coalesce(cost, 0)",
        ),
        Rollup(
            "platform_scraping_proxy_requests_total",
            "Requests of scraping jobs through a provider's proxies: success, blocked, refused (status 401, 403, 429 or"
            " 503), unauthorized (407: by the proxy), failed.",
            (APP, _PROXY, Label("outcome", _OUTCOME, open=False)),
            value="coalesce(requests, 0)",
            require="proxy",
        ),
        Rollup(
            "platform_scraping_proxy_bytes_total",
            "Bytes that scraping jobs received through a provider's proxies.",
            (APP, _PROXY),
            value="coalesce(response_bytes, 0)",
            require="proxy",
        ),
        Rollup(
            "platform_scraping_proxy_cost_total",
            "What is paid for requests of scraping jobs through a provider's proxies, in the account's currency.",
            (APP, _PROXY),
            value="coalesce(cost, 0)",
            require="proxy",
        ),
        *costs("coalesce(proxy, site)", has_cost="cost IS NOT NULL"),
    ),
    derived=MONTH,
)
