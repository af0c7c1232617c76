"""Whom the audit names: one person, distinguished from every other."""

import pytest
from click.testing import CliRunner

from exporter.__main__ import main
from exporter.issues.parsing import actor_of


@pytest.mark.parametrize("name", ["ann", "Ann O'Neil", "ann@example.org", "алиса", "Ωμέγα", "山田", "José", "x" * 200])
def test_names_of_people_are_taken(name: str) -> None:
    """In any one alphabet."""
    assert actor_of([sent(name)]) == name


@pytest.mark.parametrize(
    "names",
    [
        [],
        [""],
        ["ann", "bob"],
        ["ann", "ann"],
        ["exporter"],
        ["Exporter"],
        ["EXPORTER"],
        [" exporter "],
        ["\u0435xporter"],
        ["exp\u03bfrter"],
        ["\uff45xporter"],
        ["a\u200bnn"],
        ["a\u202enn"],
        ["a\u00a0nn"],
        ["a\nnn"],
        ["a\x1b[31mnn"],
        ["x" * 201],
    ],
)
def test_names_that_could_be_taken_for_another_are_refused(names: list[str]) -> None:
    """No header or two, the exporter's own name, letters that look alike, and characters that are not seen."""
    assert actor_of([sent(name) for name in names]) is None


def test_a_letter_has_one_form() -> None:
    """A letter with an accent of its own is the letter that has it."""
    assert actor_of([sent("Jose\u0301")]) == "José"


def test_what_is_no_text_is_refused() -> None:
    """Bytes that are not UTF-8."""
    assert actor_of(["\xff"]) is None


@pytest.mark.parametrize("name", ["exporter", " Exporter ", "\u0435xporter", "a\u202enn"])
def test_the_command_line_refuses_them_too(name: str) -> None:
    """Before anything is read."""
    result = CliRunner().invoke(main, ["users", "erase", "x", "--config", "/gone.yml", "--yes", "--by", name])

    assert result.exit_code == 2
    assert "invalid name" in result.stderr


def sent(name: str) -> str:
    return name.encode().decode("latin-1")
