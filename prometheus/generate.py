"""Write the rules of all indicators: python -m prometheus.generate, from the top of the repository."""

from pathlib import Path

from exporter.indicators import rules

FOLDER = Path(__file__).parent / "rules"


def committed() -> dict[Path, str]:
    """Return the text of every file that is committed."""
    return {FOLDER / f"{name}.yml": text for name, text in rules.texts().items()}


if __name__ == "__main__":
    for path, text in committed().items():
        path.write_text(text, encoding="utf-8")
