"""Pairs that the rules were not made with: written before them, and first tried when they were finished."""

from tests.sdk.grouping.pairs import Pair, program, twice, versions
from tests.sdk.grouping.raising import INSTALLED, of
from tests.sdk.grouping.structure import JINJA

DRIVER_1 = f"{INSTALLED}psycopg/__init__.py"
DRIVER = """
class OperationalError(Exception): pass
def connect(host):
    raise OperationalError(f'connection to server at "{host}", port 5432 failed')
"""
DRIVER_NEW = """
class OperationalError(Exception): pass
def connect(host):
    return _Connection().open(host)
class _Connection:
    def open(self, host):
        for attempt in (1,):
            self._try(host)
    def _try(self, host):
        try:
            raise TimeoutError(host)
        except TimeoutError:
            raise OperationalError(f'connection failed: connection to server at "{host}", port 5432 failed')
"""
WALKER = """
class Node:
    def __init__(self, *children): self.children = children
class Renderer:
    def render(self, node):
        getattr(self, 'render_' + type(node).__name__.lower())(node)
    def render_node(self, node):
        for child in node.children:
            self.render(child)
    def render_tuple(self, node):
        for child in node:
            self.render(child)
    def render_int(self, node):
        1 / node
def page(*nodes):
    Renderer().render(Node(*nodes))
def copy(value):
    import copy
    return copy.deepcopy(value)
class Cell:
    def __init__(self, value): self.value = value
    def __deepcopy__(self, memo):
        import copy
        if self.value is None: raise ValueError('empty')
        return Cell(copy.deepcopy(self.value, memo))
def total(n):
    return n + (total(n - 1) if n else missing)
def a(n):
    return b(n - 1)
def b(n):
    return c(n - 1)
def c(n):
    return a(n) if n > 0 else {}[n]
"""
RETRIES = """
import functools, time
def again(function):
    @functools.wraps(function)
    def attempt(tries):
        try:
            return function(tries)
        except ConnectionError:
            if tries == 0:
                raise
            return attempt(tries - 1)
    return attempt
@again
def load(n):
    raise ConnectionResetError(104, 'reset')
def fetch(tries):
    try:
        return read()
    except OSError as error:
        if not tries:
            raise RuntimeError('gave up') from error
        return fetch(tries - 1)
def read():
    raise TimeoutError('slow')
def unwind(n):
    try:
        step(n)
    finally:
        close(n)
def step(n):
    raise KeyError(n) if n else ValueError(n)
def close(n):
    raise OSError(9, 'Bad file descriptor')
"""
ANYIO = """
import asyncio
async def ping(n):
    await asyncio.sleep(0)
    raise ConnectionRefusedError(n)
async def pong(n):
    await asyncio.sleep(0)
    {}[n]
async def gather(count, other):
    async with asyncio.TaskGroup() as outer:
        outer.create_task(inner(count))
        if other:
            outer.create_task(pong(1))
async def inner(count):
    async with asyncio.TaskGroup() as group:
        for n in range(count):
            group.create_task(ping(n))
def run(count, other=False):
    asyncio.run(gather(count, other))
"""
VIEWS = """
class View:
    def dispatch(self, name):
        return getattr(self, name)()
class Orders(View):
    def get(self):
        return [order for order in self.find()]
    def find(self):
        raise LookupError('no orders')
class Users(View):
    def get(self):
        return self.find()
    def find(self):
        raise LookupError('no users')
def show(name):
    globals()[name]().dispatch('get')
"""
MAIN = "import reports\ndef main():\n    step()\ndef step():\n    int('x')\nif __name__ == '__main__':\n    main()\n"

CODE = {
    "upgrade of a driver": versions(
        True, "its inside is not ours", "shop.db.start('a')", {DRIVER_1: DRIVER}, {DRIVER_1: DRIVER_NEW},
        {"shop/db.py": "import psycopg\ndef start(host):\n    psycopg.connect(host)\n"},
    ),
    "another host of a driver": twice(
        True, "the host is a parameter",
        {DRIVER_1: DRIVER, "shop/db.py": "import psycopg\ndef start(host):\n    psycopg.connect(host)\n"},
        "shop.db.start('10.0.0.1')", "shop.db.start('db')",
    ),
    "upgrade of a driver below an installed application": versions(
        True, "pip installed both", "shop.db.start('a')", {DRIVER_1: DRIVER}, {DRIVER_1: DRIVER_NEW},
        {f"{INSTALLED}shop/db.py": "import psycopg\ndef start(host):\n    psycopg.connect(host)\n"},
    ),
    "two functions of an installed application": twice(
        False, "two places",
        {DRIVER_1: DRIVER, f"{INSTALLED}shop/db.py": "import psycopg\ndef start(host):\n    psycopg.connect(host)\n"
         "def again(host):\n    psycopg.connect(host)\n"}, "shop.db.start('a')", "shop.db.again('a')",
    ),
    "a renderer": twice(
        True, "what is rendered is data", {"shop/w.py": WALKER},
        "shop.w.page((0,))", "shop.w.page(shop.w.Node((1, shop.w.Node(0))), 1)",
    ),
    "a renderer fails in another element": versions(
        False, "the element failed", "shop.w.page(0)", {"shop/w.py": WALKER},
        {"shop/w.py": WALKER.replace("render_int(self, node):\n        1 / node", "render_int(self, node):\n        [][node]")},
    ),
    "copies of copies": twice(
        True, "the depth is data", {"shop/w.py": WALKER},
        "shop.w.copy(shop.w.Cell(None))", "shop.w.copy([shop.w.Cell({'a': shop.w.Cell([shop.w.Cell(None)])})])",
    ),
    "a recursion of 3,000": versions(
        True, "its end decides", "shop.w.go()",
        {"shop/w.py": WALKER + "def go():\n    import sys\n    sys.setrecursionlimit(9000)\n    total(3000)\n"},
        {"shop/w.py": WALKER + "def go():\n    import sys\n    sys.setrecursionlimit(1000)\n    total(5)\n"},
    ),
    "a ring of three": twice(
        True, "how often around is data", {"shop/w.py": WALKER}, "shop.w.a(2)", "shop.w.a(12)"
    ),
    "a decorator that tries again": twice(
        True, "the tries are not part of it", {"shop/r.py": RETRIES}, "shop.r.load(0)", "shop.r.load(9)"
    ),
    "gives up after tries": twice(
        True, "the tries are not part of it", {"shop/r.py": RETRIES}, "shop.r.fetch(0)", "shop.r.fetch(20)"
    ),
    "a failing clean-up": twice(
        False, "what it cleans up after is another fault", {"shop/r.py": RETRIES},
        "shop.r.unwind(0)", "shop.r.unwind(1)",
    ),
    "pings of few and many": twice(
        True, "how many fail is data", {"shop/t.py": ANYIO}, "shop.t.run(2)", "shop.t.run(30)"
    ),
    "pings and a pong": twice(
        False, "another task failed too", {"shop/t.py": ANYIO}, "shop.t.run(9)", "shop.t.run(9, True)"
    ),
    "views of classes": twice(
        False, "the class says which view", {"shop/v.py": VIEWS}, "shop.v.show('Orders')", "shop.v.show('Users')"
    ),
    "a program, or its function": Pair(
        True, "`python tool.py` is module tool",
        program({"tool.py": MAIN}, "tool.py"),
        program({"tool.py": MAIN, "start.py": "import tool\ntool.main()\n"}, "start.py"),
    ),
    "a module of a package run as a file": Pair(
        True, "the folder says which package",
        program({"shop/cli/tool.py": MAIN}, "cli/tool.py", folder="shop"),
        program({"shop/cli/tool.py": MAIN}, "-m", "shop.cli.tool"),
    ),
    "a template within another": Pair(
        True, "how a template is included is data",
        lambda: of({"shop/a.py": JINJA, "shop/one/templates/page.html": "{% include 'part.html' %}",
                    "shop/one/templates/part.html": "{{ 1 / n }}"}, "shop.a.go('one', 0)"),
        lambda: of({"shop/a.py": JINJA, "shop/two/templates/page.html": "\n{% include 'part.html' %}",
                    "shop/two/templates/part.html": "\n\n{{ 1 / n }}"}, "shop.a.go('two', 0)"),
    ),
    "a set comprehension": versions(
        True, "3.12 has no frame for it", "shop.c.go({'a': ''})",
        {"shop/c.py": "def go(rows):\n    return {key: parse(row) for key, row in rows.items()}\ndef parse(row):\n    int(row)\n"},
        {"shop/c.py": "def go(rows):\n    parse(rows['a'])\ndef parse(row):\n    int(row)\n"},
    ),
    "exec of rules": twice(
        True, "what is generated has names of its own",
        {"shop/x.py": "def go(n):\n    exec(f'def f{n}():\\n    [][1]\\nf{n}()', {})\n"}, "shop.x.go(1)", "shop.x.go(77)",
    ),
    "a generator": versions(
        False, "two generators", "shop.g.go()",
        {"shop/g.py": "def go():\n    list(rows())\ndef rows():\n    yield 1 / 0\n"},
        {"shop/g.py": "def go():\n    list(lines())\ndef lines():\n    yield 1 / 0\n"},
    ),
    "JSON of two texts": twice(
        True, "the position is data", {"shop/j.py": "import json\ndef go(text):\n    return json.loads(text)\n"},
        "shop.j.go('{')", "shop.j.go('[1, 2, x]')",
    ),
    "urllib 403 and 500": twice(
        False, "the status says what to do", {"shop/u.py":
        "from urllib.error import HTTPError\ndef go(n, text):\n    raise HTTPError('http://x/', n, text, {}, None)\n"},
        "shop.u.go(403, 'Forbidden')", "shop.u.go(500, 'Internal Server Error')",
    ),
    "two codes of gRPC": twice(
        False, "the status says what to do", {"shop/u.py":
        "class RpcError(Exception): pass\ndef go(n):\n    raise RpcError(f'<RPC terminated with: status = StatusCode.{n} details = \"x\">')\n"},
        "shop.u.go('UNAVAILABLE')", "shop.u.go('NOT_FOUND')",
    ),
    "a row 503": twice(
        True, "no status", {"shop/u.py": "def go(n):\n    raise ValueError(f'row {n}: no price')\n"},
        "shop.u.go(404)", "shop.u.go(503)",
    ),
}  # fmt: skip

SAME = {
    "a plural with y": ("1 retry was made", "4 retries were made".replace("were", "was")),
    "minutes": ("no data for 5 min", "no data for 90 seconds"),
    "rates": ("only 12.5 req/s", "only 3 req/s"),
    "money in front": ("refund of EUR 12.50 failed", "refund of EUR 1.200,00 failed"),
    "HTTP dates": ("modified Sun, 06 Nov 1994 08:49:37 GMT", "modified Sat, 29 Oct 2025 19:43:31 GMT"),
    "dates of C": ("built Sun Nov  6 08:49:37 1994", "built Wed Jan 12 18:00:00 2025"),
    "compact times": ("file of 20250102T030405Z is late", "file of 20251231T235959Z is late"),
    "months first": ("due on March 5, 2025", "due on Oct 17, 2026"),
    "times of day": ("cron of 03:15 was missed", "cron of 23:59:59 was missed"),
    "IPv6 of a link": ("neighbour fe80::21b:44ff:fe11:3ab7%eth0 left", "neighbour ff02::1 left"),
    "IPv4 in IPv6": ("client ::ffff:10.0.0.5 banned", "client 203.0.113.9 banned"),
    "networks": ("no route to 10.0.0.0/8", "no route to 192.168.0.0/16"),
    "MACs with hyphens": ("lease of 00-1B-44-11-3A-B7 ended", "lease of FE-ED-FA-CE-BE-EF ended"),
    "hosts of the cloud": (
        "node ip-10-0-3-17.eu-west-1.compute.internal is gone", "node ip-10-0-9-2.us-east-2.compute.internal is gone",
    ),
    "hosts of a cluster": ("no endpoint redis.prod.svc.cluster.local", "no endpoint redis-2.test.svc.cluster.local"),
    "pods of a stateful set": ("redis-0 lost its volume", "redis-12 lost its volume"),
    "pods of a job": ("pod import-28371040-k7wzx failed", "pod import-28371100-bcxqz failed"),
    "ids with underscores": ("charge ch_1J2Y3Z4a failed", "charge ch_9ABCdef0 failed"),
    "arns": (
        "no access to arn:aws:s3:::bucket-1/a.csv", "no access to arn:aws:s3:::bucket-27/other/b.csv",
    ),
    "SHA-256": (f"layer sha256:{'a1' * 32} missing", f"layer sha256:{'0f' * 32} missing"),
    "temporary folders": ("cannot remove /var/folders/zz/T/tmp_k2j9s0a", "cannot remove /tmp/pip-build-a8s/x"),
    "homes": ("no key in /home/ann/.ssh/id_rsa", "no key in /home/bob/.ssh/id_ed25519"),
    "reprs of bytes": ("bad header b'\\x00\\x01'", "bad header b'PK'"),
    "reprs of enums": ("invalid <Color.RED: 1>", "invalid <Color.BLUE: 3>"),
    "reprs of responses": ("unexpected <Response [200]>", "unexpected <Response [204]>"),
    "functions at addresses": (
        "callback <function f.<locals>.g at 0x7f12ab34> failed", "callback <function f.<locals>.g at 0x7fff0001> failed",
    ),
    "tuples": ("duplicate key (5, 'a')", "duplicate key (61, 'it is')"),
    "DETAIL of PostgreSQL": (
        "Key (email)=(ann@shop.example) already exists.", "Key (email)=(b@c.de) already exists.",
    ),
    "deadlocks": (
        "Process 4711 waits for ShareLock on transaction 812; blocked by process 99",
        "Process 5 waits for ShareLock on transaction 80123; blocked by process 6",
    ),
    "Japanese": ("注文番号 12345 が見つかりません", "注文番号 98 が見つかりません"),
    "Japanese quotes": ("「山田」が見つかりません", "「佐藤 花子」が見つかりません"),
    "Arabic digits": ("الطلب ٤٥ غير موجود", "الطلب ٩ غير موجود"),
    "Polish money": ("płatność 12,50 zł odrzucona", "płatność 1 200,00 zł odrzucona"),
    "nested JSON": ('{"error": {"id": 5}} from upstream', '{"error": {"id": 6, "at": "x"}} from upstream'),
    "log lines": (
        "2025-01-02 03:04:05,678 [Thread-5] pool exhausted", "2025-03-04 11:12:13,001 [Thread-17] pool exhausted",
    ),
    "memory": ("killed at 512Mi", "killed at 2Gi"),
    "signs": ("offset -5 is invalid", "offset +12 is invalid"),
    "scientific": ("residual 1.5e-10 is too large", "residual 3E+4 is too large"),
    "a second line": ("import failed\nrow 5", "import failed\nrow 6"),
}  # fmt: skip

APART = {
    "HTTP status first": ("404 Not Found", "503 Service Unavailable"),
    "endpoints": ("GET /api/users failed", "GET /api/orders failed"),
    "queues": ("queue mails is full", "queue reports is full"),
    "classes": ("cannot pickle Order", "cannot pickle User"),
    "reasons": ("login failed: wrong password", "login failed: account locked"),
    "contractions": ("it doesn't fit and won't start", "it doesn't work and won't start"),
    "classes of reprs": ("cannot adapt <Order object at 0x1>", "cannot adapt <User object at 0x1>"),
    "negation": ("5 rows were written", "5 rows were not written"),
}

TEXTS = {name: (True, pair) for name, pair in SAME.items()} | {name: (False, pair) for name, pair in APART.items()}
