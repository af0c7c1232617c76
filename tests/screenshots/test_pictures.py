"""The committed pictures of dashboards, and the document that shows them."""

import re

from grafana.design.links import UIDS
from grafana.generate import boards
from tools.screenshots.__main__ import PICTURES
from tools.stack.checkout import CHECKOUT

DOCUMENT = (CHECKOUT / "docs/dashboards.md").read_text()
LARGEST_BYTES = 2_000_000


def test_the_document_shows_every_dashboard() -> None:
    """In the order of the menu, with the question that it answers, a text and its picture."""
    sections = re.findall(r"^## (.+)\n\n\*(.+?)\* (.+?)\n\n!\[\1\]\(pictures/(\w+)\.webp\)$", DOCUMENT, re.M | re.S)
    shown = [(name, title, question.replace("\n", " ")) for title, question, _, name in sections]

    assert shown == [(name, title, boards()[name].question) for name, title in UIDS.items()]


def test_pictures_are_there_shown_and_small() -> None:
    """Those that the documents show, no other, below 2 MB in all."""
    documents = DOCUMENT + (CHECKOUT / "README.md").read_text()
    shown = set(re.findall(r"pictures/([a-z-]+\.webp)", documents))
    pictures = {path.name: path.stat().st_size for path in PICTURES.iterdir()}

    assert set(pictures) == shown
    assert sum(pictures.values()) < LARGEST_BYTES
