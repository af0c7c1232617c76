"""HTTP basic authentication against bcrypt hashes, without letting wrong passwords cost much."""

import asyncio
import base64
import binascii
import hashlib
import os
import re
import statistics
from collections import OrderedDict
from collections.abc import Mapping
from http import HTTPStatus
from typing import NamedTuple

import bcrypt

from exporter.web.responses import in_thread

MOST_REMEMBERED = 100
"""Results in memory, of right and of wrong passwords each: a flood of wrong ones displaces no right one."""

MOST_QUEUED = 32
"""Passwords that wait in a lane; the next one gets 503."""

LANES = 4
"""Passwords that are compared at the same time."""


LOWEST_COST, HIGHEST_COST = 4, 31


class BcryptHash(NamedTuple):
    """The parts of a bcrypt hash. Its version is not one of them: all that Go reads are compared alike."""

    cost: int
    salt: str
    digest: str

    @classmethod
    def parse(cls, text: str) -> "BcryptHash | None":
        """Return the hash in a text, read as by Go's bcrypt package, or None where it is none."""
        begin = 3 if text[2:3] == "$" else 4
        cost = text[begin : begin + 2]
        if len(text) < 59 or text[0] != "$" or text[1] > "2" or not re.fullmatch(r"\d\d|\+\d", cost, re.ASCII):
            return None
        if not LOWEST_COST <= int(cost) <= HIGHEST_COST:
            return None
        return cls(int(cost), text[begin + 3 : begin + 25], text[begin + 25 : begin + 56])


class BasicAuthUsers:
    """The users of one version of the web configuration file."""

    def __init__(self, hashes: Mapping[str, str]) -> None:
        """Take valid hashes by name."""
        self._hashes = {name.encode(): parsed for name, text in hashes.items() if (parsed := BcryptHash.parse(text))}
        # Unknown names take as long as the usual known one, so that timing does not reveal names. Not as the dearest:
        # of one hash of cost 18 anybody could ask, and would wait for it with all others.
        usual = statistics.median_low(hashed.cost for hashed in self._hashes.values())
        self._decoy = BcryptHash(usual, "." * 22, "." * 31)
        self._salt = os.urandom(32)
        self._remembered: dict[bool, OrderedDict[bytes, None]] = {True: OrderedDict(), False: OrderedDict()}
        # A few at a time, or wrong passwords would take every core. A name has always the same lane, whether or not it
        # is a user's: those who sign in as someone whose hash is dear do not keep most others waiting.
        self._lanes = [asyncio.Lock() for _ in range(LANES)]
        self._queued = [0] * LANES

    async def check(self, authorization: str) -> HTTPStatus:
        """Return OK, UNAUTHORIZED, or SERVICE_UNAVAILABLE where too many passwords wait for bcrypt."""
        credentials = parse_basic(authorization)
        if credentials is None:
            return HTTPStatus.UNAUTHORIZED
        digest = self._digest(*credentials)
        right = self._recall(digest)
        if right is None:
            lane = self._digest(credentials[0], b"")[0] % LANES
            if self._queued[lane] >= MOST_QUEUED:
                return HTTPStatus.SERVICE_UNAVAILABLE
            self._queued[lane] += 1
            try:
                async with self._lanes[lane]:
                    right = await self._compare(digest, *credentials)
            finally:
                self._queued[lane] -= 1
        return HTTPStatus.OK if right else HTTPStatus.UNAUTHORIZED

    async def _compare(self, digest: bytes, name: bytes, password: bytes) -> bool:
        right = self._recall(digest)  # the same password may have been checked while this one waited
        if right is None:
            matches = await in_thread(lambda: _matches(password, self._hashes.get(name, self._decoy)))
            right = matches and name in self._hashes
            self._remember(digest, right)
        return right

    def _recall(self, digest: bytes) -> bool | None:
        for right, digests in self._remembered.items():
            if digest in digests:
                digests.move_to_end(digest)
                return right
        return None

    def _remember(self, digest: bytes, right: bool) -> None:
        digests = self._remembered[right]
        digests[digest] = None
        if len(digests) > MOST_REMEMBERED:
            digests.popitem(last=False)

    def _digest(self, name: bytes, password: bytes) -> bytes:
        hasher = hashlib.blake2b(len(name).to_bytes(8), key=self._salt, digest_size=32)
        hasher.update(name)
        hasher.update(password)
        return hasher.digest()


def parse_basic(authorization: str) -> tuple[bytes, bytes] | None:
    """Return name and password of an Authorization header of the scheme Basic (RFC 7617), or None."""
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, colon, password = base64.b64decode(encoded.strip(), validate=True).partition(b":")
    except (binascii.Error, ValueError):
        return None
    return (name, password) if colon else None


def _matches(password: bytes, hashed: BcryptHash) -> bool:
    try:  # bcrypt reads 72 bytes; the library refuses more, others cut
        return bcrypt.checkpw(password[:72], f"$2b${hashed.cost:02d}${hashed.salt}{hashed.digest}".encode())
    except ValueError:
        return False
