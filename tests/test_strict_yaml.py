"""The gate for YAML that people write: what it refuses, and that it never takes long."""

import contextlib
import time

import pytest

from exporter.config import strict_yaml
from exporter.config.strict_yaml import MOST_LEVELS, MOST_NODES, StrictYamlError
from exporter.files import YAML_BYTES


def refusal(text: str) -> str:
    """Return why a text is refused."""
    with pytest.raises(StrictYamlError) as caught:
        strict_yaml.load(text)
    return str(caught.value)


@pytest.mark.parametrize(
    "tag",
    ["!!bool x", "!!int ''", "!!timestamp x", "!!set x", "!!map x", "!!str x", "!!binary x", "!!omap [a: 1]", "! x",
     "!mine x", "!!python/name:os.system ''", "!<tag:yaml.org,2002:int> x", "!!map [a]", "!!seq {a: 1}"],
)  # fmt: skip
@pytest.mark.parametrize("place", ["a: {}", "- {}", "{}", "? {}\n: x", "a: &b {}", "a: [{}]"])
def test_a_tag_is_refused(tag: str, place: str) -> None:
    """Wherever it stands and whatever type it names, also one that fits."""
    assert "invalid tag: expected a plain value" in refusal(place.format(tag))


@pytest.mark.parametrize("escape", [r"\0", r"\x00", r"\ud800", r"\udfff", r"\u0000", r"\U0000d800"])
@pytest.mark.parametrize("place", ['a: "b{}c"', '"b{}": c', '- ["{}"]', 'a: &x "{}"'])
def test_a_text_that_no_text_may_be_is_refused(escape: str, place: str) -> None:
    """A NUL, which cuts a DSN off, and half a character."""
    assert "expected no NUL and no lone surrogate" in refusal(place.format(escape))


@pytest.mark.parametrize("escape", [r"\UFFFFFFFF", r"\U00110000"])
def test_a_character_that_does_not_exist_is_refused(escape: str) -> None:
    """It is an error of the text, not of this program."""
    assert "expected a character that exists" in refusal(f'a: "{escape}"')


@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "? ", "[{a: ", "- - "])
def test_depth_is_bounded(opening: str) -> None:
    """However levels are written."""
    assert "nested too deeply" in refusal(opening * 3_000)


def test_aliases_do_not_make_it_deeper() -> None:
    """An alias is as deep as what it stands for."""
    levels = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, MOST_LEVELS))

    assert "nested too deeply" in refusal(levels)


def test_aliases_of_aliases_are_counted_as_what_they_repeat() -> None:
    """Ten lines that stand for ten thousand million values are refused before any is made."""
    lines = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10))

    assert f"too many values: expected at most {MOST_NODES}" in refusal(lines)


def test_some_aliases_are_welcome() -> None:
    """They are there to say a thing once."""
    assert strict_yaml.load("a: &a {x: [1, 2]}\nb: [*a, *a]\nc: {<<: *a, y: 1}") == {
        "a": {"x": [1, 2]}, "b": [{"x": [1, 2]}] * 2, "c": {"x": [1, 2], "y": 1},
    }  # fmt: skip


def test_a_key_that_is_merged_must_be_a_text_too() -> None:
    """A merge is no way around the checks of keys."""
    assert "invalid key of type int" in refusal("a: {<<: {5: x}}")


def test_a_long_text_is_refused_at_once() -> None:
    """It is not even looked at."""
    assert refusal("#" * (YAML_BYTES + 1)) == "too long: expected at most 256 kB"


@pytest.mark.parametrize(("text", "value"), [("1:30", "1:30"), ("=", "="), ("1:2.5", "1:2.5"), ("0x1f", 31)])
def test_a_value_is_what_people_mean(text: str, value: object) -> None:
    """YAML 1.1 would read 1:30 as 90, and has a type for `=`."""
    assert strict_yaml.load(f"a: {text}") == {"a": value}


LONG = {
    "list": "- a\n", "flow": "[1,", "words": "a b ", "mapping": "? a\n", "escapes": '"\\x41', "folded": ">\n x\n",
    "lines": "\n", "aliases": "*a,", "anchors": "- &a x\n", "times": "1:1", "quotes": "''", "comments": "# x\n",
}  # fmt: skip


@pytest.mark.parametrize("part", LONG.values(), ids=list(LONG))
@pytest.mark.parametrize("start", ["", "a: ", "a: [", "a: '", 'a: "', "a: |\n "])
def test_no_text_takes_long(part: str, start: str) -> None:
    """The longest ones, of whatever they are made, cost a second or two of processor time, or are refused."""
    text = (start + part * (YAML_BYTES // len(part)))[:YAML_BYTES]
    began = time.process_time()
    with contextlib.suppress(StrictYamlError):
        strict_yaml.load(text)

    assert time.process_time() - began < 20


@pytest.mark.parametrize("number", ["0x" + "f" * 5000, "0b" + "1" * 20000, "-0x" + "f" * 5000, "0" + "7" * 6000])
def test_a_number_that_cannot_be_written_is_refused(number: str) -> None:
    """Python reads it and ends in an error wherever it is shown."""
    assert refusal(f"a: [{number}]").endswith("invalid date or number: put quotes around a text")
