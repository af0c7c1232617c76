import ssl
from pathlib import Path
from typing import Any

from starlette.types import ASGIApp


class WebConfig:
    def __init__(self, path: Path) -> None: ...

    def tls(self) -> ssl.SSLContext | None:
        return None

    def guard(self, app: ASGIApp) -> ASGIApp:
        return app

    def admits(self, certificate: dict[str, Any] | None) -> bool:
        return True
