"""Tables of named cases: code, and what the analysis says it reads, gives and changes.

In the tables `a?` is optional, `a~` is a change that is not certain. Modules count as reads here: which names are modules
is the notebook's affair.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass

import pytest

from szal_nb.analysis.cell import analyze_cell
from szal_nb.model.kept import WARNINGS_ARE_OWN


@dataclass(frozen=True)
class Case:
    name: str
    code: str
    reads: str = ""
    gives: str = ""
    changes: str = ""
    deletes: str = ""
    imports: str = ""
    states: str = ""
    dynamic: str = ""
    is_async: bool = False


BINDING = [
    Case("a constant", "x = 1", gives="x"),
    Case("a read before it is bound", "y = x", "x", "y"),
    Case("a read after it is bound is none", "x = 1\ny = x", gives="x y"),
    Case("a name read and bound anew", "x = x + 1", "x", "x"),
    Case("chained targets", "a = b = c", "c", "a b"),
    Case("unpacking", "a, (b, *c) = d", "d", "a b c"),
    Case("swapping", "a, b = b, a", "b a", "a b"),
    Case("a list as target", "[a, b] = pair", "pair", "a b"),
    Case("star at the end", "first, *rest = items", "items", "first rest"),
    Case("an annotation without value binds nothing", "x: T", "T"),
    Case("an annotation with value", "x: T = v", "T v", "x"),
    Case("leading underscores are not given", "_x = 1\n__y = 2\nz = _x", gives="z"),
    Case("a lone underscore is not given", "_, b = pair", "pair", "b"),
    Case("the last expression makes no name", "df.head()", "df"),
    Case("builtins are not read", "print(len(xs))", "xs"),
    Case("a builtin that the cell shadows", "list = [1]\nprint(list)", gives="list"),
    Case("names that every namespace has", "print(__name__, __doc__)"),
    Case("docstring and pass", "'''text'''\npass"),
    Case("an empty cell", ""),
    Case("only a comment", "# nothing here"),
    Case("semicolons", "a = x; b = a", "x", "a b"),
    Case("a conditional expression", "y = a if c else b", "c a b", "y"),
    Case("boolean operators", "y = a and b or c", "a b c", "y"),
    Case("comparisons", "ok = a < b <= c", "a b c", "ok"),
    Case("slices", "y = x[a:b, c]", "x a b c", "y"),
    Case("a star in a call", "f(*args, **kw)", "f args kw", changes="args~ kw~ f~"),
    Case("keyword names are not reads", "y = f(x=1, z=w)", "f w", "y"),
    Case("attribute names are not reads", "y = a.b.c", "a", "y"),
    Case("a dict literal", "d = {k: v, **rest}", "k v rest", "d"),
    Case("a set literal", "s = {a, *b}", "a b", "s"),
    Case("unicode names", "größe = höhe * 2", "höhe", "größe"),
    Case("ellipsis", "y = x[..., 0]", "x", "y"),
]

TEXT = [
    Case("an f-string", "s = f'{a} {b!r:>{w}}'", "a b w", "s"),
    Case("an f-string with a nested string", "s = f\"{d['k']}\"", "d", "s"),
    Case("an f-string with an expression", "print(f'{x + y = }')", "x y"),
    Case("an f-string with a lambda", "s = f'{(lambda q: q + z)(1)}'", "z", "s"),
    Case("a plain string is no read", "s = '{a}'", gives="s"),
    Case("a lookup in a format string is none", "s = '{a}'.format(a=b)", "b", "s"),
    Case("query strings", "y = df.query('p > @limit and q == @names[0]')", "df limit names", "y"),
    Case("eval strings", "y = df.eval('z = a + @shift')", "df shift", "y"),
    Case("the fixed parts of an f-string query", "y = df.query(f'{col} > @limit')", "df col limit", "y"),
    Case("a query string given by keyword", "y = df.query(expr='a > @b')", "df b", "y"),
    Case("a query without at names", "y = df.query('a > 1')", "df", "y"),
    Case(
        "names of tables in duckdb",
        "y = duckdb.sql('select * from orders join users using (id)').df()",
        "duckdb orders? users?",
        "y",
        states="duckdb",
    ),
    Case(
        "a table expression of SQL is no read",
        "y = duckdb.sql('with t as (select * from orders) select * from t').df()",
        "duckdb orders?",
        "y",
        states="duckdb",
    ),
    Case("several tables after from", "y = duckdb.query('select 1 from a, b')", "duckdb a? b?", "y", states="duckdb"),
]

IMPORTS = [
    Case("an import", "import os", imports="os"),
    Case("an import of a submodule binds the package", "import os.path", imports="os"),
    Case("an import with another name", "import numpy as np, pandas as pd", imports="np pd"),
    Case("an import from", "from math import sqrt, pi as PI", imports="sqrt PI"),
    Case("an imported name is no read", "import math\ny = math.pi", gives="y", imports="math"),
    Case("an import in a branch", "if c:\n    import json", "c", imports="json"),
    Case(
        "an import with a fallback",
        "try:\n    import tomllib\nexcept ImportError:\n    import tomli as tomllib",
        imports="tomllib",
    ),
    Case(
        "an import with a fallback value", "try:\n    import rich\nexcept ImportError:\n    rich = None", gives="rich"
    ),
    Case("an import in a function", "def f():\n    import json\n    return json", gives="f"),
    Case("an import bound anew is given", "import x\nx = x.make()", gives="x"),
    Case("a future import", "from __future__ import annotations", imports="annotations"),
    Case("a star import", "from math import *", dynamic="from math import *"),
]

BRANCHES = [
    Case("bound in one branch", "if c:\n    x = 1", "c", "x?"),
    Case("bound in both branches", "if c:\n    x = 1\nelse:\n    x = 2\ny = x", "c", "x y"),
    Case("read after one branch", "if c:\n    x = 1\ny = x", "c x?", "x? y"),
    Case(
        "bound in all of several branches",
        "if a:\n    x = 1\nelif b:\n    x = 2\nelse:\n    x = 3\nprint(x)",
        "a b",
        "x",
    ),
    Case(
        "not bound where the other branch raises",
        "if c:\n    x = 1\nelse:\n    raise ValueError(m)\ny = x",
        "c m",
        "x y",
    ),
    Case("a for loop may not run", "for i in xs:\n    y = i", "xs", "i? y?"),
    Case("a loop reads before it binds", "for i in xs:\n    t = t + i", "xs t", "i? t?"),
    Case(
        "behind a branch, an earlier round may have bound it",
        "for i in xs:\n    if i:\n        a = b\n    b = i",
        "xs b?",
        "i? a? b?",
    ),
    Case(
        "a round that binds and continues",
        "for i in xs:\n    if i:\n        t = 0\n        continue\n    t = t + i\ny = t",
        "xs t?",
        "i? t? y",
    ),
    Case("a choice in a loop", "while c:\n    a = b if a0 else 0\n    b = a", "c a0 b?", "a? b?"),
    Case("no round of the loop binds it", "for i in xs:\n    if i:\n        print(b)", "xs b", "i?"),
    Case(
        "behind the loop, a name is read for certain", "for i in xs:\n    if i:\n        pass\nb\nb = 1", "xs b", "i? b"
    ),
    Case("a for loop with else", "for i in xs:\n    pass\nelse:\n    y = 1", "xs", "i? y"),
    Case("a loop that unpacks", "for k, (a, b) in d.items():\n    print(k, a, b)", "d", "k? a? b?"),
    Case("a while loop", "while n > 0:\n    n = n - 1", "n", "n?"),
    Case(
        "an endless loop binds what stands before its break",
        "while True:\n    x = f()\n    if x:\n        break\nprint(x)",
        "f",
        "x",
    ),
    Case("break skips the rest", "for i in xs:\n    if i:\n        break\n    y = 1\nz = y", "xs y?", "i? y? z"),
    Case("continue skips the rest", "for i in xs:\n    if i:\n        continue\n    y = 1", "xs", "i? y?"),
    Case(
        "nested loops",
        "for a in m:\n    for b in a:\n        for c in b:\n            for d in c:\n                s = d",
        "m",
        "a? b? c? d? s?",
    ),
    Case(
        "try binds for certain only with its handlers",
        "try:\n    x = f()\nexcept ValueError:\n    x = None\ny = x",
        "f",
        "x y",
    ),
    Case("a handler that passes", "try:\n    x = f()\nexcept ValueError:\n    pass\ny = x", "f x?", "x? y"),
    Case("a handler that raises", "try:\n    x = f()\nexcept ValueError:\n    raise\ny = x", "f", "x y"),
    Case(
        "the name of an exception is deleted", "try:\n    f()\nexcept ValueError as e:\n    print(e)", "f", changes="f~"
    ),
    Case(
        "the name of an exception after its handler",
        "try:\n    y = 1\nexcept ValueError as e:\n    pass\nprint(e)",
        "e",
        "y?",
    ),
    Case("finally is certain", "try:\n    f()\nfinally:\n    y = 1", "f", "y", changes="f~"),
    Case("else of a try", "try:\n    a = 1\nexcept OSError:\n    a = 2\nelse:\n    b = a", "", "a b?"),
    Case("a guarded read is optional", "try:\n    x\nexcept NameError:\n    x = 1", "x?", "x?"),
    Case("except star", "try:\n    f()\nexcept* ValueError as g:\n    y = g", "f", "y?", changes="f~"),
    Case("with", "with open(p) as f:\n    t = f.read()", "p", "f t"),
    Case("with several", "with a() as x, b(x) as (y, z):\n    pass", "a b", "x y z"),
    Case(
        "suppress may cut the body",
        "import contextlib\nwith contextlib.suppress(E):\n    x = f()\ny = x",
        "E f x?",
        "x? y",
        imports="contextlib",
    ),
    Case(
        "match binds captures",
        "match p:\n    case [a, *b]:\n        y = a\n    case {'k': v, **rest}:\n        y = v\n    case _:\n        y = 0",
        "p",
        "a? b? y rest? v?",
    ),
    Case(
        "match reads classes and values",
        "match p:\n    case Point(x=0) | Color.RED:\n        y = 1",
        "p Point Color",
        "y?",
    ),
    Case("match with a guard", "match p:\n    case x if x > limit:\n        y = x", "p limit", "x? y?"),
    Case("match as", "match p:\n    case (1 | 2) as n:\n        pass", "p", "n?"),
    Case("assert", "assert x > 0, message", "x message"),
    Case("raise from", "raise E(a) from b", "E a b"),
    Case("nothing after raise counts", "raise E\ny = z", "E"),
    Case("walrus in a condition", "if (n := len(xs)) > 3:\n    print(n)", "xs", "n"),
    Case("walrus behind and is not certain", "if a and (n := f()):\n    pass\nprint(n)", "a f n?", "n?"),
    Case("deleting what the cell bound", "x = 1\ndel x", deletes="x"),
    Case("deleting from outside", "del x", "x", deletes="x"),
    Case("deleting several", "del a, (b, c)", "a b c", deletes="a b c"),
    Case("reading after deleting", "x = 1\ndel x\nprint(x)", "x", deletes="x"),
    Case("deleting in one branch", "if c:\n    del x", "c x"),
    Case("a loop variable deleted", "for i in xs:\n    pass\ndel i", "xs i?", deletes="i"),
]

SCOPES = [
    Case("a comprehension keeps its names", "ys = [x for x in xs]", "xs", "ys"),
    Case("a comprehension does not disturb an outer name", "x = 1\nys = [x for x in xs]\nz = x", "xs", "x ys z"),
    Case("a comprehension reads outer names", "ys = [f(x, y) for x in xs if x > y]", "xs y f", "ys"),
    Case("a comprehension whose name is read before", "ys = [x for x in x]", "x", "ys"),
    Case("nested comprehensions", "ys = [[c + k for c in r] for r in m]", "m k", "ys"),
    Case("several generators", "ys = [a * b for a in xs for b in a.items if b in ok]", "xs ok", "ys"),
    Case("a dict comprehension", "d = {k: v for k, v in pairs}", "pairs", "d"),
    Case("a set comprehension", "s = {len(w) for w in words}", "words", "s"),
    Case("a generator expression", "t = sum(p * n for p, n in rows)", "rows", "t"),
    Case("walrus in a comprehension binds outside", "ys = [y for x in xs if (y := f(x))]", "xs f", "y? ys"),
    Case("a function is given, its body waits", "def f(x):\n    return x + shift", gives="f"),
    Case(
        "a function that is called reads what its body reads",
        "def f(x):\n    return x + shift\ny = f(1)",
        "shift",
        "f y",
    ),
    Case(
        "a function reads what the cell bound before the call", "def f():\n    return k\nk = 1\ny = f()", gives="f k y"
    ),
    Case("a function called before the cell binds", "def f():\n    return k\ny = f()\nk = 1", "k", "f y k"),
    Case("a function that is handed on", "def f(x):\n    return x * k\ny = xs.map(f)", "xs k", "f y"),
    Case("a function of functions", "def f():\n    return g()\ndef g():\n    return k\ny = f()", "k", "f g y"),
    Case("recursion", "def f(n):\n    return n and f(n - k)\ny = f(3)", "k", "f y"),
    Case("mutual recursion", "def f(n):\n    return g(n)\ndef g(n):\n    return f(n - k)\ny = f(3)", "k", "f g y"),
    Case("defaults are read where they stand", "def f(x=a, *, y=b):\n    pass", "a b", "f"),
    Case("annotations of functions are read", "def f(x: T) -> R:\n    pass", "R T", "f"),
    Case("annotations of locals are not", "def f():\n    x: T = 1\nf()", gives="f"),
    Case("decorators are read and call", "@dec(k)\ndef f():\n    return z", "dec k z", "f"),
    Case("locals are not read", "def f():\n    x = 1\n    return x\nf()", gives="f"),
    Case("a local read too early is still local", "def f():\n    print(x)\n    x = 1\nf()", gives="f"),
    Case(
        "parameters of every form", "def f(a, /, b, *c, d, **e):\n    return a, b, c, d, e, g\nf(1, 2, d=3)", "g", "f"
    ),
    Case("global binds", "def f():\n    global n\n    n = 1\nf()", gives="f n"),
    Case("global counts", "def f():\n    global n\n    n += 1\nf()", "n", "f n", changes="n~"),
    Case("global without a call", "def f():\n    global n\n    n = 1", gives="f"),
    Case(
        "nonlocal stays inside",
        "def f():\n    n = 0\n    def g():\n        nonlocal n\n        n += k\n    g()\nf()",
        "k",
        "f",
    ),
    Case(
        "a closure reads its outer function",
        "def f(a):\n    def g():\n        return a + k\n    return g()\ny = f(1)",
        "k",
        "f y",
    ),
    Case("a lambda that is named waits", "f = lambda x: x + k", gives="f"),
    Case("a lambda that is used reads", "y = sorted(xs, key=lambda r: r[col])", "xs col", "y"),
    Case("defaults of a lambda", "f = lambda x=a: x", "a", "f"),
    Case("a lambda called by name", "f = lambda x: x + k\ny = f(2)", "k", "f y"),
    Case("a class body runs", "class A(Base, metaclass=M):\n    x = start\n    y = x", "Base M start", "A"),
    Case("a class body keeps its names", "class A:\n    x = 1\nprint(x)", "x", "A"),
    Case("methods do not see the class body", "class A:\n    x = 1\n    def f(self):\n        return x", "x", "A"),
    Case("methods read globals", "class A:\n    def f(self):\n        return self.y + z", "z", "A"),
    Case("methods may name their class", "class A:\n    def f(self):\n        return A()", gives="A"),
    Case(
        "names bound below for methods are optional", "class A:\n    def f(self):\n        return z\nz = 1", "z?", "A z"
    ),
    Case("a dataclass", "@dataclass\nclass A:\n    x: int = field(default=d)", "dataclass field d", "A"),
    Case("a class in a function", "def f():\n    class A:\n        y = k\n    return A\nf()", "k", "f"),
    Case("generators", "def g():\n    for x in xs:\n        yield x + k\nys = list(g())", "xs k", "g ys"),
    Case("an async function is no await", "async def f():\n    await g()", gives="f"),
    Case("top-level await", "x = await f(y)", "f y", "x", is_async=True),
    Case("top-level async for", "async for x in s:\n    y = x", "s", "x? y?", is_async=True),
    Case("top-level async with", "async with s() as c:\n    y = c", "s", "c y", is_async=True),
    Case("an async comprehension", "ys = [x async for x in s]", "s", "ys", is_async=True),
    Case("await in a comprehension", "ys = [await f(x) for x in xs]", "xs f", "ys", is_async=True),
]

CHANGES = [
    Case("an item is set", "df['x'] = y", "y df", changes="df"),
    Case("an attribute is set", "cfg.rate = 2", "cfg", changes="cfg"),
    Case("an item of an item", "d['a']['b'] = 1", "d", changes="d"),
    Case("loc", "df.loc[mask, 'x'] = 0", "df mask", changes="df"),
    Case("an item is deleted", "del d['a']", "d", changes="d"),
    Case("an attribute is deleted", "del o.a", "o", changes="o"),
    Case("a slice is set", "x[1:3] = y", "y x", changes="x"),
    Case("augmented item", "d['n'] += k", "k d", changes="d"),
    Case("augmented name", "xs += [1]", "xs", "xs", changes="xs"),
    Case("augmented name of unknown type", "n += 1", "n", "n", changes="n~"),
    Case("an augmented number is bound anew", "n = 0\nn += k", "k", "n"),
    Case("append", "xs.append(y)", "xs y", changes="xs"),
    Case("append inside", "d['a'].append(1)", "d", changes="d"),
    Case("append to an attribute", "self.items.append(1)", "self", changes="self"),
    Case(
        "append in a condition",
        "ys = [x for x in xs if not (x in seen or seen.add(x))]",
        "xs seen",
        "ys",
        changes="seen",
    ),
    Case("pop in an expression", "y = xs.pop()", "xs", "y", changes="xs"),
    Case("an unknown method as a statement", "thing.refresh()", "thing", changes="thing~"),
    Case("an unknown method whose result is used", "y = thing.refresh()", "thing", "y"),
    Case("an unknown method at the end of a chain", "thing.a.b().c()", "thing", changes="thing~"),
    Case("a known method as a statement", "df.describe()", "df"),
    Case("a chain of known methods", "df.groupby('a').b.sum().plot.bar()", "df", states="pyplot"),
    Case("inplace", "df.dropna(inplace=True)", "df", changes="df"),
    Case("inplace on a part", "df['x'].fillna(0, inplace=True)", "df", changes="df"),
    Case("inplace that is off", "df.dropna(inplace=False)", "df"),
    Case("fit", "model.fit(X, y)", "model X y", changes="model"),
    Case("fit in an expression", "m = model.fit(X, y)", "model X y", "m", changes="model"),
    Case("predict", "p = model.predict(X)", "model X", "p"),
    Case("sort as a statement", "xs.sort()", "xs", changes="xs"),
    Case("sort whose result is used", "y = df.sort('a')", "df", "y"),
    Case("a draw from a generator", "x = rng.normal(size=3)", "rng", "x", changes="rng"),
    Case("torch in place", "t.clamp_(0)", "t", changes="t"),
    Case("an unknown function as a statement", "process(df, n=k)", "process df k", changes="df~ k~ process~"),
    Case("an unknown function whose result is used", "y = process(df)", "process df", "y"),
    Case("print changes nothing", "print(df, xs)", "df xs"),
    Case("next", "y = next(it)", "it", "y", changes="it"),
    Case("setattr", "setattr(o, 'a', 1)", "o", changes="o"),
    Case("heappush", "import heapq\nheapq.heappush(heap, 3)", "heap", changes="heap", imports="heapq"),
    Case("shuffle", "import random\nrandom.shuffle(xs)", "xs", changes="xs", imports="random", states="random"),
    Case("json.dump writes its file", "import json\njson.dump(d, f)", "d f", changes="f", imports="json"),
    Case("an alias", "y = x\ny.append(1)", "x", "y", changes="x"),
    Case("an alias of an alias", "y = x\nz = y\nz['a'] = 1", "x", "y z", changes="x"),
    Case("an alias bound anew", "y = x\ny = []\ny.append(1)", "x", "y"),
    Case("an alias in one branch", "y = a if c else b\ny.append(1)", "c a b", "y", changes="a b"),
    Case("a view", "y = x[1:]\ny[0] = 5", "x", "y", changes="x"),
    Case("a part", "y = d['k']\ny.append(1)", "d", "y", changes="d"),
    Case("picking by a condition copies", "y = df[df.a > 1]\ny['b'] = 1", "df", "y"),
    Case("picking by a mask copies", "m = df.a > 1\ny = df[m]\ny['b'] = 1", "df", "m y"),
    Case("picking columns copies", "y = df[['a', 'b']]\ny['c'] = 1", "df", "y"),
    Case("a copy", "y = df.copy()\ny['a'] = 1", "df", "y"),
    Case("a shallow copy shares what is inside", "y = d.copy()\ny['a']['b'] = 1", "d", "y", changes="d"),
    Case("elements in a loop", "for row in rows:\n    row['a'] = 1", "rows", "row?", changes="rows"),
    Case("elements in a loop over items", "for k, v in d.items():\n    v.append(k)", "d", "k? v?", changes="d"),
    Case("rows of a frame are copies", "for i, row in df.iterrows():\n    row['a'] = 1", "df", "i? row?"),
    Case(
        "elements by enumerate and zip",
        "for i, (a, b) in enumerate(zip(xs, ys)):\n    a.n = i",
        "xs ys",
        "i? a? b?",
        changes="xs",
    ),
    Case("an element kept in a list", "box = [x]\nbox[0].append(1)", "x", "box", changes="x"),
    Case("a list that holds it is changed, it is not", "box = [x]\nbox.append(1)", "x", "box"),
    Case("kept by append", "box = []\nbox.append(x)\nbox[0]['a'] = 1", "x", "box", changes="x"),
    Case("kept in a dict", "d = {'x': x}\nd['x'].add_(1)", "x", "d", changes="x"),
    Case(
        "a sorted list holds the same elements",
        "ys = sorted(rows, key=len)\nys[0]['a'] = 1",
        "rows",
        "ys",
        changes="rows",
    ),
    Case("walrus aliases", "(y := x).append(1)", "x", "y", changes="x"),
    Case("unpacked from a tuple", "a, b = x, y\na.append(1)", "x y", "a b", changes="x"),
    Case("swapped", "a, b = b, a\na.append(1)", "b a", "a b", changes="b"),
    Case(
        "a tie through a loop", "y = []\nfor r in rows:\n    y.append(r)\ny[0]['a'] = 1", "rows", "y r?", changes="rows"
    ),
    Case("what it made itself is no change", "xs = []\nxs.append(1)\nxs += [2]\nxs[0] = 3", gives="xs"),
    Case(
        "a new frame is no change", "df = pd.read_csv(p)\ndf['x'] = 1\ndf.drop(columns='a', inplace=True)", "pd p", "df"
    ),
    Case("a function that changes its argument", "def f(x):\n    x.append(1)\nf(xs)", "xs", "f", changes="xs"),
    Case(
        "a function that changes its argument, by keyword",
        "def f(a, b):\n    b['k'] = a\nf(b=d, a=1)",
        "d",
        "f",
        changes="d",
    ),
    Case("through two functions", "def f(x):\n    g(x)\ndef g(y):\n    y.append(1)\nf(xs)", "xs", "f g", changes="xs"),
    Case("a function that changes a global", "def f():\n    xs.append(1)\nf()", "xs", "f", changes="xs"),
    Case(
        "a function that returns its argument",
        "def f(x):\n    return x\ny = f(xs)\ny.append(1)",
        "xs",
        "f y",
        changes="xs",
    ),
    Case(
        "a function that copies its argument",
        "def f(x):\n    x = x.copy()\n    x['a'] = 1\n    return x\ny = f(df)",
        "df",
        "f y",
    ),
    Case("a function that only reads", "def f(x):\n    return x.mean()\ny = f(df)\nf(df)", "df", "f y"),
    Case(
        "a changing function that is handed on",
        "def f(r):\n    r['a'] = 1\n    return r\ny = df.apply(f, axis=1)",
        "df",
        "f y",
        changes="df~",
    ),
    Case("a changing lambda", "xs.map(lambda r: r.pop())", "xs", changes="xs~"),
    Case("a star argument", "def f(*xs):\n    xs[0].append(1)\nf(a, b)", "a b", "f", changes="a b"),
    Case(
        "a global statement keeps an alias",
        "def f():\n    global y\n    y = x\nf()\ny.append(1)",
        "x",
        "f y",
        changes="x",
    ),
    Case(
        "a list in a cell of a table",
        "import pandas as pd\ndf = pd.concat(dfs)\nx['s'][0].append(1)",
        "dfs x",
        "df",
        changes="x",
        imports="pd",
    ),
    Case("a sum of lists holds their elements", "y = a + b\ny[0].append(1)", "a b", "y", changes="a b"),
    Case("a sum with a number does not", "y = a + 1\ny[0] = 2", "a", "y"),
    Case(
        "a deep change of a list made for the call",
        "def f(xs):\n    for x in xs:\n        x.append(1)\nf([a, b])",
        "a b",
        "f",
        changes="a b",
    ),
    Case(
        "a changing function handed to a function of the notebook",
        "def f(x):\n    x.append(1)\ndef each(g, xs):\n    return [g(x) for x in xs]\neach(f, [a])",
        "a",
        "f each",
        changes="a~",
    ),
    Case(
        "a lambda keeps what it returns",
        "def each(g, xs):\n    return [g(x) for x in xs]\ny = each(lambda q: [q, z], xs)\ny[0][1].append(1)",
        "z xs",
        "each y",
        changes="xs z",
    ),
    Case(
        "a binding lost to an exception",
        "try:\n    if p:\n        x = p\n    raise ValueError\nexcept ValueError:\n    y = x",
        "p x?",
        "x? y",
    ),
    Case("a method of a string changes nothing", "s = 'a'\ns.refresh()", gives="s"),
    Case("logging changes nothing", "log.info('x %s', y)", "log y"),
]

STATES = [
    Case("numpy's global generator", "x = np.random.rand(3)", "np", "x", states="numpy.random"),
    Case("a seed", "np.random.seed(0)", "np", states="numpy.random"),
    Case("a generator of one's own", "rng = np.random.default_rng(0)", "np", "rng"),
    Case("python's generator", "x = random.random()", "random", "x", states="random"),
    Case(
        "python's generator by name",
        "from random import choice\nx = choice(xs)",
        "xs",
        "x",
        imports="choice",
        states="random",
    ),
    Case("a sample draws", "y = df.sample(5)", "df", "y", states="numpy.random"),
    Case("a seeded sample does not", "y = df.sample(5, random_state=1)", "df", "y"),
    Case(
        "an unseeded split",
        "from sklearn.model_selection import train_test_split\na, b = train_test_split(X)",
        "X",
        "a b",
        imports="train_test_split",
        states="numpy.random",
    ),
    Case(
        "a seeded split",
        "from sklearn.model_selection import train_test_split\na, b = train_test_split(X, random_state=0)",
        "X",
        "a b",
        imports="train_test_split",
    ),
    Case(
        "an unseeded forest",
        "from sklearn.ensemble import RandomForestClassifier as RF\nm = RF().fit(X, y)",
        "X y",
        "m",
        imports="RF",
        states="numpy.random",
    ),
    Case(
        "a model that does not draw",
        "from sklearn.linear_model import LinearRegression\nm = LinearRegression().fit(X, y)",
        "X y",
        "m",
        imports="LinearRegression",
    ),
    Case("torch", "x = torch.randn(3)", "torch", "x", states="torch.random"),
    Case("chdir", "os.chdir(p)", "os p", states="working directory"),
    Case("environment, set", "os.environ['A'] = '1'", "os", states="environment"),
    Case("environment, by method", "os.environ.setdefault('A', '1')", "os", states="environment"),
    Case("environment, read", "a = os.environ['A']", "os", "a"),
    Case("options of pandas", "pd.set_option('display.width', 80)", "pd", states="pandas options"),
    Case("options of pandas by attribute", "pd.options.display.width = 80", "pd", states="pandas options"),
    Case("warnings", "warnings.filterwarnings('ignore')", "warnings", states="warnings filters"),
    Case(
        "warnings of its own",
        "with warnings.catch_warnings(record=True) as seen:\n    warnings.simplefilter('ignore')\n    x = 1",
        "warnings",
        "seen x",
        states="" if WARNINGS_ARE_OWN else "warnings filters",
    ),
    Case(
        "warnings of its own, then those of all",
        "with warnings.catch_warnings():\n    x = 1\nwarnings.simplefilter('ignore')",
        "warnings",
        "x",
        states="warnings filters",
    ),
    Case(
        "a setting inside of what is its own",
        "with warnings.catch_warnings(), np.errstate(all='ignore'):\n    os.chdir(p)\n    x = random.random()",
        "warnings np os p random",
        "x",
        states="working directory random",
    ),
    Case("errors of numpy for a while", "with np.errstate(all='ignore'):\n    np.seterr(all='raise')", "np"),
    Case("errors of numpy", "np.seterr(all='ignore')", "np", states="numpy options"),
    Case("one that is entered later", "w = warnings.catch_warnings()", "warnings", "w", states="warnings filters"),
    Case(
        "warnings set by a function of another with",
        "def quiet():\n    warnings.simplefilter('ignore')\nwith lock:\n    quiet()",
        "lock warnings",
        "quiet",
        states="warnings filters",
    ),
    Case(
        "warnings set by a function of its own with",
        "def quiet():\n    warnings.simplefilter('ignore')\nwith warnings.catch_warnings():\n    quiet()",
        "warnings",
        "quiet",
        states="" if WARNINGS_ARE_OWN else "warnings filters",
    ),
    Case("locale", "locale.setlocale(locale.LC_ALL, 'C')", "locale", states="locale"),
    Case("signals", "signal.signal(signal.SIGINT, h)", "signal h", states="signals"),
    Case("stdout", "sys.stdout = buffer", "buffer sys", states="standard output"),
    Case(
        "redirected stdout",
        "import contextlib\nwith contextlib.redirect_stdout(b):\n    print(1)",
        "b",
        imports="contextlib",
        states="standard output",
    ),
    Case("pyplot", "plt.plot(x)\nplt.show()", "plt x", states="pyplot"),
    Case("pyplot through a frame", "df.plot()", "df", states="pyplot"),
    Case("pyplot through hist", "df['a'].hist(bins=3)", "df", states="pyplot"),
    Case("style of matplotlib", "plt.rcParams['figure.dpi'] = 90", "plt", states="pyplot matplotlib options"),
    Case("seaborn", "sns.histplot(df)", "sns df", states="pyplot"),
    Case(
        "what is made of systems is a system",
        "from control import tf\ns = tf('s')\nP = 1 / (s + 1)",
        gives="s P",
        imports="tf",
        states="names of systems",
    ),
    Case(
        "systems without names are numbered",
        "import control as ct\nP = ct.tf([1], [1, 2])\nct.bode_plot(P)",
        gives="P",
        imports="ct",
        states="names of systems pyplot",
    ),
    Case("a graph is laid out", "import networkx as nx\nnx.draw(G)", "G", imports="nx", states="pyplot numpy.random"),
    Case("a graph is laid out already", "import networkx as nx\nnx.draw(G, p)", "G p", imports="nx", states="pyplot"),
    Case(
        "communities are found by chance",
        "import networkx as nx\nfound = nx.community.louvain_communities(G)",
        "G",
        "found",
        imports="nx",
        states="random numpy.random",
    ),
    Case(
        "communities from a seed",
        "import networkx as nx\nfound = nx.community.louvain_communities(G, seed=1)",
        "G",
        "found",
        imports="nx",
    ),
    Case(
        "a sample of nodes",
        "import networkx as nx\na = nx.betweenness_centrality(G)\nb = nx.betweenness_centrality(G, k=9)",
        "G",
        "a b",
        imports="nx",
        states="random numpy.random",
    ),
    Case(
        "a library that draws", "import shap\nshap.summary_plot(v)", "v", changes="v~", imports="shap", states="pyplot"
    ),
    Case("a module that draws", "from shap.plots import bar\nx = bar(v)", "v", "x", imports="bar", states="pyplot"),
    Case("a library with pictures of its own", "import plotly\nx = plotly.offline.plot(v)", "v", "x", imports="plotly"),
    Case(
        "a colour bar is drawn beside what it tells of",
        "import matplotlib.pyplot as plt\nplt.colorbar(found)",
        "found",
        changes="found",
        imports="plt",
        states="pyplot",
    ),
    Case(
        "a data set of seaborn is a table",
        "import seaborn as sns\ndf = sns.load_dataset(n)\nxs.append(df)\nbig = df.query(q)",
        "n xs q",
        "df big",
        "xs",
        imports="sns",
    ),
    Case(
        "a grid leaves its data alone",
        "import seaborn as sns\ng = sns.FacetGrid(df)\ng.map(f, 'x')",
        "df f",
        "g",
        imports="sns",
        states="pyplot",
    ),
    Case(
        "a recipe of a drawing is never changed",
        "import seaborn.objects as so\nso.Plot(df).add(m).scale(x=s)",
        "df m s",
        imports="so",
        states="pyplot",
    ),
    Case(
        "a recipe draws on what it is put on",
        "import seaborn.objects as so\nso.Plot(df).on(axes).show()",
        "df axes",
        changes="axes",
        imports="so",
        states="pyplot",
    ),
    Case(
        "what is drawn on axes is a part of them",
        "import seaborn as sns\nsame = sns.lineplot(df, ax=axes)\nsame.set(title=t)",
        "df axes t",
        "same",
        "axes",
        imports="sns",
        states="pyplot",
    ),
    Case(
        "an attribute of a module",
        "import config\nconfig.rate = 2",
        imports="config",
        states="module config patch of config.rate",
    ),
    Case("globals", "globals()['x'] = 1", dynamic="globals()"),
    Case("exec", "exec(code)", "code", dynamic="exec()"),
    Case("eval", "y = eval(text)", "text", "y", dynamic="eval()"),
    Case("locals at top level", "d = locals()", gives="d", dynamic="locals()"),
    Case("locals in a function", "def f():\n    return locals()\nd = f()", gives="f d"),
    Case("the shell's namespace", "ns = get_ipython().user_ns", gives="ns", dynamic="get_ipython().user_ns"),
]

IPYTHON = [
    Case("a shell line", "get_ipython().system('ls {folder} $name')", "name? folder?"),
    Case("a shell line whose output is kept", "files = get_ipython().getoutput('ls')", gives="files"),
    Case("a harmless magic", "get_ipython().run_line_magic('load_ext', 'autoreload')"),
    Case("matplotlib inline", "get_ipython().run_line_magic('matplotlib', 'inline')", states="pyplot"),
    Case("time runs its line here", "get_ipython().run_line_magic('time', 'y = f(x)')", "f x", "y"),
    Case("time runs its cell here", "get_ipython().run_cell_magic('time', '', 'y = x + 1\\nz = y\\n')", "x", "y z"),
    Case("timeit", "get_ipython().run_line_magic('timeit', '-n 10 f(x)')", "f x", changes="x~ f~"),
    Case("capture binds its output", "get_ipython().run_cell_magic('capture', 'out', 'print(x)')", "x", "out"),
    Case("cd", "get_ipython().run_line_magic('cd', 'data')", states="working directory"),
    Case("env", "get_ipython().run_line_magic('env', 'A=1')", states="environment"),
    Case("an unknown magic", "get_ipython().run_line_magic('sql', 'select 1')", dynamic="%sql"),
    Case("run", "get_ipython().run_line_magic('run', 'other.ipynb')", dynamic="%run"),
    Case("bash", "get_ipython().run_cell_magic('bash', '', 'echo $HOME')"),
]  # fmt: skip

CASES = [*BINDING, *TEXT, *IMPORTS, *BRANCHES, *SCOPES, *CHANGES, *STATES, *IPYTHON]


def _marked(items, mark, is_marked):
    return " ".join(item.name + (mark if is_marked(item) else "") for item in items)


def _found(case: Case) -> Case:
    names = analyze_cell(textwrap.dedent(case.code))
    return Case(
        case.name,
        case.code,
        _marked(names.reads, "?", lambda read: read.is_optional),
        _marked(names.gives, "?", lambda given: given.is_optional),
        _marked(names.changes, "~", lambda change: not change.is_certain),
        " ".join(read.name for read in names.deletes),
        " ".join(one.name for one in names.imports),
        " ".join(dict.fromkeys(use.state for use in names.states if use.is_write)),
        " ".join(read.name for read in names.dynamic),
        names.is_async,
    )


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_cell_reads_gives_and_changes(case):
    assert _found(case) == case


def test_the_table_is_large_and_its_names_are_unique():
    assert len(CASES) >= 150
    assert len({case.name for case in CASES}) == len(CASES)
