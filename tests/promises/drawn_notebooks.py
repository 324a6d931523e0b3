"""Notebooks drawn at random: cells of statements over a few lists, and what besides lists a notebook holds."""

from __future__ import annotations

import re

from hypothesis import strategies as st

from tests.analysis.cells import HELPERS as ON_LISTS

HELPERS = (
    ON_LISTS
    + """
import contextlib
import dataclasses
import functools
import io
import itertools
import json
import queue
import random
import threading
import numpy as np
import pandas as pd

def counter(start):
    count = [start]

    def step(by=1):
        count[0] += by
        return count[0]

    return step

@functools.cache
def remembered():
    return [1]

@functools.lru_cache(maxsize=2)
def remembered_for(n):
    return [n, [n]]

def memo(fn):
    known = {}

    @functools.wraps(fn)
    def inner(*args):
        if args not in known:
            known[args] = fn(*args)
        return known[args]

    return inner

@memo
def told(n):
    return [n]

def through():
    return remembered()

class Lazy:
    def __init__(self, held):
        self.held = held

    @functools.cached_property
    def own(self):
        return [len(self.held)]

    @functools.cache
    def kept(self):
        return [2]

@dataclasses.dataclass
class Point:
    x: int = 0
    tags: list = dataclasses.field(default_factory=list)

class Scope:
    def __init__(self, held):
        self.held = held

    def __enter__(self):
        return self.held

    def __exit__(self, *_):
        self.held.append(0)
"""
)
NAMES = "abcd"
# `{x}`, `{y}` and `{z}` become names of lists; `|` begins a line.
STATEMENTS = """
{x} = [1]
{x} = [[1], [2]]
{x} = {y}
{x} = [{y}]
{x} = [{y}, {z}]
{x} = [*{y}]
{x} = {y} + {z}
{x} = {y}[:]
{x} = copy.deepcopy({y})
{x} = last({y})
{x} = grown({y})
{x} = double({y})
{x} = each(last, {y}, {z})
{x} = [p for p in {y} if isinstance(p, list)]
{x} = {y} if len({z}) > 2 else [0]
{x} = {y} and {z}
{x} = {{'k': {y}}}['k']
{x}, {y} = {y}, {x}
{x}.append(7)
{x}.append([8])
{x}.append({y})
{x} += [5]
{x} += {y}
{x}[:1] = [[4]]
{x}.insert(0, {x}[-1] if {x} else 1)
del {x}[:1]
del {x}; {x} = [0]
{x}.sort(key=str)
{x}.reverse()
grow({x})
inner({x})
inner([{x}, {y}])
for p in {x}:|    if isinstance(p, list):|        p.append(6)
for {x} in [[1], {y}]:|    {x}.append(2)
while len({x}) < 3:|    {x}.append({y})
if len({x}) > 2:|    {y} = [0]
if len({x}) > 1:|    {y}.append(0)|else:|    {y} = {z}
try:|    {x}.append({y}[0][0])|except (IndexError, TypeError) as error:|    {x} = [str(error)]
try:|    {x}.remove(99)|except ValueError:|    {y}.append(99)|finally:|    {z}.append(1)
def helper():|    return {x}|{y} = helper()
def helper():|    {x}.append(4)|helper()
def changer():|    global {x}|    {x} = [*{y}]|changer()
{x} = total() and [total()]
tick = counter(len({x}))|{y} = [tick()]
(lambda q: q.append(1))({x})
list(map(grow, [{x}]))
[q.append(5) for q in [{x}]]
(n := {x}).append(3)
match {x}:|    case [first, *rest]:|        {y} = rest|    case _:|        {y} = []
random.seed(len({x}))
{x} = [random.random()]
random.shuffle({x})
{x} = [round(float(np.random.rand()), 6)]
np.random.seed(3)
first, *others = [{x}, {y}]|others[0].append(1)
pairs = list(zip([{x}], [{y}]))|pairs[0][1].append(1)
store = [{x}]
store = {{'k': {x}}}
store.append({x}) if isinstance(store, list) else store.update(k={x})
{x} = store[0] if isinstance(store, list) else store['k']
box = Box({x})
box.put(4) if isinstance(box.value, list) else None
box.value = {x}
{x} = box.read() or []
Box.total += 1
arr = np.arange(6.0)
arr[0] += len({x})
view = arr[1:4]
view[:] = 7
arr = arr + 1
arr *= 2
{x} = arr[:2].tolist()
assert len({x}) < 9, 'too long'
{x}.append({y}[5])
print({x}, {y})
print(arr.sum(), view.tolist(), {x} is {y}, store)
print(isinstance(box, Box), box.value is {x})
fs = [lambda *_: {x}]
fs = [last]
{x} = fs[0]({y})
fs[0]({x}).append(2)
fs.append(lambda: ({x}, {y}))
{x} = sorted({y}, key=str, reverse=True)
{x} = [*map(str, {y})]
{x} = [*reversed({y})]
{x} = f'{{len({y})}} {{str({z})!r:>9.9}}'.split()
{x} = copy.copy({y})
{x} = {y} * 2
{x} *= 2
{x}.clear()
{x}.extend({y})
{x}[0:0] = {y}
{x}.pop() if {x} else None
{x} = max({y}, {z}, key=len)
{x} = (lambda: {y})()
{x} = [n for row in {y} if isinstance(row, list) for n in row]
{x} = [{y} for {y} in [{z}]]
{x} = [str(part) for part in {y} if part not in {z}]
[{x}.append(n) for n in range(2)]
{x} = functools.reduce(lambda one, two: [*one, two], {y}, [])
{x} = list(itertools.chain({y}, {z}))
{x} = json.loads(json.dumps({y}))
a, b, c = c, a, b
*{x}, final = [1, *{y}]
{x}, *rest = [{y}, 1, 2]
{x}, (head, *{y}) = {z}, [1, 2, 3]
with Scope({x}) as {y}:|    {y}.append(1)
with Scope({x}) as held, Scope({y}):|    held.append({z})
try:|    raise ValueError({x})|except ValueError as error:|    {y} = error.args[0]
try:|    {x}.append(len({y}))|except TypeError:|    pass|else:|    {y}.append(0)
while True:|    {x}.append(0)|    if len({x}) > 3:|        break
if {x} is {y}:|    {z}.append(1)
def outer():|    def inside():|        {x}.append(1)|    inside()|outer()
def outer():|    local = {x}|    def inside():|        return local|    return inside|{y} = outer()()
def outer():|    n = 0|    def up():|        nonlocal n|        n += 1|        {x}.append(n)|    up()|    up()|outer()
def swap():|    global {x}, {y}|    {x}, {y} = {y}, {x}|swap()
def lazily():|    for part in {x}:|        yield part|{y} = list(lazily())
def made(items={x}):|    items.append(1)|    return items|{y} = made()
def kept(fn):|    @functools.wraps(fn)|    def around(*args):|        return fn(*args)|    return around|@kept|def made():|    return {x}|{y} = made()
class Local:|    items = {x}|Local.items.append(3)
class Local:|    def go(self):|        return {x}|{y} = Local().go()
items = iter({x})
items = (part for part in {x})
{x} = list(items)
{x} = [next(items, 0)]
items = enumerate({x})
items = zip({x}, {y})
items = itertools.chain({x}, {y})
items = iter(table.values())
items = (last(part) for part in {x} if isinstance(part, list))
items = map(last, [{x}, {y}])
items = iter(arr)
{x} = [list(items), {y}]
for part in items:|    {x} = [str(part)]|    break
second = next(items, 0)|{x} = second if isinstance(second, list) else [second]
held = next(items, None)|held.append(1) if isinstance(held, list) else None
def going(x):|    for part in x:|        yield part|        x.append(0) if len(x) < 4 else None|items = going({x})
waiting = queue.Queue()
waiting = queue.Queue()|waiting.put({x})
waiting.put({x})
{x} = waiting.get_nowait() if waiting.qsize() else [0]
{x} = [waiting.qsize()]
kit = {{'lock': threading.Lock(), 'xs': {x}}}
kit['xs'].append(2)
{x} = kit['xs']
kit['ys'] = {x}
shows = [lambda lock=threading.Lock(): {x}]
shows = [lambda: {x}, waiting]
{x} = shows[0]()
shows[0]().append(3)
sink = io.TextIOWrapper(io.BytesIO())
sink.write(str({x}))
{x} = [sink.tell()]
store = [{x}, items]
store = [waiting, {x}]
rng = np.random.default_rng(len({x}))
{x} = [int(rng.integers(9))]
rng.shuffle({x})
own = random.Random(len({x}))
{x} = [own.random()]
own.shuffle({x})
table = {{'a': {x}, 'b': {y}}}
table['a'].append(2)
table['b'] = {x}
table.setdefault('c', []).append({x})
for key, item in table.items():|    item.append(key)
for key in list(table):|    del table[key]
table.pop('a', None)
table |= {{'d': {x}}}
{x} = {{**table, 'n': {y}}}['n']
{x} = [*table]
{x} = [list(item) for item in table.values()]
text = str({x})
text += str(len({y}))
{x} = text.split(',')
print(text, f'{{text}} {{{x}}}')
def tell():|    return text|{x} = [tell()]
bag = {{1, len({x})}}
bag.add(len({x}))
bag |= {{3}}
{x} = sorted(bag)
{x} = list(store)
arr[arr > 1] = len({x})
np.add(arr, 1, out=arr)
np.random.shuffle(arr)
arr.sort()
arr = np.sort(arr)
arr[:] = 3
arr = arr.reshape(2, -1)
arr = arr.ravel()
view = arr.T
view = arr[::2]
view.fill(len({x}))
{x} = np.asarray(arr).tolist()
pair = (arr, {x})|pair[1].append(1)
df['n'] = len({x})
df['m'] = df.k * 2
df = df[df.k > 1]
df = df.assign(z=len({x}))
df.loc[df.index[0], 'k'] = 9
df.sort_values('k', inplace=True, ascending=False)
df.drop(columns='n', inplace=True, errors='ignore')
part = df['k']
part = df.loc[:, 'k']
{x} = df.k.tolist()
{x} = df.sample(1).k.tolist()
{x} = list(df.columns)
print(df.shape, df.k.sum())
df = pd.concat([df, df])
df.columns = [str(name).lower() for name in df.columns]
frames = {{'one': df, 'two': df.copy()}}
frames['one']['m'] = len({x})
for name, frame in frames.items():|    frame['name'] = name
df = frames['one']
frames = {{name: frame.head(2) for name, frame in frames.items()}}
{x} = [len(frame) for frame in frames.values()]
global_names = [name for name in ('a', 'b') if name]
n = len({x})
n += 1
{x} = [n, *{y}]
{x} = [n := n + 1]
if (n := len({x})) > 2:|    {y} = [n]
for n in range(2):|    {x}.append(n)
n = 0
assert n < 5, n
{x} = remembered()
remembered().append(len({y}))
{x} = [*remembered()]
{x} = [len(remembered())]
{x} = remembered_for(len({y}) % 3)
remembered_for(1)[1].append(3)
{x} = remembered_for(1)[1]
{x} = told(1)
told(1).append(len({y}))
{x} = [told(1), told(2)]
through().append(5)
{x} = through()
print(remembered(), remembered_for(1), told(1))
remembered.cache_clear()
lazy = Lazy({x})
{x} = lazy.own
lazy.own.append(len({x}))
{x} = lazy.kept()
lazy.kept().append(1)
print(lazy.own, lazy.kept(), lazy.held is {x})
point = Point(1, {x})
point.tags.append(4)
{x} = point.tags
point = dataclasses.replace(point, x=len({x}))
point.x += 1
print(point, point == Point(1, {x}))
with contextlib.suppress(IndexError, TypeError):|    {x}.append({y}[3])|    {y}.append(1)
try:|    {x}.append(1)|finally:|    {y} = {x}
{x} = [(last_one := {y}), last_one]
if (first_one := {y}[:1]):|    {x} = first_one
match {x}:|    case [int(m), *_]:|        {y} = [m]|    case [[*inside], *_]:|        {y} = inside|    case _:|        {z} = []
match {{'k': {x}}}:|    case {{'k': [*found], **left}}:|        {y} = found
{x} = [p for p in {y} for {y} in [[p]] if {y}]
{x} = (lambda {y}: [*{y}])({z})
def later(k=len({x})):|    return [k, {y}]|{x} = later()
with contextlib.nullcontext({y}) as {x}:|    {x}.append(2)
""".strip().splitlines()
# What a class holds, and what is a value, too.
ON_CLASSES = """
{x} = Conf.items
{x} = Conf.of['k']
{x} = [Conf.items, {y}]
{x} = list(Conf.items)
Conf.items.append(3)
Conf.items.append({x})
Conf.items = {x}
Conf.of['k'].append(4)
Conf.of['n'] = {x}
Conf.of = {{'k': {x}}}
{x}.append(7)
{x} = {y}
{x} = conf.items
conf.items.append(5)
conf.own = {x}
conf = Conf()
class Other:|    items = {x}|    of = {{'k': {y}}}|Other.items.append(1)|{y} = Other.of['k']
class Sub(Conf):|    more = {x}|{y} = Sub.items
class Outer:|    class In:|        items = {x}|Outer.In.items.append(6)|{y} = Outer.In.items
kinds = [Conf]|kinds[0].items.append(8)
def put(k):|    Conf.items.append(k)|put(len({x}))
def keep(held=Conf.items):|    held.append(9)|    return held|{x} = keep()
print(Conf.items, Conf.of, conf.items, Conf.items is {x}, isinstance(conf, Conf))
print(Conf.of['k'] is {x}, Conf.items is {y}, Conf.of.get('n') is {x})
""".strip().splitlines()
STATEMENTS += ON_CLASSES


# What the first cell binds, as far as the others mention it; a view comes with its array.
FIRST = """
a = [1]
b = [[2], 3]
c = [4]
d = [[5]]
store = [[6]]
box = Box([1])
arr = np.zeros(6)
view = arr[:2]
fs = [last]
rng = np.random.default_rng(1)
own = random.Random(1)
table = {'a': [7], 'b': [8]}
text = "one"
bag = {1, 2}
n = 0
items = iter([1, 2])
waiting = queue.Queue()
kit = {'lock': threading.Lock(), 'xs': [9]}
shows = [lambda lock=threading.Lock(): [1]]
sink = io.TextIOWrapper(io.BytesIO())
lazy = Lazy([1])
point = Point(1, [2])
class Conf:|    items = [1]|    of = {'k': [2]}
conf = Conf()
df = pd.DataFrame({'k': [3, 1, 2]})
frames = {'one': pd.DataFrame({'k': [1]})}
""".strip()


# What functions remember, and what classes hold, is one object with what was given of it only where a step changes it:
# all else is made anew.
CHANGED_LAST = {
    "remembered": "remembered().append(0)",
    "through": "remembered().append(0)",
    "remembered_for": "remembered_for(1).append(0)",
    "told": "told(1).append(0)",
    "kept": "lazy.kept().append(0)",
    "Conf": "Conf.items.append(0)",
}


def first_cell(others):
    """The lines of the first cell that these others need."""
    mentioned = set(re.findall(r"\w+", "\n".join(others))) | {*NAMES}
    mentioned |= {"arr"} if "view" in mentioned else set()
    mentioned |= {"Conf"} if "conf" in mentioned else set()
    lines = (line for line in FIRST.splitlines() if re.findall(r"\w+", line.removeprefix("class "))[0] in mentioned)
    return "\n".join(lines).replace("|", "\n")


@st.composite
def notebooks(draw, statements=STATEMENTS):
    """Sources of cells. The first binds every name; each of the others ends with a print of what it sees."""
    cells = []
    for _ in range(draw(st.integers(2, 5))):
        lines = []
        for _ in range(draw(st.integers(1, 3))):
            statement = draw(st.sampled_from(statements)).replace("|", "\n")
            x, y, z = (draw(st.sampled_from(NAMES)) for _ in range(3))
            lines.append(statement.format(x=x, y=y, z=z))
        seen = draw(st.sets(st.sampled_from(NAMES), max_size=2))
        lines.append(f"print({', '.join(sorted(seen))})")
        cells.append("\n".join(lines))
    mentioned = set(re.findall(r"\w+", "\n".join(cells)))
    cells[-1] = "\n".join([cells[-1], *(line for name, line in CHANGED_LAST.items() if name in mentioned)])
    return [first_cell(cells), *cells]
