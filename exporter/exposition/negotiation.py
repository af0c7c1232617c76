"""Choose the exposition format a scraper wants, and put encoded parts together."""

from collections.abc import Callable, Iterable
from typing import cast

from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder

from exporter.exposition.collector import Batch

_END = b"# EOF\n"


class Format:
    """Encode metrics in one negotiated format."""

    def __init__(self, accept: str) -> None:
        """Choose by the header's q values; without any match the classic text format 0.0.4."""
        encoder, content_type = choose_encoder(_by_preference(accept))
        self._encode = cast(Callable[[Batch], bytes], encoder)
        self.content_type: str = content_type
        self.openmetrics = content_type.startswith("application/openmetrics-text")

    def encode(self, metrics: Iterable[Metric]) -> bytes:
        """Return a part of an exposition: whole families, without the end mark."""
        return self._encode(Batch(metrics)).removesuffix(_END)

    def join(self, parts: Iterable[bytes]) -> bytes:
        """Put parts together; no family may stand in two of them."""
        body = b"".join(parts)
        return body + _END if self.openmetrics else body


def _by_preference(accept: str) -> str:
    """Sort an Accept header by q, best first, without what is refused; choose_encoder takes the first it knows."""
    ranked = []
    for entry in accept.split(","):
        weight = 1.0
        for parameter in entry.split(";")[1:]:
            name, _, value = parameter.strip().partition("=")
            if name == "q":
                try:
                    weight = float(value)
                except ValueError:
                    weight = 0.0
        if weight > 0:
            ranked.append((weight, entry.strip()))
    return ",".join(entry for _, entry in sorted(ranked, key=lambda pair: -pair[0]))
