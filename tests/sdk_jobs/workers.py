"""Celery workers on a real Redis, and applications that give them work."""

import contextlib
import gc
import signal
import subprocess
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from celery import Celery

from platform_sdk.jobs import celery as jobs
from tests.sdk_jobs.store import Store
from tests.servers import PATIENCE_SECONDS
from tools.stack.servers import Redis


@dataclass
class Broker:
    """A worker that runs, and how to give it work."""

    store: Store
    url: str
    prefix: str
    process: subprocess.Popen[str]
    app: Celery

    def send(self, name: str, *args: Any, **options: Any) -> Any:
        """Send a task; return its result, to be waited for."""
        return self.app.send_task(name, args, **options)

    def end(self) -> int:
        """Shut the worker down warmly, as a service manager does; return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(120)


def publisher(url: str, prefix: str) -> Celery:
    """Return an application that sends tasks; as the publisher's half of the hooks is installed, it says when."""
    jobs.install()
    app = Celery("publisher", broker=url, backend=url, set_as_current=False)
    options = {"global_keyprefix": prefix}
    app.conf.update(broker_transport_options=options, result_backend_transport_options=options)
    return app


@contextmanager
def working(store: Store, redis: Redis, *options: str, **environment: str) -> Iterator[Broker]:
    """Run a worker with these options, and more in its environment."""
    url, prefix = redis.url, f"{store.folder.name}-"
    worker = ["-m", "celery", "-A", "tests.sdk_jobs.celery_app", "worker", "--loglevel", "WARNING"]
    lean = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    process = store.run(*worker, *lean, *options, BROKER=url, PREFIX=prefix, **environment)
    broker = Broker(store, url, prefix, process, publisher(url, prefix))
    try:
        yield broker
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        process.wait(PATIENCE_SECONDS)
        broker.app.close()
        broker.app.backend.result_consumer.stop()
        broker.app.backend.client.connection_pool.disconnect()
        with warnings.catch_warnings():  # Celery forgets sockets where it connects again, as on a busy machine
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()
