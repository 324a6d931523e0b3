"""Notebooks as they are written with the libraries of the field give, as flows, what they give from the top.

Everything is a step, in no other order than the code asks for; also if the run is cut after any step and resumed.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from szal_nb.analysis.graph import build_graph
from szal_nb.model.flow import FlowDefinition
from szal_nb.store.runs import RunStore
from tests.analysis.cells import step, surroundings
from tests.promises.answer import as_flow, from_the_top
from tests.promises.test_same_answer import allowed_order, difference

REGRESSION = [
    "rng = np.random.default_rng(0)\ndf = pd.DataFrame({'x': rng.random(40), 'g': list('ab') * 20})",
    "df['y'] = 2 * df['x'] + rng.random(40)",
    "res = smf.ols('y ~ x + g', df).fit()\nprint(res.summary().tables[1])",
    "print(res.params)",
    "res.wald_test('x = 0', scalar=True)",
    "influence = res.get_influence()\nprint(influence.summary_frame().iloc[:2, :2])",
    "print(res.rsquared.round(6), res.condition_number.round(6))",
    "resid = res.resid\nprint(float(resid.std()))",
    "print(df.describe())",
    "print(res.get_prediction(pd.DataFrame({'x': [0.5], 'g': ['a']})).summary_frame())",
]
SERIES = [
    "rng = np.random.default_rng(1)\nts = pd.DataFrame({'v': rng.random(60).cumsum()}, index=pd.RangeIndex(60))",
    "print(ts.head(2))",
    "train, val = ts.iloc[:50], ts.iloc[50:]",
    "model = ARIMA(train, order=(1, 0, 0), trend='t')",
    "fit = model.fit()\nprint(fit.params.round(4))",
    "forecast = fit.get_forecast(steps=len(val))\nmean = forecast.predicted_mean",
    "print(forecast.conf_int().shape, mean.round(3).tolist()[:2])",
    "print(float(((val.squeeze() - mean) ** 2).mean()) > 0, train.shape)",
]
TWO_MODELS = [
    "rng = np.random.default_rng(2)\nx = np.column_stack([np.ones(50), rng.random(50)])\ny = rng.poisson(2, 50)",
    "one = Poisson(y, x)",
    "two = Poisson(y, x)",
    "one_fit = one.fit(disp=0)\nprint(one_fit.params.round(4))",
    "two_fit = two.fit(disp=0, maxiter=5, warn_convergence=False)\nprint(two_fit.params.round(4))",
    "ex = x[::10, :]\nprint(ex.shape)",
    "print(one_fit.predict(ex).round(4))",
    "print(x.sum().round(6), y.sum())",
    "print(one_fit.llf.round(4), one_fit.summary().tables[0].data[0][0])",
]
CLASSIFIERS = [
    "X, y = make_classification(120, random_state=0)",
    "X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)",
    "scaler = StandardScaler()\npipe = make_pipeline(scaler, LogisticRegression())",
    "pipe.fit(X_train, y_train)",
    "print(pipe.score(X_test, y_test))",
    "tree = DecisionTreeClassifier(random_state=0).fit(X_train, y_train)\nprint(tree.get_depth())",
    "search = GridSearchCV(tree, {'max_depth': [1, 2]}, cv=2).fit(X_train, y_train)\nprint(search.best_params_)",
    "print(classification_report(y_test, search.predict(X_test)))",
    "print(cross_val_score(pipe, X, y, cv=3).round(4), tree.get_depth())",
    "print(permutation_importance(tree, X_test, y_test, random_state=0, n_repeats=2).importances_mean.round(3)[:3])",
]
DISTRIBUTIONS = [
    "np.random.seed(3)\nrandom.seed(4)",
    "normal, pick = stats.norm(0, 1), random.choice",
    "print(normal.rvs(2).round(4), pick(range(99)))",
    "print(np.random.rand(), random.random())",
    "print(normal.rvs(2).round(4), pick(range(99)))",
    "print(np.random.rand(), random.random())",
]
IMPORTS = """
import random
import warnings
import numpy as np
import pandas as pd
import statsmodels.formula.api as smf
from scipy import stats
from sklearn.datasets import make_classification
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import classification_report
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier
from statsmodels.discrete.discrete_model import Poisson
from statsmodels.tsa.arima.model import ARIMA
"""


@pytest.fixture
def store(tmp_path):
    with RunStore.open(tmp_path / "runs.db", durability="fast") as opened:
        yield opened


def assert_gives_the_same(cells, notebook, store):
    names = [f"s{n}" for n in range(len(cells))]
    graph = build_graph(FlowDefinition(name="f", steps=tuple(map(step, names, cells))), surroundings([notebook]))
    expected = replace(from_the_top(cells, notebook, names, ()), namespace={})
    order = allowed_order(graph, lambda ready: ready[-1])

    for plan in ({}, {"order": order}, *({"order": order, "cut_after": n} for n in range(1, len(cells)))):
        answer = replace(as_flow(graph, notebook, store, **plan), namespace={})
        assert difference(expected, answer) == "", (plan, answer.error)


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize(
    "cells",
    [
        pytest.param(REGRESSION, id="regression"),
        pytest.param(SERIES, id="time series"),
        pytest.param(TWO_MODELS, id="two models of the same data"),
        pytest.param(CLASSIFIERS, id="classifiers"),
        pytest.param(DISTRIBUTIONS, id="distributions"),
    ],
)
def test_a_notebook_gives_as_a_flow_what_it_gives_from_the_top(cells, store):
    assert_gives_the_same(cells, IMPORTS, store)


OWN_STATE = """
import threading

class Connection:
    def __init__(self):
        self.lock, self.sent = threading.Lock(), 0

    def send(self):
        with self.lock:
            return self.sent

    def __getstate__(self):
        state = self.__dict__
        state["lock"] = None
        return state

    def __setstate__(self, state):
        self.__dict__.update(state, lock=threading.Lock())
"""


def test_recording_a_value_does_not_change_it(store):
    """Running the flow in parallel gives what "Restart and run all" gives."""
    cells = ["connection = Connection()", "print(connection.send())", "print(connection.send(), connection.sent)"]
    assert_gives_the_same(cells, OWN_STATE, store)


OWN_CLASSES = """
import pandas as pd

class Net:
    rate = 1

    def __init__(self, size):
        self.size = size

    def cost(self):
        return self.rate * self.size

class Deep(Net):
    pass

def made(size):
    return [Net(size), Deep(size)]

nets = [Net(2)]
count = 3
"""
ACCESSOR = """
@pd.api.extensions.register_dataframe_accessor("own")
class Own:
    def __init__(self, df):
        self._df = df
    def total(self):
        return int(self._df["a"].sum())
"""


@pytest.mark.parametrize(
    "cells",
    [
        pytest.param(
            ["net = Net(4)", "print(net.cost())", "Net.rate = 10", "print(net.cost())"], id="an attribute of a class"
        ),
        pytest.param(
            ["print(nets[0].cost())", "Net.rate = 10", "print(nets[0].cost())"], id="of the notebook's instance"
        ),
        pytest.param(
            ["found = made(count)", "first, second = found", "Net.rate = 7", "print(first.cost(), second.cost())"],
            id="of a base class, for instances that a function made",
        ),
        pytest.param(
            [
                "net = Net(4)",
                "held = {'net': net}",
                "def twice(self):\n    return 2 * self.cost()\nNet.twice = twice",
                "print(net.twice(), held['net'].twice())",
                "Net.twice = lambda self: 0",
                "print(held['net'].twice())",
            ],
            id="a method put on a class",
        ),
        pytest.param(
            [
                "df = pd.DataFrame({'a': [1, 2]})",
                "def total(self):\n    return int(self.to_numpy().sum())\npd.DataFrame.total = total",
                "print(df.total())",
                "part = df.iloc[:1]",
                "pd.DataFrame.total = lambda self: -1",
                "print(part.total())",
                "del pd.DataFrame.total",
            ],
            id="a method put on tables",
        ),
        pytest.param(
            [
                "df = pd.DataFrame({'a': [1, 2]})",
                ACCESSOR,
                "print(df.own.total())",
                "del pd.DataFrame.own",
            ],
            id="an accessor of tables",
        ),
        pytest.param(
            [
                "from tqdm import tqdm\nimport io\ntqdm.pandas(file=io.StringIO())",
                "df = pd.DataFrame({'a': [1, 2]})",
                "print(df.a.progress_apply(lambda x: x + 1).tolist())",
                "del pd.Series.progress_apply",
            ],
            id="methods that show progress",
        ),
    ],
)
def test_what_is_put_on_a_class_is_there_for_the_steps_below(cells, store):
    """Running the flow in parallel gives what "Restart and run all" gives."""
    assert_gives_the_same(cells, OWN_CLASSES, store)


UNRELATED = {
    "two functions that remember": [
        "@lru_cache\ndef load(name):\n    return [name]",
        "x = load('a')\nprint(load.cache_info().misses)",
        "@cache\ndef fib(n):\n    return n if n < 2 else fib(n - 1) + fib(n - 2)\nprint(fib(9))",
        "print(fib(20), x)",
    ],
    "threads of a pool and a queue": [
        "q = queue.Queue()\nq.put(1)",
        "pool = ThreadPoolExecutor(1)\nfuture = pool.submit(sum, [1, 2])\nprint(future.result())",
        "print(q.get())",
        "print(pool.submit(sum, [3, 4]).result())\npool.shutdown()",
    ],
}


@pytest.mark.parametrize("cells", UNRELATED.values(), ids=UNRELATED)
def test_what_has_nothing_to_do_with_each_other_needs_no_order(cells, store):
    """Caches have a mark of functools in common, and from a thread that a step started all values are in reach."""
    notebook = (
        "import queue\nfrom concurrent.futures import ThreadPoolExecutor\nfrom functools import cache, lru_cache\n"
    )
    assert_gives_the_same(cells, notebook, store)
