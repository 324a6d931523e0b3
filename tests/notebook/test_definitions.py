from __future__ import annotations

import pytest

from szal_nb.errors import InvalidFlow, InvalidStep
from szal_nb.model.step import Compensation, Step
from szal_nb.notebook.definitions import Cell, Defined, DefinedRollback, Definitions
from szal_nb.notebook.flags import parse_flow_line


class Book:
    """Executes cells that define steps, as a notebook does."""

    def __init__(self):
        self.definitions = Definitions()

    def execute(self, key, *steps, has_id=True, is_only=False, fails=False):
        cell = Cell(key, has_id=has_id, is_only=is_only)
        self.definitions.begin_cell(cell)
        try:
            for name in steps:
                self.definitions.define(
                    Defined(step=Step(name=name), flow=self.definitions.current, cell=cell, make_body=lambda *_: None)
                )
        finally:
            self.definitions.end_cell(is_completed=not fails)

    def undo(self, key, step, text="undo", **options):
        cell = Cell(key, **options)
        self.definitions.begin_cell(cell)
        made = Compensation(source=text)
        defined = DefinedRollback(
            step=step,
            flow=self.definitions.current,
            cell=cell,
            where=f"cell {key}",
            compensation=made,
            make_body=lambda *_: text,
        )
        is_completed = False
        try:
            self.definitions.define_rollback(defined)
            is_completed = True
        finally:
            self.definitions.end_cell(is_completed=is_completed)

    def rollbacks(self, flow="notebook"):
        found = self.definitions.definition(flow, self.definitions.of_flow(flow))
        return {step.name: step.rollback.source for step in found.steps if step.rollback is not None}

    def steps(self, flow="notebook"):
        return [defined.step.name for defined in self.definitions.of_flow(flow)]


@pytest.fixture
def book():
    return Book()


def test_executing_a_cell_again_replaces_the_step_in_place(book):
    book.execute("1", "load")
    book.execute("2", "clean")
    book.execute("1", "load")

    assert book.steps() == ["load", "clean"]


def test_a_cell_that_changes_its_steps_name_removes_the_old_step_and_keeps_its_place(book):
    book.execute("1", "load")
    book.execute("2", "clean")
    book.execute("1", "fetch")

    assert book.steps() == ["fetch", "clean"]


def test_a_cell_that_is_no_step_any_more_removes_its_step(book):
    book.execute("1", "load")
    book.execute("1")

    assert book.steps() == []


def test_a_cell_that_fails_keeps_what_it_defined_before(book):
    book.execute("1", "load")
    book.execute("1", fails=True)

    assert book.steps() == ["load"]


def test_a_second_cell_with_the_same_step_name_is_an_error(book):
    book.execute("1", "load")

    with pytest.raises(InvalidStep, match="a step of this name is defined in another cell"):
        book.execute("2", "load")
    assert book.steps() == ["load"]


def test_one_cell_cannot_define_a_name_twice(book):
    with pytest.raises(InvalidStep, match="in this cell already"):
        book.execute("1", "load", "load")


def test_a_deleted_cell_takes_its_steps_with_it(book):
    book.execute("1", "load")
    book.execute("2", "clean")
    book.definitions.delete_cells(["1"])

    assert book.steps() == ["clean"]


def test_a_console_without_cell_ids_replaces_steps_by_name(book):
    book.execute("executed-1", "load", has_id=False)
    book.execute("executed-2", "clean", has_id=False)
    book.execute("executed-3", "load", has_id=False)

    assert book.steps() == ["load", "clean"]


def test_headless_without_cell_ids_a_second_definition_is_a_second_cell(book):
    book.execute("executed-1", "load", has_id=False, is_only=True)

    with pytest.raises(InvalidStep):
        book.execute("executed-2", "load", has_id=False, is_only=True)


def test_steps_belong_to_the_flow_that_was_named_last(book):
    book.definitions.use_flow(parse_flow_line("sales --version 2"))
    book.execute("1", "load")
    book.definitions.use_flow(parse_flow_line("costs"))
    book.execute("2", "sum")

    assert (book.steps("sales"), book.steps("costs")) == (["load"], ["sum"])
    assert book.definitions.definition("sales", book.definitions.of_flow("sales")).version == 2


def test_a_flow_line_that_is_changed_renames_the_flow_and_keeps_its_steps(book):
    def flow_line(line):
        book.definitions.begin_cell(Cell("flow"))
        book.definitions.use_flow(parse_flow_line(line))
        book.definitions.end_cell(is_completed=True)

    flow_line("sales")
    book.execute("1", "load")
    flow_line("costs --version 3")

    assert (book.steps("costs"), book.definitions.flow_names()) == (["load"], ["costs"])


def test_a_step_belongs_to_the_nearest_flow_line_above_it_in_the_document(book):
    for key, line in (("f1", "sales"), ("f2", "costs")):
        book.definitions.begin_cell(Cell(key))
        book.definitions.use_flow(parse_flow_line(line))
        book.definitions.end_cell(is_completed=True)
    numbers = {"f1": 1, "a": 2, "f2": 3, "b": 4}

    flows = [book.definitions.flow_above(Cell(key), numbers) for key in ("a", "b", "unsaved", "f1")]

    assert flows == ["sales", "costs", "costs", "costs"]


def test_an_unknown_flow_names_the_nearest_one(book):
    book.definitions.use_flow(parse_flow_line("sales"))

    with pytest.raises(InvalidFlow, match="Did you mean sales"):
        book.steps("sale")


def test_a_flow_line_is_checked_where_it_stands(book):
    with pytest.raises(InvalidFlow, match="versions count from 1"):
        book.definitions.use_flow(parse_flow_line("sales --version 0"))


def test_what_undoes_a_step_is_replaced_by_its_cell_and_gone_with_it(book):
    book.execute("1", "load", "save")
    book.undo("2", "load", "first")
    book.undo("2", "load", "second")
    assert book.rollbacks() == {"load": "second"}

    book.undo("2", "save")
    assert book.rollbacks() == {"save": "undo"}

    book.definitions.delete_cells(["2"])
    assert book.rollbacks() == {}
    assert book.definitions.rollback_of("save") is None


def test_what_undoes_a_step_may_stand_above_it(book):
    book.undo("1", "load")
    with pytest.raises(InvalidStep, match=r"Step 'load': cell 1 is its rollback, .* The steps are: none\."):
        book.definitions.check_rollbacks("notebook")

    book.execute("2", "load")
    book.definitions.check_rollbacks("notebook")

    assert book.rollbacks() == {"load": "undo"}


def test_a_second_cell_that_undoes_a_step_is_an_error(book):
    book.execute("1", "load")
    book.undo("2", "load")

    with pytest.raises(InvalidStep, match="cell 3 is its rollback, but it is undone by cell 2 already. Remove one"):
        book.undo("3", "load")
    # Without ids a cell that is executed again looks like another one.
    book.undo("4", "load", "again", has_id=False)
    assert book.rollbacks() == {"load": "again"}


def test_a_cell_for_a_step_that_says_itself_how_it_is_undone_is_an_error(book):
    book.definitions.begin_cell(Cell("1"))
    step = Defined(
        step=Step(name="load", rollback=Compensation()),
        flow="notebook",
        cell=Cell("1"),
        make_body=lambda *_: None,
        make_undo=lambda *_: "its own",
    )
    book.definitions.define(step)
    book.definitions.end_cell(is_completed=True)
    assert book.definitions.rollback_of("load")() == "its own"

    book.undo("2", "load")

    with pytest.raises(InvalidStep, match="undone by its rollback= already"):
        book.definitions.check_rollbacks("notebook")


def test_what_undoes_a_step_goes_with_a_flow_that_is_renamed(book):
    def flow_line(line):
        book.definitions.begin_cell(Cell("flow"))
        book.definitions.use_flow(parse_flow_line(line))
        book.definitions.end_cell(is_completed=True)

    flow_line("sales")
    book.undo("1", "load")
    flow_line("costs")

    with pytest.raises(InvalidStep, match="no such step"):
        book.definitions.check_rollbacks("costs")
