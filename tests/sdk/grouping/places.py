"""Pairs of errors that differ in their place, or in the libraries around it."""

from tests.sdk.grouping.pairs import Pair, raised, twice, versions
from tests.sdk.grouping.raising import INSTALLED

SHOP = """
def pay(n):
    charge(n)

def charge(n):
    if n < 0:
        raise ValueError(f"invalid amount {n}")
    return {}[n]

def refund(n):
    charge(n)
"""

PLACES = {
    "another value in the message": twice(
        True, "a parameter is no other error", {"shop/views.py": SHOP}, "shop.views.pay(-1)", "shop.views.pay(-2)"
    ),
    "another key of a KeyError": twice(
        True, "the key is data", {"shop/views.py": SHOP}, "shop.views.pay(1)", "shop.views.pay(2)"
    ),
    "another type at another line": twice(
        False, "two faults of one function", {"shop/views.py": SHOP}, "shop.views.pay(-1)", "shop.views.pay(1)"
    ),
    "another caller": twice(
        False, "who calls decides what breaks", {"shop/views.py": SHOP}, "shop.views.pay(-1)", "shop.views.refund(-1)"
    ),
    "moved down": versions(
        True, "line numbers change with every release", "shop.views.pay(-1)",
        {"shop/views.py": SHOP}, {"shop/views.py": f"import os\n\n\n# Payments.\n{SHOP}"},
    ),
    "indented deeper": versions(
        True, "blanks at the beginning are not code", "shop.views.pay(-1)", {"shop/views.py": SHOP},
        {"shop/views.py": SHOP.replace("        raise", "        if True:\n            raise")},
    ),
    "a comment at the line": versions(
        True, "a comment is not code", "shop.views.pay(-1)", {"shop/views.py": SHOP},
        {"shop/views.py": SHOP.replace('{n}")', '{n}")  # noqa: TRY003')},
    ),
    "other quotation marks": versions(
        True, "a formatter may change them", "shop.views.pay(-1)", {"shop/views.py": SHOP},
        {"shop/views.py": SHOP.replace('"', "'")},
    ),
    "one text raised at two lines": versions(
        False, "two places with one message", "shop.a.go(1)",
        {"shop/a.py": "def go(n):\n    check(n)\ndef check(n):\n    raise ValueError('invalid')\n"},
        {"shop/a.py": "def go(n):\n    parse(n)\ndef parse(n):\n    raise ValueError('invalid')\n"},
    ),
    "same names in two modules": versions(
        False, "each app of a project has its views", "run.go()",
        {"run.py": "from orders.views import index as go\n"}, {"run.py": "from users.views import index as go\n"},
        dict.fromkeys(("orders/views.py", "users/views.py"), "def index():\n    raise LookupError('none')\n"),
    ),
    "methods of two classes": versions(
        False, "the class says which", "shop.a.go()",
        {"shop/a.py": "class A:\n    def get(self):\n        raise OSError(5, 'x')\ndef go():\n    A().get()\n"},
        {"shop/a.py": "class B:\n    def get(self):\n        raise OSError(5, 'x')\ndef go():\n    B().get()\n"},
    ),
    "exits": twice(
        True, "the status is a parameter", {"shop/a.py": "import sys\ndef go(n):\n    sys.exit(n)\n"},
        "shop.a.go(1)", "shop.a.go(3)",
    ),
}  # fmt: skip

LIBRARY_1 = """
class PoolError(Exception): pass
class ConnectError(Exception): pass

def get(url):
    return Session().request(url)

class Session:
    def request(self, url):
        try:
            return self.send(url)
        except PoolError as error:
            raise ConnectError(error)

    def send(self, url):
        try:
            raise ConnectionRefusedError(111, "Connection refused")
        except OSError as error:
            raise PoolError(url) from error
"""
LIBRARY_2 = """
class PoolError(Exception): pass
class RetryError(Exception): pass
class ConnectError(Exception): pass

def get(url, *, timeout=5):
    return Client().fetch(url, timeout)

class Client:
    def fetch(self, url, timeout):
        try:
            return self._fetch_once(url, timeout)
        except RetryError as failed:
            raise ConnectError(failed) from failed

    def _fetch_once(self, url, timeout):
        try:
            return self._connect(url)
        except PoolError as broken:
            raise RetryError(url, timeout) from broken

    def _connect(self, url):
        try:
            raise ConnectionRefusedError(111, "Connection refused")
        except OSError as error:
            raise PoolError(url) from error
"""
CALLS = "import requests\ndef fetch(n):\n    return requests.get(f'http://api/{n}')\n"
OLD = {f"{INSTALLED}requests/__init__.py": LIBRARY_1}
NEW = {f"{INSTALLED}requests/__init__.py": LIBRARY_2}
BROKEN = {
    f"{INSTALLED}starlette/__init__.py": "def serve(call, *given):\n    return route(call, *given)\n"
    "def route(call, *given):\n    return call(*given)\n"
}
BROKEN_NEW = {
    f"{INSTALLED}starlette/__init__.py": "def serve(call, *given):\n    return Router(call).handle(*given)\n"
    "class Router:\n    def __init__(self, call):\n        self.call = call\n"
    "    def handle(self, *given):\n        return self.call(*given)\n"
}
INSTALLED_SHOP = {
    f"{INSTALLED}shop/views.py": "import requests, starlette\ndef fetch(n):\n    return requests.get(n)\n"
    "def other(n):\n    return requests.get(n)\ndef serve(n):\n    return starlette.serve(fetch, n)\n"
    "def serve_other(n):\n    return starlette.serve(other, n)\n"
}

LIBRARIES = {
    "upgrade of a library that is called": versions(
        True, "its inside, and its links of the chain, are not ours", "shop.a.fetch(1)", OLD, NEW, {"shop/a.py": CALLS}
    ),
    "upgrade of the framework that calls": versions(
        True, "what is around the application is not ours", "shop.a.serve(1)", BROKEN, BROKEN_NEW,
        {"shop/a.py": "import starlette\ndef serve(n):\n    return starlette.serve(fail, n)\ndef fail(n):\n    [][n]\n"},
    ),
    "wrapped, with an upgrade below": versions(
        True, "the cause's cause is the library's", "shop.a.fetch(1)", OLD, NEW, {"shop/a.py":
        "import requests\ndef fetch(n):\n    try:\n        requests.get(n)\n    except requests.ConnectError as error:\n"
        "        raise RuntimeError('no answer') from error\n"},
    ),
    "an installed application, upgrade below": versions(
        True, "in a container the application is installed by pip", "shop.views.fetch(1)", OLD, NEW,
        {**INSTALLED_SHOP, **BROKEN},
    ),
    "an installed application, upgrade around": versions(
        True, "in a container the framework is beside it", "shop.views.serve(1)", BROKEN, BROKEN_NEW,
        {**INSTALLED_SHOP, **OLD},
    ),
    "two views of an installed application": twice(
        False, "they are two places", {**INSTALLED_SHOP, **BROKEN, **OLD},
        "shop.views.serve(1)", "shop.views.serve_other(1)",
    ),
    "installed or not": Pair(
        True, "the same code from a checkout and in a container",
        raised({**INSTALLED_SHOP, **OLD, **BROKEN}, "shop.views.serve(1)"),
        raised({"shop/views.py": INSTALLED_SHOP[f"{INSTALLED}shop/views.py"], **OLD, **BROKEN}, "shop.views.serve(1)"),
    ),
    "another root cause": versions(
        False, "a refused connection and a full disk are two faults", "shop.a.fetch(1)", OLD,
        {name: text.replace('ConnectionRefusedError(111, "Connection refused")', "PermissionError(13, 'denied')")
         for name, text in OLD.items()}, {"shop/a.py": CALLS},
    ),
    "two violations in one wrapper": versions(
        False, "a duplicate and a missing value are two faults", "shop.a.save()",
        {f"{INSTALLED}psycopg/errors.py": "class A(Exception): pass\nclass UniqueViolation(A): pass\nnow = UniqueViolation\n"},
        {f"{INSTALLED}psycopg/errors.py": "class A(Exception): pass\nclass NotNullViolation(A): pass\nnow = NotNullViolation\n"},
        {f"{INSTALLED}django/db.py": "from psycopg.errors import now\nclass IntegrityError(Exception): pass\n"
         "def execute():\n    try:\n        raise now('violates')\n    except Exception as error:\n"
         "        raise IntegrityError('violates') from error\n",
         "shop/a.py": "from django.db import execute\ndef save():\n    execute()\n"},
    ),
    "compiled code of a library": versions(
        True, "Cython's frames have files without a path", "shop.a.go()",
        {f"{INSTALLED}pandas/__init__.py": "code = compile('def item(i):\\n    raise KeyError(i)\\ndef get(i):\\n    item(i)\\n',"
         " 'pandas/_libs/index.pyx', 'exec')\nexec(code, given := {'__name__': 'pandas._libs.index'})\nget = given['get']\n"},
        {f"{INSTALLED}pandas/__init__.py": "code = compile('def get(i):\\n    raise KeyError(i)\\n',"
         " 'pandas/_libs/index.pyx', 'exec')\nexec(code, given := {'__name__': 'pandas._libs.index'})\nget = given['get']\n"},
        {"shop/a.py": "import pandas\ndef go():\n    pandas.get('a')\n"},
    ),
    "generated code of dataclasses": versions(
        True, "a field more changes only what is generated", "shop.a.go()",
        {"shop/a.py": "from dataclasses import dataclass\n@dataclass\nclass A:\n    n: int\n    def __post_init__(self):\n"
         "        raise ValueError(self.n)\ndef go():\n    A(1)\n"},
        {"shop/a.py": "from dataclasses import dataclass\n@dataclass\nclass A:\n    n: int\n    m: int = 0\n"
         "    def __post_init__(self):\n        raise ValueError(self.n)\ndef go():\n    A(1)\n"},
    ),
    "generated names": twice(
        True, "a name with a number is made for each run", {"shop/a.py":
        "def go(n):\n    code = compile(f'def rule_{n}(x):\\n    return 1 / x\\n', f'<rule {n}>', 'exec')\n    given = {}\n"
        "    exec(code, given)\n    return given[f'rule_{n}'](0)\n"}, "shop.a.go(1)", "shop.a.go(2)",
    ),
}  # fmt: skip

PAIRS = PLACES | LIBRARIES
