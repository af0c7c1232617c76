"""Define what every section of the configuration is, and the bounds that several of them share."""

from typing import Annotated

from msgspec import Meta, Struct

Finite = Annotated[float, Meta(ge=-1e15, le=1e15)]
Name = Annotated[str, Meta(min_length=1, max_length=63, pattern=r"^[A-Za-z0-9_.:-]+$")]


class Section(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Be the base of every section: immutable, and an unknown key is an error."""
