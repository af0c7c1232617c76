"""What is a fault of a dashboard as a browser shows it, and the table of all."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

KINDS = ("error", "empty", "title", "header", "value", "columns", "legend", "request", "console")
"""error: a panel's triangle. empty: no data without a reason, or a chart in which nothing is drawn in colour.
title, header, value: a text that is cut off. columns: a table wider than its panel. legend: an entry cut off, or out of
view below a chart. request, console: what the browser reports."""

NO_DATA = "No data"
PHONE = 500
"""Up to this width, people expect to scroll tables sideways, and legends, which all are below their charts."""
LEAST_COLOURED = 0.05
"""Share of what is drawn: marks across grey bars make up 0.02, lines and thresholds beside their axes 0.9."""


@dataclass(frozen=True)
class View:
    """How a dashboard is looked at: on a laptop, a screen or a phone by its width. more is added to its address."""

    board: str
    range: str
    width: int
    theme: str
    more: str = ""

    @property
    def height(self) -> int:
        """Return how much of a page such a screen shows, in pixels."""
        return {1366: 768, 390: 844}.get(self.width, 900)


@dataclass(frozen=True)
class Seen:
    """What a view showed: the answer of facts.js, requests that failed and errors in the console, as texts."""

    view: View
    panels: Sequence[Mapping[str, Any]]
    requests: Sequence[str] = ()
    console: Sequence[str] = ()

    def screens_until(self, title: str) -> int | None:
        """Return on which screen the first row of a table is whole, from 1; None where there is no row."""
        rows = [panel["first_row_bottom"] for panel in self.panels if panel["title"] == title]
        return math.ceil(rows[0] / self.view.height) if rows and rows[0] else None


@dataclass(frozen=True)
class Fault:
    """One of KINDS; panel is empty where it belongs to the page, pixels is how much cannot be seen."""

    kind: str
    panel: str
    text: str
    pixels: int = 0


def judge(seen: Seen, may_be_empty: Mapping[str, str]) -> list[Fault]:
    """Return the faults of a view; may_be_empty names the panels that may have no data, with the reason."""
    found = [Fault("request", "", text) for text in seen.requests]
    found += [Fault("console", "", text) for text in seen.console]
    for panel in seen.panels:
        title, empty = panel["title"], panel["empty"]
        if panel["error"]:
            found.append(Fault("error", title, "an error triangle"))
        if panel["coloured"] is not None and panel["coloured"] < LEAST_COLOURED and not may_be_empty.get(title):
            found.append(Fault("empty", title, "nothing is drawn, or all in grey"))
        if empty and _is_no_answer(empty) and not (empty == NO_DATA and may_be_empty.get(title)):
            found.append(Fault("empty", title, empty))
        found += [Fault(cut["kind"], title, f"'{cut['text']}' is cut off", cut["pixels"]) for cut in panel["cut"]]
        if seen.view.width > PHONE:
            found += [Fault("columns", title, "wider than its panel", pixels) for pixels in panel["columns_beyond"]]
            found += [Fault("legend", title, "entries out of view", pixels) for pixels in panel["legends_beyond"]]
    return found


def _is_no_answer(message: str) -> bool:
    """Return whether Grafana itself says this; a sentence of the panel's own ("No alert fires") is an answer."""
    return message == NO_DATA or message.startswith(("Data is missing", "Cannot visualize"))


def table(judged: Mapping[View, Sequence[Fault]]) -> Iterator[str]:
    """Return lines: the number of faults of each kind per view, then each fault once with the views that have it."""
    yield f"{'dashboard':12} {'range':>5} {'width':>5} {'theme':5} " + " ".join(f"{kind:>7}" for kind in KINDS)
    total: Counter[str] = Counter()
    places: defaultdict[tuple[str, str, str, str], list[tuple[View, int]]] = defaultdict(list)
    for view, faults in judged.items():
        kinds = Counter(fault.kind for fault in faults)
        total += kinds
        yield f"{view.board:12} {view.range:>5} {view.width:>5} {view.theme:5} " + _numbers(kinds)
        for fault in faults:
            places[view.board, fault.kind, fault.panel, fault.text].append((view, fault.pixels))
    yield f"{'all':30} " + _numbers(total)
    for (board, kind, panel, text), found in sorted(places.items()):
        pixels = max(pixels for _, pixels in found)
        size = f", {pixels} px" if pixels else ""
        yield f"{': '.join(filter(None, (board, kind, panel, text)))}{size}   [{_where([view for view, _ in found])}]"


def _numbers(kinds: Mapping[str, int]) -> str:
    return " ".join(f"{kinds.get(kind) or '-':>7}" for kind in KINDS)


def _where(views: Sequence[View]) -> str:
    parts = ({str(getattr(view, key)): None for view in views} for key in ("range", "width", "theme"))
    return ", ".join("/".join(part) for part in parts)
