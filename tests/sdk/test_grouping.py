"""What belongs together and what does not: errors of real programs, and logged texts, each with its reason."""

import pytest

from tests.sdk.grouping import held_out, places, repeats, structure
from tests.sdk.grouping.messages import APART, SAME, TEMPLATES
from tests.sdk.grouping.pairs import Pair
from tests.sdk.grouping.raising import of_message

PAIRS = places.PAIRS | repeats.PAIRS | structure.PAIRS


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS.keys())
def test_errors_of_code(pair: Pair) -> None:
    """Real modules raise both; the reason says whether they are one issue."""
    assert (pair.left() == pair.right()) is pair.same, pair.why


@pytest.mark.parametrize("pair", held_out.CODE.values(), ids=held_out.CODE.keys())
def test_errors_that_the_rules_were_not_made_with(pair: Pair) -> None:
    """Written before the rules, and first tried when these were finished: 23 of 25 were right."""
    assert (pair.left() == pair.right()) is pair.same, pair.why


@pytest.mark.parametrize("name", held_out.TEXTS)
def test_texts_that_the_rules_were_not_made_with(name: str) -> None:
    """Likewise: 47 of 47 were right."""
    same, (left, right) = held_out.TEXTS[name]

    assert (of_message(left) == of_message(right)) is same


@pytest.mark.parametrize("name", SAME)
def test_texts_that_belong_together(name: str) -> None:
    """They differ only in a parameter."""
    left, right = SAME[name]

    assert of_message(left) == of_message(right)


@pytest.mark.parametrize("name", APART)
def test_texts_that_do_not(name: str) -> None:
    """They say different things."""
    left, right = APART[name]

    assert of_message(left) != of_message(right)


@pytest.mark.parametrize("name", TEMPLATES)
def test_texts_with_their_templates(name: str) -> None:
    """Where the logged template is known it decides."""
    same, left, right = TEMPLATES[name]

    assert (of_message(*left) == of_message(*right)) is same
