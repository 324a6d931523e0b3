"""The steps of a flow after each execution of a cell, as all cells together say it, and at the cost of that cell."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from szal_nb.model.step import Compensation, Step
from szal_nb.notebook.definitions import Cell, Defined, DefinedRollback, Definitions
from szal_nb.notebook.document import Notebook, NotebookCell

KEYS = "abcdefg"
SAVED = [
    None,
    Notebook(cells=tuple(NotebookCell(number=number, id=key) for number, key in enumerate("abcdefg", start=1))),
    Notebook(cells=tuple(NotebookCell(number=number, id=key) for number, key in enumerate("gxbya", start=1))),
]
NAMES = st.lists(st.sampled_from(["s0", "s1", "s2", "s3", "s4"]), max_size=2, unique=True)
DONE = st.lists(
    st.one_of(
        st.tuples(st.just("execute"), st.sampled_from(KEYS), NAMES, st.sampled_from(["one", "one", "one", "two"])),
        st.tuples(st.just("anew"), st.sampled_from(KEYS), NAMES, st.just("one")),
        st.tuples(st.just("undo"), st.sampled_from(KEYS), NAMES, st.just("one")),
        st.tuples(st.just("delete"), st.sampled_from(KEYS), st.just([]), st.just("one")),
        st.tuples(st.just("save"), st.sampled_from(["0", "1", "2"]), st.just([]), st.just("one")),
    ),
    max_size=25,
)


def execute(definitions, cell, names, flow):
    definitions.begin_cell(cell)
    for name in names:
        known = definitions._steps.get(name)
        if known is None or known.cell.key == cell.key or not cell.has_id:
            definitions.define(Defined(step=Step(name=name), flow=flow, cell=cell, make_body=lambda *_: None))
    definitions.end_cell(is_completed=True)


def undo(definitions, cell, names):
    definitions.begin_cell(cell)
    for name in names:
        known = definitions._rollbacks.get(name)
        if known is None or known.cell.key == cell.key:
            definitions.define_rollback(
                DefinedRollback(
                    step=name,
                    flow="one",
                    cell=cell,
                    where="",
                    compensation=Compensation(source=cell.key),
                    make_body=str,
                )
            )
    definitions.end_cell(is_completed=True)


@given(DONE)
def test_the_steps_of_a_flow_are_those_that_all_cells_together_give(done):
    definitions, saved = Definitions(), None
    for count, (what, key, names, flow) in enumerate(done):
        match what:
            case "execute":
                execute(definitions, Cell(key), names, flow)
            case "anew":
                execute(definitions, Cell(f"executed-{count}", has_id=False), names, flow)
            case "undo":
                undo(definitions, Cell(key), names)
            case "delete":
                definitions.delete_cells([key])
            case "save":
                saved = SAVED[int(key)]
        for name in definitions.flow_names():
            steps = definitions.definition(name, definitions.arranged(name, saved)).steps
            assert definitions.steps_of_flow(name, saved) == steps


def test_a_cell_that_is_executed_is_all_that_is_arranged(monkeypatch):
    definitions, arranged = Definitions(), []
    monkeypatch.setattr(Definitions, "arranged", lambda self, *_: arranged.append(self) or [])
    definitions.steps_of_flow("one", None)

    for number in range(50):
        execute(definitions, Cell(f"c{number}"), [f"s{number}"], "one")
        definitions.steps_of_flow("one", None)
    execute(definitions, Cell("c20"), ["s20"], "one")
    execute(definitions, Cell("c30"), [], "one")

    assert [step.name for step in definitions.steps_of_flow("one", None)] == [f"s{n}" for n in range(50) if n != 30]
    assert len(arranged) == 1
