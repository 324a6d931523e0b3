"""`warnings.catch_warnings` counts for the step, or the thread, that entered it, while runs go on."""

from __future__ import annotations

import pickle
import threading
import warnings
from contextlib import ExitStack
from types import ModuleType

import cloudpickle
import pytest

from szal_nb.engine.context import CURRENT, PlainPresenter, StepContext
from szal_nb.engine.digest import digest
from szal_nb.engine.immutable import is_immutable
from szal_nb.engine.own_warnings import filters_of_process, own_warnings, set_filters_of_process
from szal_nb.model.kept import WARNINGS_ARE_OWN
from szal_nb.store.pickling import dump

pytestmark = [
    pytest.mark.skipif(not WARNINGS_ARE_OWN, reason="Python has a switch of its own for this"),
    # What pytest does itself to each test is entered before, and left after it.
    pytest.mark.filterwarnings("default"),
]


@pytest.fixture(autouse=True)
def filters():
    before = [*filters_of_process()]
    yield before
    set_filters_of_process(before)


class Side:
    """A thread that does one thing after another as it is told: in a step, or in none."""

    def __init__(self, step=None):
        self._step = step
        self._asked, self._answered = threading.Semaphore(0), threading.Semaphore(0)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self):
        CURRENT.set(self._step)
        while True:
            self._asked.acquire()
            if self._call is None:
                return
            try:
                self._found = self._call()
            except BaseException as error:  # noqa: BLE001  raised where it was asked for
                self._found = error
            self._answered.release()

    def __call__(self, call):
        self._call = call
        self._asked.release()
        if call is None:
            return self._thread.join()
        self._answered.acquire()
        if isinstance(self._found, BaseException):
            raise self._found
        return self._found


def context(name="s"):
    return StepContext("run", name, 1, PlainPresenter(), lambda _: None)


@pytest.fixture
def two():
    one, other = Side(context("one")), Side(context("other"))
    with own_warnings():
        yield one, other
    one(None)
    other(None)


def test_who_leaves_in_another_order_leaves_nothing_behind(two, filters):
    one, other = two
    first, second = warnings.catch_warnings(), warnings.catch_warnings()

    one(first.__enter__)
    one(lambda: warnings.simplefilter("ignore"))
    other(second.__enter__)
    other(lambda: warnings.simplefilter("error"))
    one(lambda: first.__exit__(None, None, None))
    other(lambda: second.__exit__(None, None, None))

    assert [*filters_of_process()] == filters


def test_the_filters_of_one_step_are_nothing_to_another(two):
    one, other = two
    caught = warnings.catch_warnings()
    one(caught.__enter__)
    one(lambda: warnings.filterwarnings("error", "no.*", UserWarning))
    with pytest.raises(UserWarning, match="no more"):
        one(lambda: warnings.warn("no more", stacklevel=1))

    seen = other(record_one)

    assert seen == ["not an error"]
    one(lambda: caught.__exit__(None, None, None))


def record_one():
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        warnings.warn("not an error", stacklevel=1)
    return [str(one.message) for one in seen]


def test_what_one_step_records_another_does_not_lose(two, capsys):
    one, other = two
    recording = warnings.catch_warnings(record=True)
    seen = one(recording.__enter__)
    one(lambda: warnings.simplefilter("always"))
    one(lambda: warnings.warn("mine", stacklevel=1))
    shown = []
    other(lambda: setattr(warnings, "showwarning", lambda message, *_: shown.append(str(message))))
    other(lambda: warnings.simplefilter("always"))
    other(lambda: warnings.warn("yours", stacklevel=1))
    one(lambda: recording.__exit__(None, None, None))

    assert ([str(one.message) for one in seen], shown) == (["mine"], ["yours"])
    other(lambda: setattr(warnings, "showwarning", warnings._showwarning_orig))


def test_threads_of_one_step_share_what_it_set_and_leave_nothing_behind(filters):
    step = context()
    one, other = Side(step), Side(step)
    with own_warnings():
        first, second = warnings.catch_warnings(), warnings.catch_warnings()
        one(first.__enter__)
        one(lambda: warnings.simplefilter("error"))
        with pytest.raises(UserWarning):
            other(lambda: warnings.warn("seen by both", stacklevel=1))
        other(second.__enter__)
        one(lambda: first.__exit__(None, None, None))
        other(lambda: second.__exit__(None, None, None))

        assert [*filters_of_process()] == filters
        assert one(lambda: warnings.filters) is filters_of_process()
    one(None)
    other(None)


def test_a_thread_that_a_cell_starts_sees_what_the_cell_set():
    with own_warnings(), warnings.catch_warnings():
        warnings.simplefilter("error")
        thread, step = Side(), Side(context())

        with pytest.raises(UserWarning):
            thread(lambda: warnings.warn("raised", stacklevel=1))
        assert step(record_one) == ["not an error"]
    thread(None)
    step(None)


def test_outside_of_a_with_filters_are_set_for_the_process(two):
    one, other = two
    one(lambda: warnings.simplefilter("error", FutureWarning))
    one(lambda: warnings.simplefilter("ignore", append=True))

    assert ("error", None, FutureWarning, None, 0) == filters_of_process()[0]
    assert ("ignore", None, Warning, None, 0) == filters_of_process()[-1]
    with pytest.raises(FutureWarning):
        other(lambda: warnings.warn("later", FutureWarning, stacklevel=1))
    other(warnings.resetwarnings)
    assert filters_of_process() == []
    one(lambda: setattr(warnings, "filters", [("ignore", None, Warning, None, 0)]))
    assert len(filters_of_process()) == 1


def test_one_that_is_left_by_another_step_is_left_by_the_one_that_entered_it(two, filters):
    one, other = two
    caught = warnings.catch_warnings()
    one(caught.__enter__)
    one(lambda: warnings.simplefilter("error"))

    other(lambda: caught.__exit__(None, None, None))

    assert one(lambda: warnings.filters) is filters_of_process()
    assert [*filters_of_process()] == filters


def test_one_that_cannot_be_entered_twice_is_left_once(two, filters):
    one, _ = two
    caught = warnings.catch_warnings()
    one(caught.__enter__)
    with pytest.raises(RuntimeError, match="twice"):
        one(caught.__enter__)
    one(lambda: caught.__exit__(None, None, None))
    assert one(lambda: warnings.filters) is filters_of_process()


def test_one_of_another_module_is_left_alone(two):
    one, _ = two
    module = ModuleType("other")
    module.filters, module._filters_mutated, module.showwarning = [], lambda: None, None
    module._showwarnmsg_impl = None

    def enter():
        with warnings.catch_warnings(module=module):
            module.filters.append(1)
            return warnings.filters

    assert one(enter) is filters_of_process()
    assert module.filters == []


def test_entered_before_the_first_run_and_left_after_it_began(filters):
    with ExitStack() as run:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            run.enter_context(own_warnings())
            step = Side(context())
            with pytest.raises(UserWarning):
                step(lambda: warnings.warn("what the cell set counts for its run", stacklevel=1))
        assert [*filters_of_process()] == filters
        entered = warnings.catch_warnings()
        entered.__enter__()
    entered.__exit__(None, None, None)
    step(None)
    assert [*filters_of_process()] == filters


def test_after_the_last_run_everything_is_as_it_was():
    before = {**vars(warnings)}, {**vars(warnings.catch_warnings)}
    with own_warnings(), own_warnings():
        assert type(warnings) is not ModuleType
    after = {**vars(warnings)}, {**vars(warnings.catch_warnings)}
    assert type(warnings) is ModuleType
    assert {k: v for k, v in before[0].items() if after[0][k] is not v} == {}
    assert before[1] == after[1]


def test_the_module_is_a_module_to_the_record_as_it_was():
    def noisy():
        warnings.warn("noise", stacklevel=1)

    noisy.__module__ = "__main__"
    before = dump(noisy), digest(warnings), cloudpickle.dumps(warnings)
    with own_warnings():
        assert is_immutable(warnings)
        assert (dump(noisy), digest(warnings), cloudpickle.dumps(warnings)) == before
        assert pickle.loads(cloudpickle.dumps(warnings)) is warnings
