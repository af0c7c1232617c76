"""Store what waits before uvicorn ends its process.

Once it has shut down, uvicorn raises the signal it was ended by anew, and SIGTERM then ends the process without
Python's `atexit` (`Server.capture_signals`, read in 0.54). An ASGI lifespan would tell in time, but Django, and many a
plain application, has none. Uvicorn is never imported here, only found where it is loaded.
"""

import asyncio
import functools
import sys
from typing import Any

from platform_sdk import client
from platform_sdk.diagnostics import note

_MARK = "__platform_sdk__"


def listen() -> None:
    """Hear of the end of uvicorn's shutdown."""
    try:
        server = getattr(sys.modules.get("uvicorn.server"), "Server", None)
        shutdown = getattr(server, "shutdown", None)
        if server is None or shutdown is None or hasattr(shutdown, _MARK):
            return

        @functools.wraps(shutdown)
        async def shutdown_and_store(*args: Any, **kwargs: Any) -> Any:
            try:
                return await shutdown(*args, **kwargs)
            finally:
                await store()

        setattr(shutdown_and_store, _MARK, True)
        server.shutdown = shutdown_and_store
    except Exception as trouble:  # noqa: BLE001 - never into the application
        note("uvicorn", trouble)


async def store() -> None:
    """Store or spool what waits, without holding up the event loop."""
    if client.current is None:
        return
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:  # another kind of event loop, which a server is about to end
        client.flush_now()
        return
    try:
        await loop.run_in_executor(None, client.flush_now)
    except Exception as trouble:  # noqa: BLE001 - never into the application
        note("shutdown", trouble)
