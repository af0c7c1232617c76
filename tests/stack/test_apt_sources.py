"""The machine's own archive is read from its package sources."""

from pathlib import Path

import pytest

from tools.stack.errors import StackError
from tools.stack.programs.debian import source_lines

DEBIAN = """\
Types: deb
# an older one: http://snapshot.example
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /etc/passwd

Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main
"""
MAKER = """\
Types: deb
URIs: https://maker.example/node
Suites: nodistro
Components: main
"""


@pytest.fixture
def apt_folder(tmp_path: Path) -> Path:
    """Return an empty copy of /etc/apt, beside it an os-release of Debian 12."""
    (tmp_path / "os-release").write_text('NAME="Debian GNU/Linux"\nVERSION_CODENAME=bookworm\nID=debian\n')
    (tmp_path / "apt/sources.list.d").mkdir(parents=True)
    return tmp_path / "apt"


def _lines(apt_folder: Path, suite: str | None) -> list[str]:
    return source_lines(suite, apt_folder, apt_folder.parent / "os-release")


def test_only_the_distributions_own_archive_is_asked(apt_folder: Path) -> None:
    """A maker's repository that does not answer must not hold up the update."""
    (apt_folder / "sources.list.d/debian.sources").write_text(DEBIAN)
    (apt_folder / "sources.list.d/maker.sources").write_text(MAKER)
    (apt_folder / "sources.list.d/cloud.list").write_text("deb https://maker.example/apt cloud-bookworm main\n")

    assert _lines(apt_folder, None) == [
        "deb [signed-by=/etc/passwd] http://mirror.example/debian bookworm main",
        "deb [signed-by=/etc/passwd] http://mirror.example/debian bookworm-updates main",
        "deb http://mirror.example/debian-security bookworm-security main",
    ]


def test_another_suite_is_asked_of_the_main_archive(apt_folder: Path) -> None:
    """The archive of security updates has no such suite."""
    (apt_folder / "sources.list.d/debian.sources").write_text(DEBIAN)

    assert _lines(apt_folder, "sid") == ["deb [signed-by=/etc/passwd] http://mirror.example/debian sid main"]


def test_the_old_notation_is_read(apt_folder: Path) -> None:
    """One line per source, options in brackets, CDs and source packages left out."""
    (apt_folder / "sources.list").write_text(
        "# deb http://commented.example/debian bookworm main\n"
        "deb cdrom:[Debian 12]/ bookworm main\n"
        "deb-src http://mirror.example/debian bookworm main\n"
        "deb [arch=amd64 signed-by=/etc/passwd] http://mirror.example/debian bookworm main contrib # ours\n"
    )

    assert _lines(apt_folder, None) == [
        "deb [signed-by=/etc/passwd] http://mirror.example/debian bookworm main contrib"
    ]


def test_a_machine_without_such_a_source_is_told(apt_folder: Path) -> None:
    """The message names the folder and the release."""
    with pytest.raises(StackError, match=f"no source in {apt_folder} serves this machine's release bookworm"):
        _lines(apt_folder, "sid")
