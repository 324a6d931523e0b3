"""What the cells of a notebook bind outside of its steps, found without running them."""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from szal_nb.analysis.graph import NotebookName
from szal_nb.analysis.making import is_told, kind_made
from szal_nb.notebook.document import parse_python

# Cell magics whose body is Python that binds names in the notebook.
_PYTHON_CELL_MAGICS = frozenset({"time", "capture", "prun"})


class _NameBinder(ast.NodeVisitor):
    """Keeps in `names` what the statements that it visits leave bound at top level, in their order."""

    def __init__(self, source: str, names: dict[str, NotebookName], certain: Collection[ast.AST] = ()) -> None:
        """`certain` are the statements that are executed whatever happens."""
        self.names = names
        self._source = source
        self._certain = frozenset(certain)

    def _data(self, name: str, made: str = "") -> None:
        self.names[name] = NotebookName(kind="data", made=made)

    def _text(self, node: ast.stmt) -> str:
        decorators = getattr(node, "decorator_list", [])
        first = min([node.lineno, *(decorator.lineno for decorator in decorators)])
        lines = self._source.splitlines()[first - 1 : node.end_lineno]
        return textwrap.dedent("\n".join(lines))

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            statement = f"import {alias.name}" + (f" as {alias.asname}" if alias.asname else "")
            name = alias.asname or alias.name.partition(".")[0]
            self.names[name] = NotebookName(kind="module", statement=statement)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        module = "." * node.level + (node.module or "")
        for alias in node.names:
            if alias.name != "*":
                statement = f"from {module} import {alias.name}" + (f" as {alias.asname}" if alias.asname else "")
                self.names[alias.asname or alias.name] = NotebookName(kind="module", statement=statement)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        for expression in [*node.decorator_list, *node.args.defaults, *filter(None, node.args.kw_defaults)]:
            self.visit(expression)
        kind = "callable" if node.decorator_list else "function"
        self.names[node.name] = NotebookName(kind=kind, source=self._text(node))
        self._bind_globals(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self.visit_FunctionDef(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self.names[node.name] = NotebookName(kind="class", source=self._text(node))
        self._bind_globals(node)

    def _bind_globals(self, scope: ast.AST) -> None:
        for node in ast.walk(scope):
            if isinstance(node, ast.Global):
                for name in node.names:
                    if name not in self.names:
                        self._data(name)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        for expression in [*node.args.defaults, *filter(None, node.args.kw_defaults)]:
            self.visit(expression)

    def _visit_comprehension(self, node: ast.AST) -> None:
        # Its loop names are its own; only `:=` reaches out of it.
        for inner in ast.walk(node):
            if isinstance(inner, ast.NamedExpr):
                self._data(inner.target.id)

    def visit_ListComp(self, node: ast.ListComp) -> None:
        self._visit_comprehension(node)

    def visit_SetComp(self, node: ast.SetComp) -> None:
        self._visit_comprehension(node)

    def visit_DictComp(self, node: ast.DictComp) -> None:
        self._visit_comprehension(node)

    def visit_GeneratorExp(self, node: ast.GeneratorExp) -> None:
        self._visit_comprehension(node)

    def visit_Assign(self, node: ast.Assign) -> None:
        made = kind_made(node.value, self.names) if node in self._certain else ""
        self.generic_visit(node)
        for target in node.targets if made else ():
            if isinstance(target, ast.Name):
                self._data(target.id, made)
            elif is_told(made):
                # `fig, axes = plt.subplots()`: all of it is one drawing.
                for part in ast.walk(target):
                    if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store):
                        self._data(part.id, made)
        known = self.names.get(node.value.id) if isinstance(node.value, ast.Name) else None
        for target in node.targets:
            if isinstance(target, ast.Name) and isinstance(node.value, ast.Lambda):
                self.names[target.id] = NotebookName(kind="callable", source=self._text(node))
            elif isinstance(target, ast.Name) and known is not None and known.kind != "data":
                self.names[target.id] = NotebookName(
                    kind="module" if known.kind == "module" else "callable",
                    source=known.source,
                    statement=known.statement,
                )

        self._note_attributes(node, node.targets)

    def _note_attributes(self, node: ast.stmt, targets: Iterable[ast.expr]) -> None:
        """What is assigned to attributes of functions and classes: the last statement of each counts."""
        for target in targets:
            owner = target
            while isinstance(owner, ast.Attribute | ast.Subscript):
                owner = owner.value
            known = self.names.get(owner.id) if isinstance(owner, ast.Name) and owner is not target else None
            if isinstance(owner, ast.Name) and known is not None and known.kind in ("function", "class", "callable"):
                found = {**dict(known.attributes), ast.unparse(target): self._text(node)}
                self.names[owner.id] = replace(known, attributes=tuple(found.items()))

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self.generic_visit(node)
        self._note_attributes(node, [node.target])

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self._note_attributes(node, [node.target])
            made = kind_made(node.value, self.names) if node in self._certain else ""
            self.generic_visit(node)
            if made and isinstance(node.target, ast.Name):
                self._data(node.target.id, made)

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Store):
            self._data(node.id)
        elif isinstance(node.ctx, ast.Del):
            self.names.pop(node.id, None)

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        before = dict(self.names)
        self.generic_visit(node)
        # An import that has a fallback stays an import.
        for name, kept in before.items():
            if kept.kind == "module" and name in self.names:
                self.names[name] = kept
        if node.name is not None and node.name not in before:
            self.names.pop(node.name, None)

    def visit_MatchAs(self, node: ast.MatchAs) -> None:
        self.generic_visit(node)
        if node.name is not None:
            self._data(node.name)

    def visit_MatchStar(self, node: ast.MatchStar) -> None:
        if node.name is not None:
            self._data(node.name)

    def visit_MatchMapping(self, node: ast.MatchMapping) -> None:
        self.generic_visit(node)
        if node.rest is not None:
            self._data(node.rest)

    def visit_Call(self, node: ast.Call) -> None:
        self.generic_visit(node)
        magic = shell_magic(node)
        if magic is None:
            return
        kind, name, line, body = magic
        if kind == "cell" and name == "capture" and line and not line.startswith("-"):
            self._data(line.split()[0])
        if kind == "cell" and name in _PYTHON_CELL_MAGICS:
            self.names.update(names_bound(body))


def names_bound(
    source: str, tree: ast.AST | None = None, before: Mapping[str, NotebookName] | None = None
) -> dict[str, NotebookName]:
    """What is bound at top level after running the Python text `source`, or only its part `tree`, upon `before`."""
    tree = tree if tree is not None else parse_python(source)
    binder = _NameBinder(source, dict(before or {}), tree.body if isinstance(tree, ast.Module) else [tree])
    binder.visit(tree)
    return binder.names


def shell_magic(node: ast.AST) -> tuple[str, str, str, str] | None:
    """(`line` or `cell`, the magic's name, its line, its body), if `node` is a call that IPython makes of a magic."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return None
    if node.func.attr not in ("run_line_magic", "run_cell_magic"):
        return None
    constants = [argument.value for argument in node.args if isinstance(argument, ast.Constant)]
    texts = [value for value in constants if isinstance(value, str)]
    if len(texts) < 2 or len(texts) != len(constants):
        return None
    kind = "cell" if node.func.attr == "run_cell_magic" else "line"
    return kind, texts[0], texts[1], texts[2] if len(texts) > 2 else ""


def magics_in(nodes: Iterable[ast.stmt], name: str) -> list[str]:
    """The lines of all line magics `name` in these statements, in order."""
    found = [shell_magic(node) for statement in nodes for node in ast.walk(statement)]
    return [magic[2] for magic in found if magic is not None and magic[:2] == ("line", name)]
