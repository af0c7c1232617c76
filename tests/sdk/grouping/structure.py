"""Pairs of errors that differ in how code is made and started, or in their codes."""

from tests.sdk.grouping.pairs import Pair, program, twice, versions
from tests.sdk.grouping.raising import of

STRUCTURE = {
    "a comprehension, before and from 3.12": versions(
        True, "3.12 has no frame for it", "shop.a.go([0])",
        {"shop/a.py": "def go(ns):\n    return [check(n) for n in ns]\ndef check(n):\n    1 / n\n"},
        {"shop/a.py": "def go(ns):\n    return check(ns[0])\ndef check(n):\n    1 / n\n"},
    ),
    "a comprehension that fails itself": versions(
        True, "3.12 names the function around it", "shop.a.go([0])",
        {"shop/a.py": "def go(ns):\n    return [\n        n and 1 or\n        1 / n for n in ns\n    ]\n"},
        {"shop/a.py": "def go(ns):\n    n = ns[0]\n    return [\n        n and 1 or\n        1 / n for n in ns\n    ]\n".replace(
            "    return [\n        n and 1 or\n        1 / n for n in ns\n    ]", "    return (\n        1 / n for n in ns\n    )"
            ".__next__()")},
    ),
    "run as a file or imported": Pair(
        True, "`__main__` is the same module",
        program({"jobs.py": "import reports\ndef work():\n    [][1]\nif __name__ == '__main__':\n    work()\n"}, "jobs.py"),
        program({"jobs.py": "import reports\ndef work():\n    [][1]\nif __name__ == '__main__':\n    work()\n"},
                "-c", "import jobs; exec(compile('jobs.work()', '/x/site-packages/run.py', 'exec'))"),
    ),
    "run with -m or as a file": Pair(
        True, "both are the module shop.jobs",
        program({"shop/jobs.py": "import reports\ndef work():\n    [][1]\nif __name__ == '__main__':\n    work()\n"}, "-m", "shop.jobs"),
        program({"shop/jobs.py": "import reports\ndef work():\n    [][1]\nif __name__ == '__main__':\n    work()\n"}, "shop/jobs.py"),
    ),
    "two programs run as files": Pair(
        False, "`__main__` is not one module",
        program({"one.py": "import reports\ndef work():\n    [][1]\nwork()\n"}, "one.py"),
        program({"two.py": "import reports\ndef work():\n    [][1]\nwork()\n"}, "two.py"),
    ),
    "a logging decorator was added": versions(
        True, "the function that is wrapped says it all", "shop.a.go()",
        {"shop/a.py": "def go():\n    work()\ndef work():\n    [][1]\n"},
        {"shop/a.py": "import functools\ndef timed(function):\n    @functools.wraps(function)\n    def wrapper(*given):\n"
         "        return function(*given)\n    return wrapper\ndef go():\n    work()\n@timed\ndef work():\n    [][1]\n"},
    ),
    "a decorator of two functions": twice(
        False, "the wrapper is not where it failed", {"shop/a.py":
        "def timed(function):\n    def wrapper(*given):\n        return function(*given)\n    return wrapper\n"
        "@timed\ndef a():\n    [][1]\n@timed\ndef b():\n    [][1]\n"}, "shop.a.a()", "shop.a.b()",
    ),
    "a coroutine, run otherwise": versions(
        True, "how a coroutine is run is not ours", "shop.a.go()",
        {"shop/a.py": "import asyncio\nasync def work():\n    await part()\nasync def part():\n    [][1]\ndef go():\n"
         "    asyncio.run(work())\n"},
        {"shop/a.py": "import asyncio\nasync def work():\n    await part()\nasync def part():\n    [][1]\ndef go():\n"
         "    with asyncio.Runner() as runner:\n        runner.run(asyncio.wait_for(work(), 9))\n"},
    ),
    "two lambdas of a function": twice(
        False, "the line tells them apart", {"shop/a.py":
        "def go(n):\n    first = lambda: [][1]\n    second = lambda: {}[1]\n    (first if n else second)()\n"},
        "shop.a.go(1)", "shop.a.go(0)",
    ),
    "a template of Jinja, installed elsewhere": Pair(
        True, "its module is a path",
        lambda: of({"shop/a.py": JINJA, "shop/one/templates/page.html": "<p>\n{{ 1 / n }}</p>"}, "shop.a.go('one', 0)"),
        lambda: of({"shop/a.py": JINJA, "shop/two/templates/page.html": "<p>\n{{ 1 / n }}</p>"}, "shop.a.go('two', 0)"),
    ),
    "two templates of Jinja": Pair(
        False, "the template failed",
        lambda: of({"shop/a.py": JINJA, "shop/one/templates/page.html": "<p>\n{{ 1 / n }}</p>"}, "shop.a.go('one', 0)"),
        lambda: of({"shop/a.py": JINJA, "shop/one/templates/mail.html": "<p>\n{{ 1 / n }}</p>"}, "shop.a.go('one', 0, 'mail')"),
    ),
    "a module that cannot be imported": twice(
        True, "which module asked for it first is chance", {"shop/bad.py": "{}['x']\n", "shop/a.py":
        "def go(n):\n    if n:\n        import shop.via\n    import shop.bad\n", "shop/via.py": "import shop.bad\n"},
        "shop.bad.x()", "shop.via.x()",
    ),
}  # fmt: skip
JINJA = """
from pathlib import Path
import jinja2
def go(folder, n, name='page'):
    loader = jinja2.FileSystemLoader(Path(__file__).parent / folder / 'templates')
    return jinja2.Environment(loader=loader, autoescape=True).get_template(f'{name}.html').render(n=n)
"""

STATUS = """
class HTTPError(Exception): pass
def fetch(status, text):
    raise HTTPError(f'{status} {text}')
def aio(status, text):
    raise HTTPError(f"{status}, message='{text}', url='https://x/{status}'")
def httpx(status, text):
    raise HTTPError(f"Client error '{status} {text}' for url 'https://x/'")
def api(status):
    raise RuntimeError(f'the API answered with status {status}')
def order(n):
    raise ValueError(f'order {n} is not known')
def aws(code):
    raise RuntimeError(f'An error occurred ({code}) when calling the GetObject operation: no')
def disk(number):
    raise OSError(number, 'text', '/tmp/x')
def mysql(number):
    raise RuntimeError(number, "text")
"""
CODES = {
    "404 and 503 of requests": twice(
        False, "one is our fault, the other theirs", {"shop/a.py": STATUS},
        "shop.a.fetch(404, 'Client Error: Not Found for url: https://x/1')",
        "shop.a.fetch(503, 'Server Error: Service Unavailable for url: https://x/1')",
    ),
    "404 of two addresses": twice(
        True, "the address is data", {"shop/a.py": STATUS},
        "shop.a.fetch(404, 'Client Error: Not Found for url: https://x/1')",
        "shop.a.fetch(404, 'Client Error: Not Found for url: https://x/2')",
    ),
    "429 and 500 of aiohttp": twice(
        False, "the status says what to do", {"shop/a.py": STATUS},
        "shop.a.aio(429, 'Too Many Requests')", "shop.a.aio(500, 'Internal Server Error')",
    ),
    "401 and 403 of httpx": twice(
        False, "the status says what to do", {"shop/a.py": STATUS},
        "shop.a.httpx(401, 'Unauthorized')", "shop.a.httpx(403, 'Forbidden')",
    ),
    "two statuses of an own exception": twice(
        False, "the status says what to do", {"shop/a.py": STATUS}, "shop.a.api(502)", "shop.a.api(504)"
    ),
    "a status that is an attribute": twice(
        False, "the message need not name it", {"shop/a.py": "class ApiError(Exception):\n    def __init__(self, status):\n"
        "        super().__init__('the request failed')\n        self.status_code = status\n"
        "def go(status):\n    raise ApiError(status)\n"}, "shop.a.go(404)", "shop.a.go(503)",
    ),
    "order 404 and order 503": twice(
        True, "a number is not a status", {"shop/a.py": STATUS}, "shop.a.order(404)", "shop.a.order(503)"
    ),
    "two codes of AWS": twice(
        False, "all errors of AWS have one class", {"shop/a.py": STATUS},
        "shop.a.aws('NoSuchKey')", "shop.a.aws('AccessDenied')",
    ),
    "two error numbers": twice(
        False, "a full disk is not too many open files", {"shop/a.py": STATUS}, "shop.a.disk(28)", "shop.a.disk(24)"
    ),
}  # fmt: skip

PAIRS = STRUCTURE | CODES
