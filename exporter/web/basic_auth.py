"""HTTP basic authentication against bcrypt hashes, without letting wrong passwords cost much."""

import asyncio
import base64
import binascii
import hashlib
import os
from collections import OrderedDict
from collections.abc import Mapping
from http import HTTPStatus

import bcrypt

from exporter.web.responses import in_thread

MOST_REMEMBERED = 100
"""Results in memory, of right and of wrong passwords each: a flood of wrong ones displaces no right one."""

MOST_QUEUED = 32
"""Passwords waiting for bcrypt; the next one gets 503."""


class BasicAuthUsers:
    """The users of one version of the web configuration file."""

    def __init__(self, hashes: Mapping[str, str]) -> None:
        self._hashes = {name.encode(): value.encode() for name, value in hashes.items()}
        cost = max(int(value[4:6]) for value in self._hashes.values())
        # Unknown names take as long as known ones, so that timing does not reveal names.
        self._decoy = f"$2b${cost:02d}${'.' * 53}".encode()
        self._salt = os.urandom(32)
        self._remembered: dict[bool, OrderedDict[bytes, None]] = {True: OrderedDict(), False: OrderedDict()}
        self._hashing = asyncio.Lock()  # one at a time, or a few wrong passwords would take every core
        self._queued = 0

    async def check(self, authorization: str) -> HTTPStatus:
        """Return OK, UNAUTHORIZED, or SERVICE_UNAVAILABLE where too many passwords wait for bcrypt."""
        credentials = parse_basic(authorization)
        if credentials is None:
            return HTTPStatus.UNAUTHORIZED
        digest = self._digest(*credentials)
        right = self._recall(digest)
        if right is None:
            if self._queued >= MOST_QUEUED:
                return HTTPStatus.SERVICE_UNAVAILABLE
            self._queued += 1
            try:
                right = await self._compare(digest, *credentials)
            finally:
                self._queued -= 1
        return HTTPStatus.OK if right else HTTPStatus.UNAUTHORIZED

    async def _compare(self, digest: bytes, name: bytes, password: bytes) -> bool:
        async with self._hashing:
            right = self._recall(digest)  # the same password may have been checked meanwhile
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


def _matches(password: bytes, hashed: bytes) -> bool:
    try:
        return bcrypt.checkpw(password[:72], hashed)  # bcrypt reads 72 bytes; the library refuses more, others cut
    except ValueError:
        return False
