"""The tables of methods against the libraries themselves."""

from __future__ import annotations

import contextlib
import copy
import importlib

import pytest

from szal_nb.analysis import hidden, tables


def _methods(kind):
    return {name for name in dir(kind) if not name.startswith("_") and callable(getattr(kind, name, None))}


def _runs(subject, name, arguments):
    """Calls a method; whether it ran: most cannot take any arguments."""
    with contextlib.suppress(Exception):
        getattr(subject, name)(*arguments)
        return True
    return False


CONTAINERS = {"list": [3, 1, 2], "dict": {"a": 1, "b": 2}, "set": {1, 2}, "bytearray": bytearray(b"ab")}
ARGUMENTS = ((), (1,), ("a",), ([1],), ({"z": 1},), (0, 1), ("q", 1))


def _can_change(value, name):
    for arguments in ARGUMENTS:
        subject = copy.deepcopy(value)
        try:
            getattr(subject, name)(*arguments)
        except (TypeError, ValueError, LookupError, AttributeError):
            continue
        if subject != value or list(subject) != list(value):
            return True
    return False


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind, value in CONTAINERS.items() for name in sorted(_methods(type(value)))]
)
def test_methods_of_containers_that_change_are_known_to(kind, name):
    changes = name in tables.CHANGING | tables.CHANGING_AS_STATEMENT
    assert changes or not _can_change(CONTAINERS[kind], name)


def test_no_method_is_in_two_tables():
    assert not tables.UNCHANGING & (tables.CHANGING | tables.CHANGING_AS_STATEMENT)
    assert not tables.CHANGING & tables.CHANGING_AS_STATEMENT


# Arguments that let a method of a table or an array run; most run without.
CALLS = {
    "add": (1,), "apply": (len,), "astype": (str,), "assign": (), "drop": (), "fillna": (0,), "filter": (["a"],),
    "get": ("a",), "groupby": ("a",), "head": (1,), "isin": ([1],), "map": (str,), "nlargest": (1, "a"), "pipe": (len,),
    "query": ("a > 1",), "reindex": ([0],), "rename": (str,), "replace": (1, 2), "rolling": (2,), "set_index": ("a",),
    "shift": (1,), "sort_values": ("a",), "where": (lambda f: f > 1,), "clip": (1, 2), "round": (1,), "take": ([0],),
    "merge": (None,), "melt": (), "transform": (lambda f: f + 1,), "mask": (lambda f: f > 1,), "explode": ("a",),
}  # fmt: skip


def test_methods_of_pandas_that_are_known_not_to_change_do_not():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"a": [3, 1, 2], "b": [1.5, None, 2.5]})
    tried = 0
    for subject in (frame, frame["a"], frame["b"]):
        for name in sorted(_methods(type(subject)) & tables.UNCHANGING):
            if name.startswith("to_") or name in {"plot", "hist", "boxplot"}:
                continue
            before = subject.copy(deep=True)
            for arguments in [(), CALLS.get(name, ())]:
                tried += _runs(subject, name, arguments)
                assert subject.equals(before), name
    assert tried > 200


def test_methods_of_arrays_that_are_known_not_to_change_do_not():
    numpy = pytest.importorskip("numpy")
    tried = 0
    for name in sorted(_methods(numpy.ndarray) & tables.UNCHANGING):
        for arguments in ((), (0,), (1, 2)):
            array = numpy.array([3, 1, 2])
            if name in {"dump", "tofile"}:
                continue
            tried += _runs(array, name, arguments)
            assert array.tolist() == [3, 1, 2], name
    assert tried > 40


def test_methods_of_graphs_that_are_known_not_to_change_do_not():
    networkx = pytest.importorskip("networkx")
    tried = 0
    for name in sorted(_methods(networkx.Graph) & tables.UNCHANGING):
        for arguments in ((), (1,), (1, 2), ([1],)):
            graph = networkx.Graph([(1, 2), (2, 3)])
            tried += _runs(graph, name, arguments)
            assert sorted(graph.edges) == [(1, 2), (2, 3)], name
    assert tried > 15


def test_methods_of_polars_that_are_known_not_to_change_do_not():
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame({"a": [3, 1, 2]})
    for name in sorted(_methods(polars.DataFrame) & tables.UNCHANGING):
        if name.startswith(("write_", "to_", "serialize", "deserialize", "sink", "plot", "show")):
            continue
        for arguments in ((), ("a",), (1,)):
            before = frame.clone()
            _runs(frame, name, arguments)
            assert frame.equals(before), name


@pytest.mark.parametrize(
    "dotted",
    sorted(
        name for name in tables.FUNCTION_SHARES | tables.FUNCTION_HOLDS | set(tables.FUNCTION_CHANGES) if "." in name
    ),
)
def test_functions_in_the_tables_exist(dotted):
    root = dotted.partition(".")[0]
    if root in {"torch", "sqlalchemy", "skimage", "lightgbm"}:
        pytest.skip(f"{root} is not installed for the tests")
    pytest.importorskip(root)
    parts = dotted.split(".")
    for size in range(len(parts) - 1, 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:size]))
        except ImportError:
            continue
        for part in parts[size:]:
            found = getattr(found, part)
        assert callable(found)
        return
    raise AssertionError(dotted)


def _draws(estimator, samples, target):
    numpy = pytest.importorskip("numpy")
    numpy.random.seed(0)
    before = numpy.random.get_state()
    with contextlib.suppress(Exception):
        estimator().fit(samples, target)
    after = numpy.random.get_state()
    return before[2] != after[2] or not numpy.array_equal(before[1], after[1])


@pytest.mark.filterwarnings("ignore")
def test_estimators_of_sklearn_that_draw_from_the_generator_of_all_are_known():
    """A run was refused that fitted an SVC or a Lasso beside another step that draws."""
    found = pytest.importorskip("sklearn.utils").all_estimators()
    samples = pytest.importorskip("numpy").random.default_rng(0).random((30, 4))
    targets = [[n % 2 for n in range(30)], samples[:, 0]]
    drawing = {name for name, kind in found for target in targets if _draws(kind, samples, target)}
    assert len(drawing) > 60
    assert {name for name in drawing if not hidden.is_unseeded(f"sklearn.{name}", frozenset())} == set()
