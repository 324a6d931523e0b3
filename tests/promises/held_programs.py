"""What runs hold that is no plain value: one flow for each kind of it, with edits."""

from __future__ import annotations

from collections.abc import Mapping

from tests.promises.held import Held

FOUR = {"a": "a = f(1)", "b": "b = f(2)", "end": "e = a, b", "last": "g = f(5)"}
MORE = {
    "the end": {"end": "e = a, b, 'more'"},
    "the middle": {"b": "b = f(20)"},
    "the beginning": {"a": "a = f(10)"},
    "one less": {"a": None, "end": "e = b"},
    "one more": {"c": "c = f(3)"},
    "one use less": {"a": "a = 1"},
}
KEEPING = {
    "a default that grows": "def f(x, acc=[]):\n    acc.append(x)\n    return list(acc)",
    "a default that cannot be stored": "import queue\ndef f(x, acc=queue.Queue()):\n    acc.put(x)\n    return acc.qsize()",
    "an attribute of a function": "def f(x):\n    f.sum = getattr(f, 'sum', 0) + x\n    return f.sum",
    "attributes of a class": "class C:\n    n = 0\n    items = []\n    def __init__(self, k):\n        C.n += 1\n        self.items.append(k)\ndef f(x):\n    return C(x).n, list(C.items)",
}  # fmt: skip
SETTING = (
    "import locale, math, os, sys, warnings\nimport numpy as np\nimport pandas as pd\nimport matplotlib.pyplot as plt"
)
SETTINGS = {
    "the working directory": ("os.chdir('data')", "os.path.basename(os.getcwd()) == 'data'"),
    "the environment": ("os.environ['SZAL_MODE'] = 'fast'", "os.environ.get('SZAL_MODE')"),
    "options of pandas": ("pd.set_option('display.max_rows', 7)", "pd.get_option('display.max_rows')"),
    "looks of figures": ("plt.rcParams['lines.linewidth'] = 9", "plt.rcParams['lines.linewidth']"),
    "the import path": ("sys.path.append('/szal-extra')", "sys.path[-1] == '/szal-extra'"),
    "filters of warnings": ("warnings.filterwarnings('ignore', category=DeprecationWarning)", "[one[0] for one in warnings.filters if one[2] is DeprecationWarning]"),
    "what steps put into modules": ("math.szal = 5", "getattr(math, 'szal', 0)"),
    "the locale": ("locale.setlocale(locale.LC_ALL, 'C.UTF-8')", "locale.setlocale(locale.LC_ALL)"),
    "a variable that may be a secret": ("os.environ['SZAL_MODE'] = 'postgresql://me:very-secret@host/db'", "len(os.environ.get('SZAL_MODE', ''))"),
}  # fmt: skip
TWO_KS = "class K:\n    def __init__(self):\n        self.n = 1\n    def area(self):\n        return self.n * {by}\n"


def setting(change: str, look: str, refused: str) -> Held:
    cells = {"set": f"{change}\na = 1", "look": f"seen = {look}", "plain": "p = 1", "end": f"e = {look}, seen, a"}
    edits: Mapping[str, Mapping[str, str | None]] = {
        "the end": {"end": f"e = {look}, 2"},
        "not set": {"set": "a = 1"},
        "nobody sets it": {"set": None, "end": f"e = {look}, seen"},
        "who looks": {"look": f"seen = {look}, 0"},
        "beside": {"plain": "p = 2"},
    }
    return Held(SETTING, cells, edits, refused=refused)


def other_end(cells: Mapping[str, str]) -> Mapping[str, Mapping[str, str | None]]:
    return {"the end": {"end": f"{cells['end']}, 'more'"}}


def _held(notebook: str, cells: Mapping[str, str], **more: Mapping[str, str | None]) -> Held:
    return Held(notebook, cells, {**other_end(cells), **{name.replace("_", " "): edit for name, edit in more.items()}})


PROGRAMS: dict[str, Held] = {
    **{name: Held(notebook, FOUR, MORE) for name, notebook in KEEPING.items()},
    **{
        name: setting(*both, "may be a secret" if "secret" in name else "no way of it is refused")
        for name, both in SETTINGS.items()
    },
    "another default": Held(KEEPING["a default that grows"], FOUR, notebooks={"a default": KEEPING["a default that grows"].replace("[]", "[0]")}),
    "an attribute that the notebook set": Held(
        "def f(x):\n    return x * f.by\nf.by = 2", {**FOUR, "p": "p = 1"}, {"beside": {"p": "p = 2"}},
        {"what it set": "def f(x):\n    return x * f.by\nf.by = 3"},
    ),
    "an attribute that one step changes": Held(
        "def f(x):\n    f.n += x\n    return f.n\nf.n = 2", {"a": "a = f(1)", "p": "p = a"}, {"beside": {"p": "p = a, 2"}},
        {"what it was": "def f(x):\n    f.n += x\n    return f.n\nf.n = 3"},
    ),
    "a class whose instances a step gives": Held(
        "class C:\n    n = 0\n    def __init__(self, k):\n        self.k = k\n    def up(self):\n        type(self).n += self.k\n        return self.n\ndef f(x):\n    return C(x)",
        {"a": "a = f(1)", "b": "b = a.up()", "end": "e = a.up(), b", "last": "g = a.k"},
        {"the end": {"end": "e = a.k, b"}},
        {"a method": "class C:\n    n = 0\n    def __init__(self, k):\n        self.k = k\n    def up(self):\n        type(self).n += self.k * 2\n        return self.n\ndef f(x):\n    return C(x)"},
    ),
    "what a cache tells": _held("import functools\n@functools.lru_cache\ndef f(x):\n    return x", {**FOUR, "end": "e = f.cache_info().currsize"}, the_middle={"b": "b = f(9) + f(8)"}),
    "an iterator over a list": _held("", {"a": "xs = [1]\nitems = iter(xs)", "b": "xs.append(2)", "c": "n = next(items)", "end": "e = list(items), xs, n"}, a_change={"b": "xs.append(3)"}, a_use={"c": "n = next(items), 0"}),
    "a list beside a lock": _held("import threading", {"a": "d = {'f': threading.Lock(), 'xs': [1]}\nxs = d['xs']", "b": "xs.append(2)", "c": "ys = [xs]", "end": "d['xs'].append(3)\ne = list(xs), ys, ys[0] is d['xs']"}, a_change={"b": "xs.append(3)"}),
    "an iterator over an input": Held("xs = [1]", {"a": "items = iter(xs)", "b": "xs.append(3)", "end": "e = list(items), xs"}, {"a change": {"b": "xs.append(4)"}}, input=("xs", [7])),
    "a live input": _held("items = iter([1, 2, 3])", {"a": "a = next(items)", "b": "b = next(items), a", "end": "e = list(items), b"}, a_use={"b": "b = next(items)"}),
    "inputs that share": Held("rows = [[1], [2]]\nfirst = rows[0]", {"a": "first.append(3)", "b --after a": "b = str(rows)", "end": "e = b, rows, first"}, {"the end": {"end": "e = b, rows, first, 1"}}, input=("rows", [[5]])),
    "values that share": _held("", {"a": "rows = [[1], [2]]\nfirst = rows[0]", "b": "first.append(3)", "c": "rows.append(first)", "end": "e = rows, first, rows[0] is first"}, a_change={"b": "first.append(4)"}, another={"c": "rows.append([])"}),
    "names of one object": _held("", {"a": "x = [1]\ny = x", "b": "y.append(2)", "c": "z = x", "end": "z.append(5)\ne = x, y, x is y, z is x"}, a_change={"b": "y.append(3)"}, another={"c": "z = list(x)"}),
    "views of one memory": _held("import numpy as np", {"a": "arr = np.arange(6.)\nview = arr[:2]", "b": "view[0] = 5", "c": "s = float(arr.sum())", "end": "view[1] = 9\ne = arr.tolist(), s"}, a_change={"b": "view[0] = 6"}),
    "random numbers": _held("import random", {"a": "random.seed(3)\na = random.random()", "b": "b = random.random()", "p": "p = 1", "end": "e = a, b, random.random()"}, a_draw={"b": "b = random.random() + 1"}, a_seed={"a": "random.seed(4)\na = random.random()"}, beside={"p": "p = 2"}, one_less={"b": None, "end": "e = a, random.random()"}),
    "random numbers of numpy": _held("import numpy as np", {"a": "np.random.seed(3)\na = float(np.random.rand())", "b": "b = float(np.random.rand())", "end": "e = a, b, float(np.random.rand())"}, no_draw={"b": "b = 0"}),
    "a generator of random numbers": _held("import numpy as np", {"a": "rng = np.random.default_rng(3)\na = float(rng.random())", "b": "b = float(rng.random())", "end": "e = a, b, float(rng.random())"}, no_draw={"b": "b = 0"}),
    "a generator as input": _held("import random\nrng = random.Random(5)", {"a": "a = rng.random()", "b": "b = rng.random()", "end": "e = a, b, rng.random()"}, no_draw={"b": "b = 0"}),
    "a generator": _held("", {"a": "def count():\n    n = 0\n    while True:\n        n += 1\n        yield n\ng = count()", "b": "b = next(g)", "c": "c = next(g)", "end": "e = b, c, next(g)"}, another_use={"b": "b = next(g) + next(g)"}, one_use_less={"c": "c = 0"}),
    "elements": Held("def f(x):\n    return x * 10", {"a": "xs = [1, 2, 3]", "b --map xs --max-parallel 1": "ys = f(xs)", "end": "e = ys"}, {"each": {"b --map xs --max-parallel 1": "ys = f(xs) + 1"}}, {"a helper": "def f(x):\n    return x * 11"}),
    "elements that draw": _held("import random", {"a": "random.seed(1)\nxs = [1, 2, 3]", "b --map xs --max-parallel 1": "ys = xs + random.random()", "end": "e = ys, random.random()"}),
    "elements that share": _held("", {"a": "xs = [1, 2, 3]\nacc = []", "b --map xs --max-parallel 1": "acc.append(xs)\nys = len(acc)", "end": "e = ys, acc"}),
    "elements that keep": _held("def f(x, acc=[]):\n    acc.append(x)\n    return len(acc)", {"a": "xs = [1, 2, 3]", "b --map xs --max-parallel 1": "ys = f(xs)", "end": "e = ys, f(0)"}),
    "elements of an iterator": _held("", {"a": "xs = iter([1, 2, 3])", "b --map xs": "ys = xs + 1", "end": "e = ys"}),
    "elements of two lists": _held("", {"xs": "xs, zs = [1, 2], [3, 4]", "b --map xs zs": "ys = xs * zs", "end": "e = sum(ys)"}, product={"b --map xs zs": None, "end": None, "b --map xs zs --map-mode product": "ys = xs * zs", "last": "e = sum(ys)"}),
    "an answer": Held("import szal_nb as szal", {"a": "a = 1", "b --approve 'how many?'": "b = a, szal.context().answer", "c": "c = a", "end": "e = b"}, {"who is asked": {"b --approve 'how many?'": "b = szal.context().answer, a"}, "the end": {"end": "e = b, 1"}}, answers={"b": {"rows": 5}}),
    "a secret": _held("import szal_nb as szal", {"a": "token = szal.secret('SZAL_HELD_TOKEN')\nn = len(token)", "b": "c = [token]", "end": "e = n, len(c[0])"}),
    "sub-steps": _held("", {"a": "a = [1]", "b --parent a": "b = 2", "c --parent a": "c = 3", "end": "e = a, b, c"}, a_sub_step={"c --parent a": "c = 4"}, the_parent={"a": "a = [2]"}),
    "a condition over a value": Held("", {"a": "a = [1]", "b --when 'len(a) > 1'": "b = 2", "c --when 'len(a) == 1'": "c = 3", "end --trigger none_failed": "e = len(a)"}, {"the value": {"a": "a = [1, 2]"}, "the condition": {"b --when 'len(a) > 1'": None, "b --when 'len(a) > 0'": "b = 2"}}),
    "a condition over an end": Held("k = 0", {"a --on-error continue": "a = 1 / k", "b --when \"steps.a.status == 'failed'\" --trigger all_done": "b = 2", "end --after b --trigger all_done": "e = 1"}, {"it ends well": {"a --on-error continue": "a = 1"}}, input=("k", 1)),
    "a condition over an output": _held("", {"a": "a = 5", "b --when 'steps.a.output > 3'": "b = 2", "end": "e = b"}, still_so={"a": "a = 4"}, not_any_more={"a": "a = 2"}),
    "what is deleted": _held("", {"a": "x = [1]\ny = 2", "b": "z = x + [y]\ndel y", "end": "e = z"}, it_stays={"b": "z = x + [y]"}),
    "an instance as input": Held(TWO_KS.format(by=2) + "k = K()", {"a": "a = k.area()", "b": "b = k.n", "end": "e = a, b"}, {"the end": {"end": "e = a, b, 1"}}, {"a method": TWO_KS.format(by=3) + "k = K()"}, refused="class K is not what it was"),
    "an instance in a list": Held(TWO_KS.format(by=2) + "ks = [K()]", {"a": "v = ks[0]", "b": "b = v.area()", "end": "e = b, v.n"}, {"the end": {"end": "e = b, 1"}}, {"a method": TWO_KS.format(by=3) + "ks = [K()]"}, refused="class K is not what it was"),
    "a class that a step gives": _held("", {"a": "class K:\n    def __init__(self, n):\n        self.n = n\n    def area(self):\n        return self.n * 2\nk = K(3)", "b": "b = k.area()", "c": "m = K(4)", "end": "e = b, m.area(), isinstance(m, K), isinstance(k, K)"}, a_method={"a": "class K:\n    def __init__(self, n):\n        self.n = n\n    def area(self):\n        return self.n * 3\nk = K(3)"}),
    "a function that a step gives": _held("", {"a": "def f(x, acc=[]):\n    acc.append(x)\n    return list(acc)", "b": "b = f(1)", "c": "c = f(2)", "end": "e = b, c, f(3)"}, a_call={"b": "b = f(9)"}),
    "another process": _held("", {"a --executor process": "a = [1, 2]", "b": "b = a + [3]", "end": "e = b"}, the_middle={"b": "b = a"}),
    "a body that awaits": _held("import asyncio", {"a": "await asyncio.sleep(0)\na = 1", "b": "b = a + 1", "end": "e = b"}, the_middle={"b": "b = a"}),
    "what may be done only once": Held("", {"a --once": "a = 1", "b": "b = a + 1", "end": "e = b"}, {"the middle": {"b": "b = a"}}, refused="is marked --once and (has begun|may have done)"),
    "an early end": Held("import szal_nb as szal", {"a": "a = 1", "b": "b = 2\nszal.stop('enough')", "end --after b": "e = a"}, {"no early end": {"b": "b = 2"}, "the end": {"end --after b": "e = a, 1"}}),
    "the first of two": Held("", {"a --on-error continue": "a = 1 / 0", "b": "b = 2", "c --after a b --trigger any": "c = 3", "end --after c": "e = 4"}, {"another": {"b": "b = 3"}, "no failure": {"a --on-error continue": "a = 1"}}),
    "code that knows all names": _held("", {"a": "a = 1", "b": "exec('q = 1')\nb = a", "end": "e = b"}, the_beginning={"a": "a = 2"}),
    "results of earlier runs": _held("", {"a --cache": "a = 1", "b --cache": "b = a + 1", "end": "e = b"}, the_beginning={"a --cache": "a = 2"}),
}  # fmt: skip
