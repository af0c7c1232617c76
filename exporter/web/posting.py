"""Read what is posted to us."""

from starlette.requests import Request


def is_json(request: Request) -> bool:
    """Tell whether the body is said to be JSON: what a page of another site posts without asking first is not."""
    return request.headers.get("Content-Type", "").partition(";")[0].strip().lower() == "application/json"


async def read_body(request: Request, most_bytes: int) -> bytes | None:
    """Return the body, or None where it is longer; no more than that is ever held."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most_bytes:
            return None
    return bytes(body)
