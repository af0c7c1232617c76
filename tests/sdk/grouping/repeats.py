"""Pairs of errors with recursions, tries, causes and groups."""

from tests.sdk.grouping.pairs import twice, versions

TREE = """
def start(tree):
    return walk(tree)

def walk(node):
    return walk_list(node) if isinstance(node, list) else walk_dict(node) if isinstance(node, dict) else leaf(node)

def walk_list(nodes):
    for node in nodes:
        walk(node)

def walk_dict(nodes):
    for node in nodes.values():
        walk(node)

def leaf(node):
    raise ValueError(node)

def down(n):
    if n == 0:
        raise LookupError(n)
    up(n - 1)

def up(n):
    down(n)

def endless(n):
    return 1 + (forth(n) if n % 2 else back(n))

def forth(n):
    return endless(n + 1)

def back(n):
    return endless(n + 2) if n % 3 else endless(str(n).count('1') + n + 1)

def loops(n):
    return endless(n)

def other(n):
    return other(n + 1) + 1

def deep(n):
    import sys
    sys.setrecursionlimit(20_000)
    try:
        dig(n)
    finally:
        sys.setrecursionlimit(1_000)

def dig(n):
    if n == 0:
        bottom(n)
    dig(n - 1)

def bottom(n):
    {}[n]

def deep_other(n):
    import sys
    sys.setrecursionlimit(20_000)
    try:
        dig_other(n)
    finally:
        sys.setrecursionlimit(1_000)

def dig_other(n):
    if n == 0:
        sand(n)
    dig_other(n - 1)

def sand(n):
    {}[n]
"""
RECURSION = {
    "a tree of another form": twice(
        True, "the path through a tree is data", {"shop/a.py": TREE},
        "shop.a.start([1])", "shop.a.start([{'a': [{'b': [2]}]}])",
    ),
    "a tree of lists or of dicts": twice(
        True, "which branches lead to the leaf is data", {"shop/a.py": TREE},
        "shop.a.start([[1]])", "shop.a.start({'a': {'b': 1}})",
    ),
    "mutual recursion of another depth": twice(
        True, "how deep is data", {"shop/a.py": TREE}, "shop.a.down(1)", "shop.a.down(7)"
    ),
    "endless recursion": twice(
        True, "where the limit strikes is chance", {"shop/a.py": TREE}, "shop.a.loops(1)", "shop.a.loops(4)"
    ),
    "endless recursion that strikes in a library": versions(
        True, "it may be deep in a call that is not part of the loop", "shop.a.go(0)",
        {"shop/a.py": "import json\ndef go(n):\n    loop(n)\ndef loop(n):\n    json.dumps({'n': [n]}, indent=1)\n    loop(n)\n"},
        {"shop/a.py": "import json\ndef go(n):\n    loop(n)\ndef loop(n):\n    loop(n)\n    json.dumps({'n': [n]}, indent=1)\n"},
    ),
    "two endless recursions": twice(
        False, "they are two faults", {"shop/a.py": TREE}, "shop.a.loops(1)", "shop.a.other(1)"
    ),
    "5,000 frames deep, or 3": twice(
        True, "the crash line decides", {"shop/a.py": TREE}, "shop.a.deep(5_000)", "shop.a.deep(3)"
    ),
    "5,000 frames deep, two places": twice(
        False, "the crash line is at the end", {"shop/a.py": TREE}, "shop.a.deep(5_000)", "shop.a.deep_other(5_000)"
    ),
    "a visitor of the standard library": twice(
        True, "ast.NodeVisitor calls itself between our methods", {"shop/a.py":
        "import ast\nclass Names(ast.NodeVisitor):\n    def visit_FunctionDef(self, node):\n        self.generic_visit(node)\n"
        "    def visit_If(self, node):\n        self.generic_visit(node)\n    def visit_Call(self, node):\n"
        "        raise ValueError(node)\ndef go(text):\n    Names().visit(ast.parse(text))\n"},
        "shop.a.go('f()')", "shop.a.go('def a():\\n if b:\\n  f()')",
    ),
    "nested functions that call each other": twice(
        True, "closures walk trees too", {"shop/a.py":
        "def go(tree):\n    def one(node):\n        return many(node) if isinstance(node, list) else 1 / node\n"
        "    def many(nodes):\n        return [one(node) for node in nodes]\n    return one(tree)\n"},
        "shop.a.go([0])", "shop.a.go([[[0]]])",
    ),
}  # fmt: skip

RETRY = """
import time
def go(tries, first=ValueError, then=ValueError):
    return attempt(tries, first, then)

def attempt(tries, kind, then):
    try:
        return once(kind)
    except Exception:
        if tries == 1:
            raise
        return attempt(tries - 1, then, then)

def once(kind):
    raise kind('no answer')

def loop(tries):
    last = None
    for n in range(tries):
        try:
            once(ValueError)
        except ValueError as error:
            error.__context__ = last
            last = error
    raise RuntimeError('gave up') from last

def handler(kind):
    try:
        once(kind)
    except Exception as error:
        clean()

def clean():
    undefined

def wrapped(kind):
    try:
        once(kind)
    except Exception as error:
        raise RuntimeError('failed') from error

def wrapped_other(kind):
    try:
        twice(kind)
    except Exception as error:
        raise RuntimeError('failed') from error

def twice(kind):
    raise kind('no answer')

def silent(kind):
    try:
        once(kind)
    except Exception:
        raise RuntimeError('failed') from None
"""
CHAINS = {
    "a retry that calls itself": twice(
        True, "how often it was tried is not part of the error", {"shop/a.py": RETRY}, "shop.a.go(2)", "shop.a.go(6)"
    ),
    "one try or many": twice(
        True, "a first failure is the same as a last one", {"shop/a.py": RETRY}, "shop.a.go(1)", "shop.a.go(12)"
    ),
    "a retry whose first try failed differently": twice(
        True, "what the tries before it met is chance", {"shop/a.py": RETRY},
        "shop.a.go(3, TimeoutError)", "shop.a.go(3, ValueError)",
    ),
    "a loop of tries": twice(
        True, "the chain is as long as the tries", {"shop/a.py": RETRY}, "shop.a.loop(2)", "shop.a.loop(15)"
    ),
    "retries that end otherwise": twice(
        False, "the last failure decides", {"shop/a.py": RETRY},
        "shop.a.go(3, ValueError, ValueError)", "shop.a.go(3, ValueError, TimeoutError)",
    ),
    "another cause": twice(
        False, "the wrapper is the same, the fault is not", {"shop/a.py": RETRY},
        "shop.a.wrapped(ValueError)", "shop.a.wrapped(TimeoutError)",
    ),
    "a cause from another place": twice(
        False, "the cause says where", {"shop/a.py": RETRY},
        "shop.a.wrapped(ValueError)", "shop.a.wrapped_other(ValueError)",
    ),
    "a cause that was suppressed": twice(
        True, "`from None` says that it does not matter", {"shop/a.py": RETRY},
        "shop.a.silent(ValueError)", "shop.a.silent(TimeoutError)",
    ),
    "with and without a cause": twice(
        False, "one is a consequence", {"shop/a.py": RETRY}, "shop.a.wrapped(ValueError)", "shop.a.silent(ValueError)"
    ),
}  # fmt: skip

GROUP = """
import asyncio
def first(n):
    raise ValueError(n)
def second(n):
    raise KeyError(n)
def third(n):
    raise TimeoutError(n)
def failing(functions, text='several'):
    errors = []
    for n, function in enumerate(functions):
        try:
            function(n)
        except Exception as error:
            errors.append(error)
    return ExceptionGroup(text, errors)
def go(*functions):
    raise failing([globals()[name] for name in functions])
def nested(*groups):
    raise ExceptionGroup('all', [failing([globals()[name] for name in names]) for names in groups])
async def fail(name):
    globals()[name](1)
def tasks(*names):
    async def main():
        async with asyncio.TaskGroup() as group:
            for name in names:
                group.create_task(fail(name))
    asyncio.run(main())
"""
GROUPS = {
    "members in another order": twice(
        True, "which fails first is chance", {"shop/a.py": GROUP},
        "shop.a.go('first', 'second')", "shop.a.go('second', 'first')",
    ),
    "more members of one kind": twice(
        True, "how many fail is data", {"shop/a.py": GROUP},
        "shop.a.go('first', 'first', 'second')", "shop.a.go('first', 'second', 'second')",
    ),
    "another kind after eight": twice(
        True, "all members count, in any order", {"shop/a.py": GROUP},
        "shop.a.go(*['first'] * 9, 'second')", "shop.a.go('second', *['first'] * 9)",
    ),
    "another kind among fifty": twice(
        False, "a kind more is another error", {"shop/a.py": GROUP},
        "shop.a.go(*['first'] * 50)", "shop.a.go(*['first'] * 49, 'second')",
    ),
    "nested otherwise": twice(
        True, "what failed is the same", {"shop/a.py": GROUP},
        "shop.a.nested(['first', 'second'], ['first'])", "shop.a.nested(['first'], ['second'])",
    ),
    "other members": twice(
        False, "they are the errors", {"shop/a.py": GROUP}, "shop.a.go('first')", "shop.a.go('third')"
    ),
    "tasks that fail together": twice(
        True, "a task group collects them as they come", {"shop/a.py": GROUP},
        "shop.a.tasks('first', 'second', 'first')", "shop.a.tasks('second', 'first')",
    ),
}  # fmt: skip

PAIRS = RECURSION | CHAINS | GROUPS
