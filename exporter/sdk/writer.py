"""SEAM STUB, replaced soon."""

from typing import Any

from exporter.sdk.intake import Intake
from exporter.sdk.options import Options


class Writer:
    """Hold the intake; this stub keeps everything in memory."""

    def __init__(self, options: Options) -> None:
        self.intake = Intake(options, lambda: None)

    def close(self, timeout_seconds: float) -> bool:
        return True

    def flush(self, timeout_seconds: float, *, spool: bool = False) -> bool:
        return True

    def abandon(self) -> None:
        return None

    def stats(self) -> dict[str, Any]:
        return self.no_stats()

    @staticmethod
    def no_stats() -> dict[str, Any]:
        return {"process": "", "produced": 0, "stored": 0, "spooled": 0, "buffered": 0, "dropped": {}, "adopted": 0}
