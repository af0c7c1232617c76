"""The settings of a Django project."""

import os
import tempfile

_FOLDER = tempfile.TemporaryDirectory(prefix="platform-django-", ignore_cleanup_errors=True)

SECRET_KEY = "a-key-of-tests"
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "tests.sdk_web.django_project"
STATIC_URL = "/assets/"
USE_TZ = True
USE_I18N = True
LANGUAGES = [("en", "English"), ("de", "Deutsch")]
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "platform_sdk.web.django.PlatformConfig",
]
MIDDLEWARE = [
    "platform_sdk.web.django.PlatformMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": f"{_FOLDER.name}/db.sqlite3"}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
if "PLATFORM_SDK_DSN" in os.environ:
    PLATFORM_SDK = {"app": "django-shop"}
