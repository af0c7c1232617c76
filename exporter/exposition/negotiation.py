"""The exposition format that a scraper asks for, chosen by its Accept header; encoded parts put together.

prometheus_client's own `choose_encoder` takes the first format it knows whatever the q values say, raises TypeError for
a version it cannot parse, and repeats any version that a client makes up in the content type.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import cast

from prometheus_client.core import Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

_END = b"# EOF\n"

_OFFERS = (
    ("application/openmetrics-text", "1.0.0"),
    ("text/plain", "1.0.0"),
    ("text/plain", "0.0.4"),
)
"""The formats there are, best first: of two with the same weight the first is chosen."""

_FALLBACK = _OFFERS[-1]

_ESCAPINGS = frozenset({"allow-utf-8", "underscores", "dots", "values"})
"""The ways to write names with other characters; ours have none, so that each way gives the same text."""


@dataclass(frozen=True, slots=True)
class _Accepted:
    """One entry of an Accept header: media type, parameters and weight."""

    media: str
    parameters: dict[str, str]
    weight: float

    def matches(self, media: str, version: str) -> bool:
        """Return whether an offer is accepted; without a version that is the first one of its format."""
        if self.media in ("*/*", "text/*"):
            return (media, version) == _FALLBACK
        default = _FALLBACK[1] if media == _FALLBACK[0] else "1.0.0"
        return self.media == media and self.parameters.get("version", default) == version


class _Registry:
    """Metrics that are made already, in the form that prometheus_client's encoders ask for."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = list(metrics)

    def collect(self) -> list[Metric]:
        return self._metrics


class Format:
    """One negotiated format, which encodes metrics."""

    def __init__(self, accept: str) -> None:
        """Choose by the header's q values; without a match the classic text format 0.0.4."""
        entries = list(_parse(accept))
        found = [
            (entry.weight, -rank, entry)
            for rank, offer in enumerate(_OFFERS)
            for entry in entries
            if entry.matches(*offer)
        ]
        _, rank, entry = max(found, key=lambda item: item[:2], default=(0.0, 1 - len(_OFFERS), None))
        media, version = _OFFERS[-rank]
        escaping = entry.parameters.get("escaping", "") if entry else ""
        self.openmetrics = media == "application/openmetrics-text"
        self.content_type = f"{media}; version={version}; charset=utf-8"
        if escaping in _ESCAPINGS:
            self.content_type += f"; escaping={escaping}"

    def encode(self, metrics: Iterable[Metric]) -> bytes:
        """Return a part of an exposition: complete families, without the end mark."""
        encoder = cast(Callable[[_Registry], bytes], generate_openmetrics if self.openmetrics else generate_latest)
        return encoder(_Registry(metrics)).removesuffix(_END)

    def join(self, parts: Iterable[bytes]) -> bytes:
        """Return parts as one body; no family may be in two of them."""
        body = b"".join(parts)
        return body + _END if self.openmetrics else body


def _parse(accept: str) -> Iterable[_Accepted]:
    """Yield the entries of an Accept header, without those refused by q=0 (RFC 9110, 12.5.1)."""
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
            yield _Accepted(media, parameters, weight)
