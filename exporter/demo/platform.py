"""The simulated platform: its apps, routes, external APIs, scrapers and users. All of it is invented.

The names of the apps mark every row and every series as demo data, and `remove` goes by them. Addresses are of the
networks that are reserved for documentation (RFC 5737); user agents end in `demo`.
"""

from dataclasses import dataclass
from typing import Any

from platform_sdk.typing import SampleKind

SHOP, HARVEST = "demo-shop", "demo-harvest"
APPS = (SHOP, HARVEST)

AGENTS = {
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Firefox/145.0 demo": 4,
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 15_6) Safari/605.1.15 demo": 3,
    "Mozilla/5.0 (iPhone; CPU iPhone OS 19_1 like Mac OS X) Mobile/15E148 demo": 3,
    "ShopApp/4.2 (Android 16) demo": 2,
}
ATTACKER = "python-requests/2.32 demo"

ROLES = {"customer": 52, "editor": 6, "admin": 2}
"""Users of each role."""


@dataclass(frozen=True, slots=True)
class Route:
    """A route: its share of the requests, its typical duration, its methods with their weights."""

    template: str
    share: float
    typical_seconds: float
    methods: dict[str, int]
    not_found_ratio: float = 0.01


READ, WRITE, BOTH = {"GET": 1}, {"POST": 1}, {"GET": 3, "POST": 1}

SHOP_ROUTES = (
    Route("/", 18, 0.03, READ),
    Route("/products/", 16, 0.09, READ),
    Route("/products/<slug:product>/", 26, 0.06, READ, 0.04),
    Route("/search/", 12, 0.16, READ),
    Route("/cart/", 10, 0.05, BOTH),
    Route("/checkout/", 5, 0.28, BOTH),
    Route("/accounts/login/", 4, 0.12, {"GET": 1, "POST": 2}),
    Route("/accounts/orders/<int:order>/", 4, 0.08, READ, 0.03),
    Route("/api/v1/stock/<int:product>/", 4, 0.02, READ),
    Route("/reports/sales/", 1, 1.2, READ),
)
HARVEST_ROUTES = (
    Route("/jobs", 45, 0.02, {"GET": 5, "POST": 1}),
    Route("/jobs/{job_id}", 35, 0.015, {"GET": 8, "DELETE": 1}, 0.02),
    Route("/items", 15, 0.12, READ),
    Route("/export", 5, 0.7, WRITE),
)


CONSUMERS = {"acme-research": 10, "uni-north": 5, "press-monitor": 3, "key-5d0c2f31aa": 2, "trial": 1}
"""On whose behalf the scrapers' API is asked, with their weights: customers, a key's digest, those who try it."""
PARTNERS = {"warehouse-west": 3, "marketplace": 1}
"""Who asks the shop's API."""
PARTNER_ROUTES = "/api/"


@dataclass(frozen=True, slots=True)
class Model:
    """A language model: its share of the calls, what it does, typical tokens in and out, prices of a million."""

    name: str
    share: float
    operation: str
    input_tokens: int
    output_tokens: int
    prices: dict[str, float]


MODELS = (
    Model(
        "atlas-large-2", 2, "chat", 2600, 420, {"input": 3.0, "cache_read": 0.3, "cache_creation": 3.75, "output": 15.0}
    ),
    Model(
        "atlas-small-2", 6, "chat", 900, 150, {"input": 0.25, "cache_read": 0.025, "cache_creation": 0.3, "output": 1.0}
    ),
    Model("atlas-embed-1", 3, "embeddings", 700, 0, {"input": 0.02}),
    Model("atlas-preview", 0.3, "chat", 1200, 300, {}),
)
"""The preview's price is in no list."""
PRICES = {model.name: model.prices for model in MODELS if model.prices}


@dataclass(frozen=True, slots=True)
class Api:
    """An external API. `quota` calls are allowed in each window; None means no limit."""

    name: str
    endpoint: str
    method: str
    calls_per_second: float
    typical_seconds: float
    cost: float = 0.0
    quota: int | None = None
    window_seconds: int = 3600
    models: tuple[Model, ...] = ()
    consumers: dict[str, int] | None = None
    token_quota: int | None = None


SHOP_APIS = (
    Api("payments", "https://api.payments.example/v2/charges", "POST", 0.07, 0.4, cost=0.02),
    Api("geocoder", "https://geo.example/lookup", "GET", 0.09, 0.12, cost=0.0005, quota=420),
    Api("mailer", "https://mail.example/send", "POST", 0.07, 0.2, cost=0.0008, quota=6000, window_seconds=86_400),
)
HARVEST_APIS = (
    Api(
        "papers-index",
        "https://papers.example/search",
        "GET",
        0.1,
        0.7,
        quota=140,
        window_seconds=900,
        consumers=CONSUMERS,
    ),
    Api(
        "translate", "https://translate.example/v1/text", "POST", 0.08, 0.5, cost=0.004, quota=380, consumers=CONSUMERS
    ),
    Api(
        "atlas-ai",
        "https://api.atlas.example/v1/messages",
        "POST",
        0.08,
        2.5,
        quota=900,
        models=MODELS,
        consumers=CONSUMERS,
        token_quota=1_500_000,
    ),
)


SHOP_TASKS = {
    "shop.tasks.send_mail": ("mail", 0.05, 0.4),
    "shop.tasks.resize_image": ("default", 0.04, 2.0),
    "shop.tasks.rebuild_index": ("default", 0.01, 20.0),
}
"""Background tasks: queue, how many start in a second, typical duration in seconds."""


@dataclass(frozen=True, slots=True)
class Scraper:
    """A scraper: how often a job of it starts, how long one takes, how many items it yields, whose proxies it uses."""

    name: str
    site: str
    jobs_per_second: float
    typical_seconds: float
    typical_items: int
    proxy: str | None = None


PROXIES = {"meridian": (0.0004, 3.5), "kite": (0.002, 0.0)}
"""Providers of proxies: the price of a request, and of 1e9 bytes."""

SCRAPERS = (
    Scraper("papers", "papers.example", 0.07, 30, 60),
    Scraper("news", "news.example", 0.08, 18, 25, "meridian"),
    Scraper("prices", "prices.example", 0.07, 55, 140, "kite"),
)

FIELDS: dict[str, tuple[str, float]] = {
    "title": ("text", 1.0), "url": ("text", 1.0), "published": ("time", 0.97), "author.name": ("text", 0.6),
    "price": ("number", 0.99), "images": ("list", 0.8),
}  # fmt: skip
"""Fields of scraped items: their type, and how often they are filled."""

ACTIVITIES: tuple[tuple[str, str, str, int], ...] = (
    ("search", "catalogue", "search", 30),
    ("view_product", "catalogue", "product page", 34),
    ("add_to_cart", "checkout", "cart", 14),
    ("order", "checkout", "payment", 5),
    ("edit_article", "content", "editor", 3),
    ("export_report", "reports", "sales", 2),
    ("change_settings", "accounts", "settings", 2),
)
"""What users do: activity, module, feature, weight."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A custom sample: its values vary about `typical`; a counter adds them up."""

    name: str
    kind: SampleKind
    typical: float
    unit: str | None = None
    labels: dict[str, Any] | None = None


SHOP_SAMPLES = (
    Sample("orders", "counter", 2, labels={"region": "north"}),
    Sample("orders", "counter", 3, labels={"region": "south"}),
    Sample("basket_value", "histogram", 48),
    Sample("template_render_time", "histogram", 22, "ms"),
    Sample("search_index_age", "gauge", 4, "minutes"),
)
HARVEST_SAMPLES = (
    Sample("pages_fetched", "counter", 40),
    Sample("document_size", "summary", 220, "KB"),
    Sample("browser_pool_used", "gauge", 55, "percent"),
)
