"""Format text for a terminal, which obeys control characters: none of those in foreign text reaches it."""

from collections.abc import Iterator, Sequence


def one_line(text: object, longest: int | None = None) -> str:
    """Return a text as one printable line, of at most so many characters."""
    shown = "".join(letter if letter.isprintable() else " " if letter.isspace() else "?" for letter in str(text))
    return shown if longest is None or len(shown) <= longest else f"{shown[: longest - 1]}…"


def plural(number: int, noun: str) -> str:
    """Return `1 issue`, `2 issues`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield the headings and a line per row, columns two spaces apart; nothing where there are no rows."""
    if not rows:
        return
    cells = [tuple(map(one_line, row)) for row in (headings, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
