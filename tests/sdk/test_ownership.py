"""Whose code a frame is: the application's, also where pip installed it, a library's, or unknown."""

import sys
from pathlib import Path

import pytest

from platform_sdk.capture import ownership
from platform_sdk.capture.ownership import Ownership, installed_applications, module_name

PACKAGES = "/usr/local/lib/python3.11/site-packages"


@pytest.fixture(autouse=True)
def nobody_began(monkeypatch: pytest.MonkeyPatch) -> None:
    """No other test's application is known."""
    monkeypatch.setattr(ownership, "_starter", set())


@pytest.mark.parametrize(
    ("file", "module", "owner"),
    [
        ("/app/shop/views.py", "shop.views", "application"),
        ("/app/requests/api.py", "requests.api", "application"),
        (f"{PACKAGES}/requests/api.py", "requests.api", "library"),
        (f"{PACKAGES}/shop/views.py", "shop.views", "installed"),
        (f"{PACKAGES}/single.py", "single", "installed"),
        (f"{sys.base_prefix}/lib/python3.11/json/decoder.py", "json.decoder", "library"),
        ("<string>", "shop.models", "library"),
        ("<stdin>", "__main__", "application"),
        ("pandas/_libs/index.pyx", "pandas._libs.index", "library"),
        ("fastlib/core.pyx", "fastlib.core", "installed"),
        ("/app/venv/lib/python3.12/site-packages/celery/app/trace.py", "celery.app.trace", "library"),
    ],
)
def test_by_where_it_lies(file: str, module: str, owner: str) -> None:
    """What is installed and no known library may be the application."""
    assert Ownership().owner(file, module) == owner


def test_the_option_decides() -> None:
    """Prefixes of modules, whole names only, wherever they lie."""
    owner = Ownership(("shop",)).owner

    assert owner(f"{PACKAGES}/shop/views.py", "shop.views") == "application"
    assert owner("/app/shopping/views.py", "shopping.views") == "library"
    assert owner("<string>", "shop.views") == "library"


def test_who_calls_init_is_the_application() -> None:
    """The first caller that is not a library: here the installed shop, by way of an installed framework."""
    began = compile("lambda: ownership.started_by(sys._getframe())", f"{PACKAGES}/django/apps.py", "eval")
    framework = eval(began, {"ownership": ownership, "sys": sys})
    shop = eval(compile("lambda: begin()", f"{PACKAGES}/shop/wsgi.py", "eval"), {"begin": framework})
    shop()

    assert Ownership().owner(f"{PACKAGES}/shop/views.py", "shop.views") == "application"
    assert Ownership().owner(f"{PACKAGES}/other/views.py", "other.views") == "installed"


def installed(folder: Path, name: str, *, requires: str = "", url: str | None = None) -> None:
    """Write what pip writes of a distribution with one package."""
    place = folder / f"{name}-1.0.dist-info"
    place.mkdir()
    (folder / name).mkdir()
    for file in ("__init__.py", "views.py"):  # from Python 3.12 on only what is there is listed
        (folder / name / file).touch()
    (place / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{requires}\n")
    (place / "RECORD").write_text(f"{name}/__init__.py,,\n{name}/views.py,,\n{name}-1.0.dist-info/METADATA,,\n")
    if url is not None:
        (place / "direct_url.json").write_text(url)


def test_what_its_installation_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Installed from a folder, or requiring this SDK: an application. From an index, or a wheel: not."""
    installed(tmp_path, "shop", url='{"url": "file:///app", "dir_info": {}}')
    installed(tmp_path, "prices", requires="Requires-Dist: platform-exporter-sdk>=1.0")
    installed(tmp_path, "wheel_of_a_library", url='{"url": "file:///x.whl", "archive_info": {}}')
    installed(tmp_path, "from_an_index", requires="Requires-Dist: requests")
    monkeypatch.setattr(sys, "path", [str(tmp_path)])

    assert installed_applications() == {"shop", "prices"}


def test_damaged_metadata_harms_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is known then."""
    place = tmp_path / "broken-1.0.dist-info"
    place.mkdir()
    (place / "METADATA").write_bytes(b"\xff\xfe")
    monkeypatch.setattr(sys, "path", [str(tmp_path)])

    assert installed_applications() == frozenset()


def test_main_is_the_module_that_its_file_is(tmp_path: Path) -> None:
    """By the packages around it."""
    package = tmp_path / "shop" / "jobs"
    package.mkdir(parents=True)
    for folder in (package, package.parent):
        (folder / "__init__.py").touch()

    assert module_name("__main__", str(package / "daily.py")) == "shop.jobs.daily"
    assert module_name("__main__", str(tmp_path / "tool.py")) == "tool"
    assert module_name("shop.views", "/x/y.py") == "shop.views"
    assert module_name("/srv/a/templates/page.html", "/srv/a/templates/page.html") == "templates/page.html"
