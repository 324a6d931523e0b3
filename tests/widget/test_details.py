"""What the picture shows of the one step that somebody looks at."""

from __future__ import annotations

from szal_nb.model.value import ElementEnd, ErrorInfo, Output
from szal_nb.widget.details import details_view
from szal_nb.widget.view import error_line, step_facts
from tests.widget.flows import OUTPUTS, T0, sales, sales_run


def test_the_details_of_a_step_have_its_inputs_with_their_values():
    inputs = details_view(sales(), sales_run(), "clean")["inputs"]

    assert inputs == [
        {
            "name": "orders",
            "step": "load",
            "source": "orders",
            "value": {
                "name": "orders",
                "type": "DataFrame",
                "size": 1_250_000,
                "shape": [10_000, 4],
                "needed": True,
            },
        }
    ]
    assert details_view(sales(), sales_run(), "load")["inputs"][0]["value"] == {
        "name": "region",
        "type": "str",
        "size": 4,
        "summary": "'EU'",
    }


def test_the_details_of_a_step_have_every_attempt_with_its_error():
    attempts = details_view(sales(), sales_run(), "load")["attempts"]

    assert attempts == [
        {"number": 1, "state": "failed", "started": T0 + 0.1, "ended": T0 + 1.2, "error": "TimeoutError: no answer"},
        {"number": 2, "state": "completed", "started": T0 + 2.2, "ended": T0 + 3.4, "error": None},
    ]


def test_pieces_of_one_stream_are_joined_and_the_end_of_a_long_log_is_kept():
    outputs = details_view(sales(), sales_run(), "load", OUTPUTS)["outputs"]
    long = details_view(sales(), None, "load", [Output(type="stream", name="stdout", text="x" * 300_000 + "end")])

    assert [(output["type"], output.get("name")) for output in outputs] == [
        ("stream", "stdout"),
        ("stream", "stderr"),
        ("display_data", None),
    ]
    assert outputs[0]["text"] == "reading 12 files\n\x1b[32mok\x1b[0m 10,000 rows\n"
    assert len(long["outputs"][0]["text"]) == 200_000
    assert long["outputs"][0]["text"].endswith("end")


def test_what_could_not_be_undone_says_why():
    snapshot = sales_run(10)
    error = ErrorInfo(type="OSError", message="no bank", traceback="OSError: no bank", names=("OSError",), line=2)
    snapshot.steps["load"].rollback_error = error

    assert step_facts(snapshot.steps["load"])["rollback_error"] == error_line(error)
    assert details_view(sales(), snapshot, "load")["rollback_error"]["line"] == 2
    assert "rollback_error" not in details_view(sales(), snapshot, "clean")


def test_of_many_elements_those_that_failed_come_first_and_what_is_left_out_is_counted():
    snapshot = sales_run(10)
    ends = [ElementEnd(n, attempts=1 + n % 2, error="OSError: no" if n == 700 else "", gave="int") for n in range(1000)]
    snapshot.steps["load"].elements = {end.position: end for end in ends}

    elements = details_view(sales(), snapshot, "load")["elements"]

    assert (elements["ended"], elements["failed"], len(elements["shown"])) == (1000, 1, 200)
    assert [end["position"] for end in elements["shown"][:3]] == [700, 0, 1]
    assert "elements" not in details_view(sales(), snapshot, "clean")
