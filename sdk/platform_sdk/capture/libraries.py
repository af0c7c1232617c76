# ruff: noqa: SIM905 - a line holds a dozen names
"""The names of libraries that many applications have installed."""

LIBRARIES = frozenset(
    "aiobotocore aiofiles aiohttp aiokafka aiomysql aiopg aioredis aiosqlite alembic amqp anyio apscheduler arq "
    "asgiref async_timeout asyncpg attr attrs authlib azure babel backoff bcrypt billiard bleach blinker boto "
    "boto3 botocore bs4 bottle cachetools celery certifi cffi channels cherrypy click clickhouse_driver "
    "cryptography cx_Oracle daphne dateutil debug_toolbar decorator django django_filters dns docker dramatiq "
    "ecdsa elasticsearch eventlet falcon fastapi flask flask_login flask_restful flask_sqlalchemy flask_wtf "
    "flower gevent google googleapiclient graphene graphql greenlet grpc gunicorn h11 h2 hiredis httpcore "
    "httplib2 httptools httpx huey hypercorn idna importlib_metadata itsdangerous jinja2 jose joblib jsonschema "
    "jwt kafka kombu ldap3 litestar lxml mako markdown markupsafe marshmallow matplotlib minio mongoengine motor "
    "msgpack msgspec multidict mysql MySQLdb numpy oauthlib openai openpyxl opentelemetry oracledb orjson pandas "
    "paramiko parsel passlib peewee pika PIL pip pkg_resources playwright pluggy polars prometheus_client "
    "prompt_toolkit psutil psycopg psycopg2 psycopg_pool pyarrow pydantic pydantic_core pydantic_settings pymongo "
    "pymysql pyramid pytest pytz quart redis regex reportlab requests requests_oauthlib rest_framework retry rich "
    "rq sanic scipy scrapy selenium sentry_sdk setuptools simplejson six sklearn slack_sdk sniffio socketio "
    "soupsieve sqlalchemy sqlmodel starlette storages strawberry stripe structlog tenacity tensorflow toolz torch "
    "tornado tortoise tqdm trio twisted typer ujson urllib3 uvicorn uvloop uwsgidecorators vine w3lib waitress "
    "wcwidth webob websocket websockets werkzeug whitenoise wrapt wsproto wtforms yaml yarl zeep zmq zope "
    "platform_sdk".split()
)
"""Packages that are nobody's own application."""
