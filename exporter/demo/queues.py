"""Play queues in Redis: entries come, and are taken after a while. Only those whose names begin with `demo`.

A queue of any other name may be an application's own: a worker would stumble over entries of ours.
"""

import logging
from random import Random
from typing import Any

import redis

from exporter.config.settings import RedisProbe

logger = logging.getLogger(__name__)

PREFIX = "demo"
STREAM = "stream"
"""A queue with this in its name is played as a stream, whose entries have an age; any other as a list."""

LONGEST = 60
_SECONDS = 2


class Queues:
    """Play the queues of one server. A server that is away costs its own entries only."""

    def __init__(self, probe: RedisProbe, chance: Random) -> None:
        password = {"password": probe.password.reveal()} if probe.password else {}
        self.names = tuple(name for name in probe.queues if name.startswith(PREFIX))
        self._client: Any = redis.Redis.from_url(
            probe.url.reveal(), socket_timeout=_SECONDS, socket_connect_timeout=_SECONDS, **password
        )
        self._chance = chance
        self._failing = False

    def step(self) -> None:
        """Play one step."""
        try:
            for name in self.names:
                (self._stream if STREAM in name else self._list)(name)
            self._failing = False
        except redis.RedisError as error:
            if not self._failing:
                logger.warning("queues: %s", type(error).__name__)
            self._failing = True

    def remove(self) -> None:
        """Remove the queues. Raises redis.RedisError."""
        if self.names:
            self._client.delete(*self.names)

    def close(self) -> None:
        """Let go of the connection."""
        self._client.close()

    def _list(self, name: str) -> None:
        for _ in range(self._chance.randrange(6)):
            self._client.rpush(name, "demo")
        self._client.lpop(name, self._chance.randrange(1, 6))
        self._client.ltrim(name, 0, LONGEST - 1)

    def _stream(self, name: str) -> None:
        for _ in range(self._chance.randrange(4)):
            self._client.xadd(name, {"demo": "1"})
        # What is left is the newest: the oldest entry has an age of some seconds to a minute.
        self._client.xtrim(name, maxlen=self._chance.randrange(10, LONGEST), approximate=False)
