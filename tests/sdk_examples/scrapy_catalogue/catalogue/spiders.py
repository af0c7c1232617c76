"""A spider that reads the shop's catalogue, and stumbles over its second product."""

from collections.abc import Iterator
from typing import Any

import scrapy
from scrapy.http import Response


class Products(scrapy.Spider):
    """Scrape a page per product."""

    name = "products"

    def __init__(self, shop: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.start_urls = [shop]

    def parse(self, response: Response) -> Iterator[scrapy.Request]:
        """Follow the links to products."""
        yield from response.follow_all(css="a", callback=self.parse_product)

    def parse_product(self, response: Response) -> Iterator[dict[str, str]]:
        """Take a product's name."""
        name = response.css("h1::text").get("")
        if name == "product 2":
            raise ValueError("a name without a colour")
        yield {"name": name}
