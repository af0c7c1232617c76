"""What the tests of the demo share."""

from tests.demo.playing import played

__all__ = ["played"]
