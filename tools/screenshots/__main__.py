"""The command `python -m tools.screenshots`: look at every dashboard of a running Grafana, and write pictures.

It writes the pictures of docs/dashboards.md while the demo's breach fires, and waits for that. With --check it looks at
every dashboard, range, width and theme, and prints a table of faults instead. Exit status: 0 without faults, 1 with
some, or where there is no Grafana or browser, 2 for wrong usage.
"""

import argparse
import itertools
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

try:
    import requests

    from grafana.boards import overview
    from grafana.design.links import UIDS
    from grafana.generate import boards
    from tools.screenshots import notification
    from tools.screenshots.browser import Browser, ScreenshotError, find_browser, opened, sign_in
    from tools.screenshots.faults import Fault, View, judge, table
    from tools.stack.checkout import CHECKOUT
    from tools.stack.errors import StackError
    from tools.stack.state import StackState
    from tools.stack.status import ALERT
except ModuleNotFoundError as error:
    sys.exit(f"screenshots: the Python module {error.name} is missing: use .venv/bin/python, which `make types` makes")

CHOICES = {
    "boards": tuple(UIDS),
    "ranges": ("1h", "24h", "7d"),
    "widths": (1366, 1600, 390),
    "themes": ("dark", "light"),
}
PICTURES, PICTURE_NAME = CHECKOUT / "docs/pictures", "{0.board}"
PICTURE_RANGE, PICTURE_WIDTH, PICTURE_HEIGHT, MAIL_WIDTH = "3h", 1180, 3000, 700
README, README_HEIGHT = ("overview", "http", "scraping", "error"), 800
"""The dashboards whose tops, of this many pixels, the README shows."""
PICTURE_FRAME = "&kiosk=true&_dash.hideTimePicker=true"
"""The dashboard alone, without Grafana's own menus."""
BREACH_SECONDS = 3900.0
"""The demo's incident begins once an hour."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command of these arguments, by default those of the process; return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        state = StackState.open(options.state)
        url = options.url or (state.url("grafana") if "grafana" in state.ports else "http://127.0.0.1:3000")
        url = url.rstrip("/")
        # The stack's own password goes to the stack's own Grafana only.
        usual = state.folder / "grafana.password"
        password = _read(options.password_file or (usual if usual.exists() and not options.url else None))
        session = sign_in(url, user=options.user, password=password, token=_read(options.token_file))
        program = find_browser(options.browser)
        breach = [] if options.check else _breach(session, url)
        with opened(program, url, session) as browser:
            if options.check:
                judged = _look(browser, _views(options), options.pictures, "{0.board}-{0.range}-{0.width}-{0.theme}")
            else:
                judged = _take(browser, breach, options.pictures or PICTURES, home=state.folder.parent)
    except (ScreenshotError, StackError, OSError) as error:
        print(f"screenshots: {error}", file=sys.stderr)
        return 1
    print(*table(judged), sep="\n")
    return 1 if any(judged.values()) else 0


def _views(options: argparse.Namespace) -> list[View]:
    return [
        View(board, span, width, theme)
        for board, span, theme in itertools.product(options.boards, options.ranges, options.themes)
        for width in options.widths
    ]


def _look(
    browser: Browser, views: Iterable[View], folder: Path | None, name: str, home: str = ""
) -> dict[View, list[Fault]]:
    """Return the faults of each view; write its picture where there is a folder for it, as pictures with all open."""
    judged, known = {}, boards()
    for view in views:
        seen = browser.look(view, unfold=name != PICTURE_NAME)
        judged[view] = judge(seen, known[view.board].may_be_empty)
        screens = seen.screens_until(overview.FIRING)
        where = f", first firing alert whole on screen {screens}" if screens else ""
        what = f"{view.board} {view.range} {view.width} {view.theme}"
        print(f"{what}: {len(judged[view])} faults{where}", file=sys.stderr, flush=True)
        if home:
            browser.replace(home, "/srv")
        if folder:
            browser.picture(folder / f"{name.format(view)}.webp", PICTURE_HEIGHT if name == PICTURE_NAME else None)
        if folder and name == PICTURE_NAME and view.board in README:
            browser.picture(folder / f"{view.board}-top.webp", README_HEIGHT)
    return judged


def _take(browser: Browser, breach: Sequence[dict[str, Any]], folder: Path, home: Path) -> dict[View, list[Fault]]:
    """Write the pictures of all dashboards and of the breach's notification; return the faults seen on the way.

    home is the folder of the demo's code: stack traces name it, and where it is on this machine is nobody's business.
    """
    judged = _look(browser, _pictured(browser), folder, PICTURE_NAME, str(home))
    browser.show(notification.mail(breach), MAIL_WIDTH)
    browser.picture(folder / "notification.webp")
    size = sum(path.stat().st_size for path in folder.glob("*.webp"))
    print(f"pictures of {len(judged)} dashboards and a mail in {folder}, {size / 1e6:.2f} MB", file=sys.stderr)
    return judged


def _pictured(browser: Browser) -> Iterator[View]:
    """Return the views of the pictures: the issue is the first that the page before, of all issues, leads to."""
    for board in boards():
        issue = browser.variable_of_link("error", "fingerprint") if board == "error" else ""
        more = PICTURE_FRAME + (f"&var-fingerprint={issue}" if issue else "")
        yield View(board, PICTURE_RANGE, PICTURE_WIDTH, "dark", more)


def _breach(session: requests.Session, url: str) -> list[dict[str, Any]]:
    """Return the alerts of the demo's breach as soon as they fire."""
    deadline = time.monotonic() + BREACH_SECONDS
    found = notification.firing(session, url, ALERT)
    if not found:
        print(f"waiting for the demo's breach ({ALERT}): it lasts 10 minutes of each hour", file=sys.stderr)
    while not found:
        if time.monotonic() > deadline:
            raise ScreenshotError(f"{ALERT} did not fire within {BREACH_SECONDS / 60:.0f} min: see `make status`")
        time.sleep(5)
        found = notification.firing(session, url, ALERT)
    return found


def _read(path: Path | None) -> str | None:
    return path.read_text().strip() if path else None


def _parser() -> argparse.ArgumentParser:
    text = "Write pictures of the dashboards of a running Grafana, or look for what a person would see wrong in them."
    parser = argparse.ArgumentParser(prog="python -m tools.screenshots", description=text)
    parser.add_argument("--check", action="store_true", help="look at everything and print a table of faults")
    parser.add_argument("--url", help="address of Grafana (default: that of `make up`)")
    parser.add_argument("--user", default="admin", help="who signs in (default: admin)")
    parser.add_argument("--password-file", type=Path, metavar="FILE", help="the password (default: that of `make up`)")
    parser.add_argument("--token-file", type=Path, metavar="FILE", help="a service account's token instead")
    parser.add_argument("--state", type=Path, default=CHECKOUT / ".stack", metavar="DIR", help="folder of `make up`")
    parser.add_argument("--browser", type=Path, metavar="FILE", help="program of Chromium or Chrome (default: in PATH)")
    parser.add_argument("--pictures", type=Path, metavar="DIR", help="write pictures here (with --check: of each view)")
    check = parser.add_argument_group("what --check looks at, one or more each (default: all)")
    for name, values in CHOICES.items():
        one: dict[str, Any] = {
            "type": type(values[0]),
            "choices": values,
            "default": values,
            "metavar": name[:-1].upper(),
        }
        check.add_argument(f"--{name}", nargs="+", help=", ".join(map(str, values)), **one)
    return parser


if __name__ == "__main__":
    sys.exit(main())
