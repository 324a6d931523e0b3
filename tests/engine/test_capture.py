"""What steps print is caught, also in threads of their own; afterwards all is as it was."""

from __future__ import annotations

import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import wraps

import szal_nb as szal
from szal_nb.engine.capture import captured_streams


def loud(name):
    """A flow whose step prints in a thread of its own and in a pool of its own."""
    flow = szal.Flow(name)

    @flow.step
    def speak():
        thread = threading.Thread(target=print, args=(f"{name} in a thread",))
        thread.start()
        thread.join()
        with ThreadPoolExecutor(1) as pool:
            pool.submit(print, f"{name} in a pool").result()
        print(f"{name} itself", file=sys.stderr)

    return flow


def test_what_threads_of_a_step_print_belongs_to_the_step(capsys):
    run = szal.run(loud("one"), store=None)

    assert run["speak"].logs == "one in a thread\none in a pool\none itself\n"
    assert capsys.readouterr() == ("", "")


def test_runs_side_by_side_keep_their_output_apart_and_leave_all_as_it_was():
    before = (sys.stdout, sys.stderr, threading.Thread.start)
    names = [f"run{i}" for i in range(6)]
    with ThreadPoolExecutor(len(names)) as pool:
        runs = list(pool.map(lambda name: szal.run(loud(name), store=None), names))

    assert [run["speak"].logs.count(name) for run, name in zip(runs, names, strict=True)] == [3] * len(names)
    assert (sys.stdout, sys.stderr, threading.Thread.start) == before


def test_runs_that_overlap_in_any_order_give_back_what_was_there():
    before = (sys.stdout, threading.Thread.start)
    one, two = captured_streams(), captured_streams()
    one.__enter__()
    two.__enter__()
    one.__exit__(None, None, None)
    assert (sys.stdout, threading.Thread.start) != before
    two.__exit__(None, None, None)
    assert (sys.stdout, threading.Thread.start) == before


def test_what_somebody_else_puts_in_place_meanwhile_is_left_alone(monkeypatch):
    started = []
    monkeypatch.setattr(threading.Thread, "start", threading.Thread.start)
    monkeypatch.setattr(sys, "stdout", sys.stdout)
    with captured_streams():
        below = threading.Thread.start

        @wraps(below)
        def counting(thread):
            started.append(thread.name)
            below(thread)

        threading.Thread.start = counting
        theirs = sys.stdout = type("Theirs", (), {"write": len, "flush": int})

    assert (threading.Thread.start, sys.stdout) == (counting, theirs)
    run = szal.run(loud("later"), store=None)
    assert "later in a thread" in run["speak"].logs
    assert (threading.Thread.start, sys.stdout) == (counting, theirs)
    assert len(started) >= 2
    # The next that is entered when ours is on top again ends with nothing of ours in place.
    threading.Thread.start = below
    with captured_streams():
        pass
    assert not hasattr(threading.Thread.start, "__wrapped__")


def test_a_thread_that_no_step_started_prints_as_always(capsys):
    with captured_streams():
        thread = threading.Thread(target=print, args=("free",))
        thread.start()
        thread.join()

    assert capsys.readouterr().out == "free\n"
