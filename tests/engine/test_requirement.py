"""What steps require of a machine, and who holds which device."""

from __future__ import annotations

import asyncio
import os
import socket

import pytest

from szal_nb.engine.body import FunctionBody
from szal_nb.engine.context import current_context
from szal_nb.engine.device import device_slots
from szal_nb.engine.machine import RunMachine
from szal_nb.engine.requirement import Surroundings, _can_reach, check_requirements, gpus, parse_requirement
from szal_nb.engine.runner import Runner
from szal_nb.errors import InvalidStep, MissingRequirement
from szal_nb.model.step import Executor
from tests.engine.simulation import Simulation, flow_of

HERE = Surroundings(
    environ={"TOKEN": "x", "EMPTY": ""},
    devices=lambda: ("0", "1"),
    has_command={"git"}.__contains__,
    version_of={"torch": "2.1.0"}.get,
    can_reach=lambda host, _: host != "nowhere",
)


def problems(*requires):
    graph = flow_of("a", steps={"a": {"requires": requires}})
    try:
        check_requirements(graph, surroundings=HERE)
    except MissingRequirement as error:
        return [problem for _, _, problem in error.missing]
    return []


@pytest.mark.parametrize(
    "requires",
    [
        "gpu",
        "gpu:2",
        "gpu:0.5",
        "gpu:.25",
        "network",
        "network:example.org:443",
        "command:git",
        "env:TOKEN",
        "package:torch",
        "package:torch>=2,<3",
    ],
)
def test_what_is_there_is_no_problem(requires):
    assert problems(requires) == []


@pytest.mark.parametrize(
    ("requires", "problem"),
    [
        ("gpu:3", "2 devices are here"),
        ("network:nowhere:80", "nowhere:80 cannot be reached"),
        ("command:svn", "no such command on the PATH"),
        ("env:OTHER", "the environment variable is not set"),
        ("env:EMPTY", "the environment variable is not set"),
        ("package:jax", "the package is not installed"),
        ("package:torch>=3", "version 2.1.0 is installed"),
        ("package:torch>=x.y", "'>=x.y' is not a version to ask for"),
    ],
)
def test_a_missing_requirement_refuses_the_run_and_says_what_is_missing(requires, problem):
    assert problems(requires) == [problem]


def test_all_that_is_missing_is_said_at_once_with_the_steps_that_need_it():
    graph = flow_of(
        "a", "b", "c", steps={"a": {"requires": ("command:svn",)}, "b": {"requires": ("gpu:3", "command:svn")}}
    )

    with pytest.raises(MissingRequirement) as found:
        check_requirements(graph, surroundings=HERE)
    assert str(found.value).splitlines() == [
        "Step 'a' requires command:svn: no such command on the PATH.",
        "Step 'b' requires gpu:3: 2 devices are here.",
        "Step 'b' requires command:svn: no such command on the PATH.",
    ]


def test_a_step_without_requirements_runs_anywhere_and_one_that_is_left_out_asks_for_nothing():
    graph = flow_of("a", "b", steps={"b": {"requires": ("gpu:9",)}})

    check_requirements(graph, skipped={"b"}, surroundings=HERE)


@pytest.mark.parametrize(
    "text",
    [
        "gpu:0",
        "gpu:0.0",
        "gpu:1.5",
        "gpu:-1",
        "gpu:0.12345",
        "gpu:²",
        "gpu:1e-1",
        "gpu:many",
        "tpu",
        "env",
        "command:",
        "package:",
        "network:host",
    ],
)
def test_what_cannot_be_understood_is_refused_with_examples(text):
    with pytest.raises(InvalidStep, match="Write gpu:1"):
        parse_requirement("a", text)


def holders(devices, needs):
    """A run of independent steps with these needs, and what each of them holds."""
    graph = flow_of(*needs, steps={name: {"requires": what} for name, what in needs.items()})
    slots = device_slots(graph, devices)
    run = Simulation(RunMachine(graph, limits=slots.limits)).begin()
    return run, lambda: {name: slots.held_by(i) for i, name in enumerate(needs) if slots.held_by(i)}


def test_no_more_steps_hold_a_device_than_there_are_and_none_share_one():
    run, held = holders(("4", "7"), {"a": ["gpu"], "b": ["gpu"], "c": ["gpu"], "big": ["gpu:2"], "free": []})

    assert run.under_way == {"a", "b", "free"}
    assert held() == {"a": ("4",), "b": ("7",)}
    run.complete("a")
    assert run.under_way == {"b", "c", "free"}
    assert held() == {"c": ("4",), "b": ("7",)}
    run.complete("b")
    run.complete("c")
    assert run.under_way == {"big", "free"}
    assert held() == {"big": ("4", "7")}


def test_steps_that_ask_for_parts_share_a_device_and_leave_others_whole():
    halves = {name: ["gpu:0.5"] for name in "abc"}
    run, held = holders(("0", "1"), {**halves, "whole": ["gpu"]})

    assert held() == {"a": ("0",), "b": ("0",), "c": ("1",)}
    run.complete("a")
    run.complete("b")
    assert held() == {"c": ("1",), "whole": ("0",)}


def test_parts_that_do_not_fit_on_one_device_are_not_spread_over_several():
    run, held = holders(("0", "1"), {name: ["gpu:0.6"] for name in "abc"})

    assert held() == {"a": ("0",), "b": ("1",)}
    run.complete("b")
    assert held() == {"a": ("0",), "c": ("1",)}


def test_thirds_and_tenths_add_up_to_a_device():
    run, held = holders(("0",), {f"s{n}": ["gpu:0.1"] for n in range(11)})
    assert (len(run.under_way), len(held())) == (10, 10)
    run, held = holders(("0",), {f"s{n}": ["gpu:.3333"] for n in range(4)})
    assert len(held()) == 3


def test_a_part_beside_another_device_is_refused():
    with pytest.raises(InvalidStep, match="a part of a device and another"):
        holders(("0", "1"), {"a": ["gpu:0.5", "gpu:1"]})


def test_a_step_sees_the_devices_it_holds_and_a_process_sees_no_others():
    def in_thread():
        return current_context().devices

    needs = {name: {"requires": ("gpu",)} for name in ("one", "two")}
    graph = flow_of("one", "two <~ one", steps={**needs, "two": {**needs["two"], "executor": Executor.PROCESS}})
    slots = device_slots(graph, ("6",))
    runner = finished_really(graph, {"one": in_thread, "two": visible}, devices=slots)

    assert runner.values == {(0, "one"): ("6",), (1, "two"): ("6", ("6",))}
    assert (slots.held_by(0), slots.held_by(1)) == ((), ())


def visible():
    return os.environ.get("CUDA_VISIBLE_DEVICES"), current_context().devices


def finished_really(graph, functions, **more):
    async def main():
        bodies = [FunctionBody(node, functions[node.step.name]) for node in graph.nodes]
        limits = more["devices"].limits
        runner = Runner(RunMachine(graph, limits=limits), bodies, run_id="r", inputs={}, **more)
        await runner.run()
        return runner

    return asyncio.run(main())


@pytest.mark.parametrize(
    ("visible", "found"),
    [("", ()), ("-1", ()), ("0", ("0",)), (" 2 , GPU-abc ", ("2", "GPU-abc")), ("1,-1,0", ("1",)), ("1,,0", ("1",))],
)
def test_the_devices_are_those_that_the_process_may_see(monkeypatch, visible, found):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)

    assert gpus.__wrapped__() == found


@pytest.mark.parametrize(
    ("program", "found"),
    [("echo 0; echo 1", ("0", "1")), ("echo no driver; exit 9", ()), (None, ())],
)
def test_without_such_a_list_the_driver_is_asked(monkeypatch, tmp_path, program, found):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if program is not None:
        (tmp_path / "nvidia-smi").write_text(f"#!/bin/sh\n{program}\n")
        (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))

    assert gpus.__wrapped__() == found


@pytest.mark.parametrize("is_open", [True, False])
def test_the_network_is_there_if_something_answers(is_open):
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        if is_open:
            server.listen()
        assert _can_reach(*server.getsockname()) is is_open
