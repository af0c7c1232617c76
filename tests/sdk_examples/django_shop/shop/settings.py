"""The shop's settings; where its events go is in the environment."""

import os
from pathlib import Path

SECRET_KEY = "a-key-of-tests"
ALLOWED_HOSTS = ["127.0.0.1"]
ROOT_URLCONF = "shop.urls"
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "platform_sdk.web.django.PlatformConfig",
]
MIDDLEWARE = [
    "platform_sdk.web.django.PlatformMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [Path(__file__).parent / "templates"],
        "OPTIONS": {"context_processors": ["django.template.context_processors.request"]},
    }
]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ["SHOP_DATABASE"]}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # fast, for tests
LOGIN_REDIRECT_URL = "/products/1/"
STATIC_URL = "/static/"
USE_TZ = True

PRICES_URL = os.environ["PRICES_URL"]
PLATFORM_SDK = {
    "app": "shop",
    "release": "1.2.3",
    "activity_rules": {
        "POST /login/": ("login", "accounts", None),
        "/products/<int:pk>/": ("view_product", "catalogue", "products"),
    },
}
