"""Templates of paths."""

import pytest

from platform_sdk.outgoing.exchange import template


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("", "/"),
        ("/v1/works/", "/v1/works/"),
        ("/graph/v1.1/paper/search", "/graph/v1.1/paper/search"),
        ("/api/v2beta1/items", "/api/v2beta1/items"),
        ("/users/42/posts/7.json", "/users/{id}/posts/{id}.json"),
        ("/works/10.1038/nature12373", "/works/{id}/{id}"),
        ("/works/W2741809807", "/works/{id}"),
        ("/x/3f2504e0-4f89-11d3-9a0c-0305e82c3301", "/x/{id}"),
        ("/blob/9f86d081884c7d65", "/blob/{id}"),
        ("/oauth2/token", "/oauth2/token"),
        ("/GetCallerIdentityResponse", "/GetCallerIdentityResponse"),
        ("/users/joe@example.org", "/users/{id}"),
        ("/name/J%C3%BCrgen", "/name/{id}"),
        ("/services/T0AB/B0CD/QwErTyUiOpAsDfGhJkLzXcVb", "/services/T0AB/B0CD/{id}"),
        ("/bot123:ABCdef/sendMessage", "/{id}/sendMessage"),
        ("/q/" + "a" * 41, "/q/{id}"),
    ],
)
def test_template(path: str, expected: str) -> None:
    """Words and versions stay; numbers, hashes, DOIs, addresses and what looks drawn at random do not."""
    assert template(path) == expected
