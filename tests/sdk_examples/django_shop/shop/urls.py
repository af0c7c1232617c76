"""The shop's pages."""

from urllib.parse import urlsplit

import requests
from django.conf import settings
from django.contrib.auth.views import LoginView
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path

from platform_sdk.outgoing import requests as outgoing

outgoing.install(apis={urlsplit(settings.PRICES_URL).netloc: "prices"})


def catalogue(request: HttpRequest) -> HttpResponse:
    return HttpResponse("".join(f'<a href="/products/{pk}/">product {pk}</a>' for pk in (1, 2, 3)))


def product(request: HttpRequest, pk: int) -> HttpResponse:
    return HttpResponse(f"<h1>product {pk}</h1>")


def price(request: HttpRequest, pk: int) -> JsonResponse:
    answer = requests.get(f"{settings.PRICES_URL}/prices/{pk}", params={"api_key": "s3cret"}, timeout=10)
    return JsonResponse({"price": answer.json().get("price")}, status=answer.status_code)


def order(request: HttpRequest) -> HttpResponse:
    stock = {"ink": 3} if request.user.is_authenticated else {}
    return HttpResponse(stock["paper"])


def health(request: HttpRequest) -> HttpResponse:
    return HttpResponse("ok")


urlpatterns = [
    path("", catalogue),
    path("products/<int:pk>/", product),
    path("products/<int:pk>/price/", price),
    path("order/", order),
    path("health", health),
    path("login/", LoginView.as_view()),
]
