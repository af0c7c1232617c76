"""A service that knows prices, and reports each sale to a ledger that is never there."""

import os

import httpx
from fastapi import APIRouter, FastAPI, HTTPException

import platform_sdk
from platform_sdk.outgoing import httpx as outgoing
from platform_sdk.web.asgi import PlatformMiddleware

platform_sdk.init(app="prices", release="4.5.6", activity_rules={"POST /prices/{pk}/sales": ("sell", "prices", None)})
outgoing.install(apis={os.environ["LEDGER_URL"].removeprefix("http://"): "ledger"})

router = APIRouter(prefix="/prices")


@router.get("/{pk}")
async def price(pk: int) -> dict[str, int]:
    if pk == 3:
        raise HTTPException(429)
    return {"price": 100 * pk}


@router.post("/{pk}/sales")
async def sell(pk: int) -> dict[str, str]:
    async with httpx.AsyncClient() as client:
        try:
            await client.post(f"{os.environ['LEDGER_URL']}/sales", json={"product": pk})
        except httpx.ConnectError:
            platform_sdk.sample("unreported_sales", 1, "counter")
            return {"status": "sold, not reported"}
    return {"status": "sold"}


@router.delete("/{pk}")
async def forget(pk: int) -> None:
    raise LookupError(f"no price of {pk} to forget")


app = FastAPI()
app.include_router(router)
app.add_middleware(PlatformMiddleware)
