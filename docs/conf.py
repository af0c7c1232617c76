"""The documentation as a site, by Sphinx: `make docs`. Its source is the checkout: pages link to files beside docs/."""

import os.path
import re
from pathlib import Path

from sphinx.application import Sphinx

from exporter import __version__

ROOT = Path(__file__).parents[1]
LINK = re.compile(r"\[([^\]]+)\]\(([\w./-]+)\)")

project = "platform-exporter"
version = release = __version__
extensions = ["myst_parser", "sphinxcontrib.mermaid"]
root_doc = "README"
include_patterns = ["*.md", "docs/*.md", "grafana/*.md", "prometheus/*.md", "sdk/*.md", "tools/demo/*.md"]
html_theme = "furo"
html_title = f"{project} {version}"
# As GitHub makes them, so that a link holds in both.
myst_heading_anchors = 4
myst_fence_as_directive = ["mermaid"]
highlight_language = "none"


def adapt(_: Sphinx, page: str, source: list[str]) -> None:
    """Take the links from names of folders, which a site does not list, and give the first page its contents."""
    here = (ROOT / page).parent
    source[0] = LINK.sub(lambda link: link[1] if (here / link[2]).is_dir() else link[0], source[0])
    if page == root_doc:
        source[0] += "\n".join(["", "```{toctree}", ":hidden:", *contents(), "```", ""])


def contents() -> list[str]:
    """Return the pages: what docs/README.md leads to, in its order, and the rest."""
    links = LINK.findall((ROOT / "docs/README.md").read_text(encoding="utf-8"))
    pages = dict.fromkeys(os.path.normpath(f"docs/{target}").removesuffix(".md") for _, target in links)
    pages.pop(root_doc)
    return [*pages, "docs/README", "sdk/README", "tools/demo/README", "SECURITY", "CHANGELOG"]


def setup(app: Sphinx) -> None:
    """Connect it."""
    app.connect("source-read", adapt)
