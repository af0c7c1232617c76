"""Make each worker of RQ a monitored one, whatever its class."""

from typing import Any

from rq.worker import Worker

from platform_sdk.diagnostics import note
from platform_sdk.jobs.rq import Monitored
from platform_sdk.outgoing.hooks import Patch

_classes: dict[type, type] = {}


def _init(worker: Any, *args: Any, **kwargs: Any) -> None:
    _patch.original(worker, *args, **kwargs)
    try:
        own = type(worker)
        if not issubclass(own, Monitored):
            if own not in _classes:
                _classes[own] = type(own.__name__, (Monitored, own), {"__module__": own.__module__})
            worker.__class__ = _classes[own]
    except Exception as error:  # noqa: BLE001 - never into the worker
        note("integration rq", error)


# SimpleWorker is a sibling of Worker's in newer versions.
_BASE = next((kind for kind in reversed(Worker.__mro__) if kind is not object and "__init__" in vars(kind)), Worker)
_patch = Patch(_BASE, "__init__", _init)
ensure, uninstall = _patch.apply, _patch.remove
