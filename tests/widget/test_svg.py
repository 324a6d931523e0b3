from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from szal_nb.model.flow import FlowDefinition
from szal_nb.model.graph import FlowGraph, StepNode
from szal_nb.model.state import RunSnapshot, fold
from szal_nb.model.step import Step
from szal_nb.widget.svg import render_svg, render_text
from szal_nb.widget.view import view_state
from tests.odd_strings import ODD
from tests.widget.flows import RUN_ID, T0, sales, sales_run, warehouse, warehouse_events

SVG = "{http://www.w3.org/2000/svg}"


def picture(graph: FlowGraph, snapshot: RunSnapshot | None) -> ET.Element:
    return ET.fromstring(render_svg(view_state(graph, snapshot, run_id=RUN_ID, now=T0)))  # noqa: S314 - our own text


def test_every_step_is_drawn_with_its_name_and_state():
    root = picture(sales(), sales_run())

    drawn = {
        group.get("data-step"): group.get("data-state") for group in root.iter(f"{SVG}g") if group.get("data-step")
    }
    assert drawn == {
        "load": "completed",
        "clean": "completed",
        "by_region": "failed",
        "by_month": "completed",
        "plot": "completed",
        "summary": "skipped",
    }
    assert (root.get("data-run"), root.get("data-run-state")) == (RUN_ID, "failed")


def test_the_state_is_told_in_words_not_by_colour_alone():
    texts = [text.text for text in picture(sales(), sales_run()).iter(f"{SVG}text")]

    assert [text for text in texts if text and text.startswith("failed · Key")]
    assert [text for text in texts if text and text.startswith("skipped · by_region")]


def test_the_picture_needs_nothing_from_outside():
    text = render_svg(view_state(sales(), sales_run(), run_id=RUN_ID))

    assert "<script" not in text
    assert "url(" not in text
    assert text.count("http") == 1  # the name space
    assert "prefers-color-scheme:dark" in text


def test_the_same_run_gives_the_same_picture():
    assert render_svg(view_state(sales(), sales_run())) == render_svg(view_state(sales(), sales_run()))


@pytest.mark.parametrize("count", [0, 1, 50, 401, 2000])
def test_flows_of_any_size_are_drawn_and_say_what_is_left_out(count):
    root = picture(warehouse(count), None)

    assert sum(1 for group in root.iter(f"{SVG}g") if group.get("data-step")) == min(count, 400)
    said = " ".join(text.text or "" for text in root.iter(f"{SVG}text"))
    assert (f"({count - 400} more steps not drawn)" in said) == (count > 400)


def test_fifty_steps_stay_narrow_enough_to_be_read():
    graph = warehouse(50)
    root = picture(graph, fold(warehouse_events(graph)))

    assert float(root.get("width", "inf")) < 1500


@pytest.mark.parametrize(
    "name",
    [
        "a_<script>alert(1)</script>",
        "\"'&<>",
        "]]>",
        "\u202egnp.exe",
        "nul\x00byte\x1b[31m",
        "lone \ud800 surrogate",
        "\uffff",
        "日本語" * 40,
        "x" * 1_000_000,
    ],
)
def test_hostile_names_stay_text(name):
    step = Step(name="plain")
    object.__setattr__(step, "name", name)
    graph = FlowGraph(flow=FlowDefinition(name=name, steps=(step,)), nodes=(StepNode(step=step, gives=(name,)),))
    view = view_state(graph, None)

    text = render_svg(view)
    plain = render_text(view)

    root = ET.fromstring(text)  # noqa: S314 - our own text
    assert not list(root.iter(f"{SVG}script"))
    assert "\u202e" not in "".join(root.itertext())
    assert len(text.encode()) < 3_000_000
    assert len(plain.splitlines()) == 2
    assert len(plain) < 400


@pytest.mark.parametrize("part", range(5))
def test_odd_texts_stay_text(part):
    for text in ODD[part::5]:
        step = Step(name="plain")
        object.__setattr__(step, "name", text)
        graph = FlowGraph(
            flow=FlowDefinition(name=text or "odd", steps=(step,)), nodes=(StepNode(step=step, gives=(text,)),)
        )
        root = ET.fromstring(render_svg(view_state(graph, None)))  # noqa: S314 - our own text
        # The one style is ours.
        assert {node.tag.removeprefix(SVG) for node in root.iter()} <= {
            "svg",
            "style",
            "title",
            "g",
            "rect",
            "path",
            "text",
            "tspan",
            "desc",
        }
        assert not [name for node in root.iter() for name in node.attrib if name.startswith("on") or "href" in name]


def test_the_text_of_a_flow_names_its_steps_and_what_they_wait_for():
    assert render_text(view_state(sales(), None)) == (
        "sales version 2: 6 steps\n"
        "  load\n"
        "  clean        <- load (orders)\n"
        "  by_region    <- clean (orders)\n"
        "  by_month     <- clean (orders)\n"
        "  plot         <- by_month (months)\n"
        "  summary      <- by_region (regions), by_month (months), plot (in doubt)"
    )


def test_the_text_of_a_run_says_its_states_and_no_times_unless_asked():
    view = view_state(sales(), sales_run(), run_id=RUN_ID, now=T0 + 100)

    assert render_text(view) == (
        "sales version 2: failed, 4 of 6 completed · 1 failed · 1 skipped\n"
        "  load       completed\n"
        "  clean      completed  <- load (orders)\n"
        "  by_region  failed     <- clean (orders)  KeyError: 'Region'\n"
        "  by_month   completed  <- clean (orders)\n"
        "  plot       completed  <- by_month (months)\n"
        "  summary    skipped    <- by_region (regions), by_month (months), plot (in doubt)"
    )
    assert "  clean      completed  250 ms  <- load (orders)" in render_text(view, times=True).splitlines()
