"""Make a template of a URL's path: what differs from call to call, and what may be secret, becomes a placeholder."""

import re

ID = "{id}"
LONGEST_PATH = 400
LONGEST_SEGMENT = 40

_VERSION = re.compile(r"v\d+(?:[.-]?(?:\d+|alpha\d*|beta\d*))*", re.IGNORECASE)
_NUMBER = re.compile(r"\d+(\.[a-z]{2,5})?")
_HEXADECIMAL = re.compile(r"(?=.*\d)[0-9a-f]{8,}", re.IGNORECASE)


def template(path: str) -> str:
    """Return the path with ids, hashes, DOIs, addresses and tokens replaced by `{id}`; versions (`v1`) stay.

    A segment is taken for an id where it is a number, holds four digits or more, is hexadecimal, longer than
    40 characters, holds a character that words do not (`%`, `@`, `:`, `=`, `,`), or looks drawn at random.
    """
    return "/".join(map(_segment, path[:LONGEST_PATH].split("/"))) or "/"


def _segment(text: str) -> str:
    if text.isalpha() and len(text) < 16:  # nearly all of them
        return text
    if number := _NUMBER.fullmatch(text):
        return ID + (number[1] or "")
    if _VERSION.fullmatch(text) and len(text) < 16:
        return text
    strange = any(mark in text for mark in "%@:=,")
    digits = sum(character.isdigit() for character in text)
    if strange or digits >= 4 or len(text) > LONGEST_SEGMENT or _HEXADECIMAL.fullmatch(text) or _is_random(text):
        return ID
    return text


def _is_random(text: str) -> bool:
    """Tell tokens from words: CamelCase has a capital in five letters or fewer, and no digits inside of a long word."""
    if len(text) < 16 or not text.isalnum():
        return False
    capitals = sum(character.isupper() for character in text)
    return capitals * 4 >= len(text) or any(character.isdigit() for character in text)
