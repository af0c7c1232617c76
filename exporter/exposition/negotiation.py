"""Choose the exposition format a scraper wants, and put encoded parts together.

prometheus_client's own `choose_encoder` takes the first format it knows whatever the q values say, raises TypeError for
a version it cannot read, and repeats any version a client makes up in the content type.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import cast

from prometheus_client.core import Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from exporter.exposition.collector import Batch

_END = b"# EOF\n"

_OFFERS = (
    ("application/openmetrics-text", "1.0.0"),
    ("text/plain", "1.0.0"),
    ("text/plain", "0.0.4"),
)
"""What can be given, best first: where two are wanted alike, the first is chosen."""

_FALLBACK = _OFFERS[-1]

_ESCAPINGS = frozenset({"allow-utf-8", "underscores", "dots", "values"})
"""The ways to write names that are not classic ones; ours all are, so that each way gives the same text."""


@dataclass(frozen=True, slots=True)
class _Wish:
    """Hold one entry of an Accept header: media type, its parameters and how much it is wanted."""

    media: str
    parameters: dict[str, str]
    weight: float

    def matches(self, media: str, version: str) -> bool:
        """Tell whether an offer is meant. Who takes anything, or names no version, gets what each format began as."""
        if self.media in ("*/*", "text/*"):
            return (media, version) == _FALLBACK
        default = _FALLBACK[1] if media == _FALLBACK[0] else "1.0.0"
        return self.media == media and self.parameters.get("version", default) == version


class Format:
    """Encode metrics in one negotiated format."""

    def __init__(self, accept: str) -> None:
        """Choose by the header's q values; without any match the classic text format 0.0.4."""
        wishes = list(_wishes(accept))
        found = [
            (wish.weight, -rank, wish) for rank, offer in enumerate(_OFFERS) for wish in wishes if wish.matches(*offer)
        ]
        _, rank, wish = max(found, key=lambda item: item[:2], default=(0.0, 1 - len(_OFFERS), None))
        media, version = _OFFERS[-rank]
        escaping = wish.parameters.get("escaping", "") if wish else ""
        self.openmetrics = media == "application/openmetrics-text"
        self.content_type = f"{media}; version={version}; charset=utf-8"
        if escaping in _ESCAPINGS:
            self.content_type += f"; escaping={escaping}"

    def encode(self, metrics: Iterable[Metric]) -> bytes:
        """Return a part of an exposition: whole families, without the end mark."""
        encoder = cast(Callable[[Batch], bytes], generate_openmetrics if self.openmetrics else generate_latest)
        return encoder(Batch(metrics)).removesuffix(_END)

    def join(self, parts: Iterable[bytes]) -> bytes:
        """Put parts together; no family may stand in two of them."""
        body = b"".join(parts)
        return body + _END if self.openmetrics else body


def _wishes(accept: str) -> Iterable[_Wish]:
    """Yield the entries of an Accept header that are not refused with q=0 (RFC 9110, 12.5.1)."""
    for entry in accept.lower().split(","):
        media, *rest = (part.strip() for part in entry.split(";"))
        parameters = {
            name.strip(): value.strip().strip('"') for name, _, value in (part.partition("=") for part in rest)
        }
        try:
            weight = float(parameters.get("q", "1"))
        except ValueError:
            weight = 0.0
        if 0.0 < weight <= 1.0:
            yield _Wish(media, parameters, weight)
