"""Format text for a terminal, which obeys control characters: none of those in foreign text reaches it."""

from collections.abc import Iterator, Sequence


def one_line(text: object, longest: int | None = None) -> str:
    """Return a text as one printable line, of at most so many characters."""
    shown = "".join(letter if letter.isprintable() else " " if letter.isspace() else "?" for letter in str(text))
    return shown if longest is None or len(shown) <= longest else f"{shown[: longest - 1]}…"


def plural(number: int, noun: str) -> str:
    """Return `1 issue`, `2 issues`, `2 queries`, `2 watches`."""
    if number != 1:
        noun = f"{noun[:-1]}ies" if noun.endswith("ry") else f"{noun}es" if noun.endswith("ch") else f"{noun}s"
    return f"{number:,} {noun}"


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: bool = False) -> Iterator[str]:
    """Yield the headings and a line per row, columns two spaces apart; nothing where there are no rows.

    With `numbers` all columns but the first hold them: they end at the same place.
    """
    if not rows:
        return
    cells = [tuple(map(one_line, row)) for row in (headings, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for first, *others in cells:
        aligned = [
            other.rjust(width) if numbers else other.ljust(width)
            for other, width in zip(others, widths[1:], strict=True)
        ]
        yield "  ".join((first.ljust(widths[0]), *aligned)).rstrip()
