"""What is new of a run since the last look."""

from __future__ import annotations

from szal_nb.model.event import RunResumed, StepOutput
from szal_nb.model.state import fold
from szal_nb.model.value import Output
from szal_nb.widget.news import run_news
from tests.widget.flows import RUN_ID, SALES_EVENTS, T0, sales, sales_run


def test_news_have_the_facts_of_the_steps_that_moved_and_no_others():
    news = run_news(sales(), sales_run(10), SALES_EVENTS[7:10], run_id=RUN_ID, now=T0)

    assert (news["run"], news["state"], news["states"]) == (RUN_ID, "running", "ccrrpp")
    assert set(news["steps"]) == {"1", "2", "3"}
    assert news["log"] == []


def test_a_step_that_printed_is_named_and_has_not_moved():
    printed = StepOutput(at=T0, step="plot", attempt=1, items=(Output(type="stream", name="stdout", text="x"),))

    news = run_news(sales(), sales_run(), [printed], run_id=RUN_ID, now=T0)

    assert (news["steps"], news["log"]) == ({}, ["plot"])


def test_after_a_resume_all_steps_are_told_anew():
    resumed = RunResumed(at=T0 + 9, epoch=2, reset=("by_region", "summary"))

    news = run_news(sales(), fold((*SALES_EVENTS, resumed)), [resumed], run_id=RUN_ID, now=T0)

    assert (news["states"], len(news["steps"])) == ("ccpccp", 6)
