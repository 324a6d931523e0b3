"""A notebook's parameters: names, types, defaults and help from its parameters cell, and the values given for them.

Nothing of the cell is run. A value that does not fit is refused before a kernel starts.
"""

from __future__ import annotations

import ast
import difflib
import io
import json
import re
import tokenize
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from szal_nb.errors import InvalidParameter
from szal_nb.model.secret import PREFIX
from szal_nb.notebook.document import InvalidNotebook, Notebook, parse_python, python_of
from szal_nb.notebook.parameter_type import Kind, ParameterType, json_schema, type_of_annotation, type_of_default
from szal_nb.notebook.parameter_value import Misfit, from_text, from_value, python_text

PARAMETERS_TAG = "parameters"
INJECTED_TAG = "injected-parameters"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One parameter. `default` is its Python text, None if it has none; `annotation` is as written."""

    name: str
    type: ParameterType
    annotation: str = ""
    default: str | None = None
    help: str = ""

    @property
    def is_required(self) -> bool:
        """Whether the notebook cannot run without a value from outside."""
        return self.default is None and not self.type.is_secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """Values from outside. `values` are typed and injected; `secrets` go by environment and are never shown."""

    values: Mapping[str, Any]
    secrets: Mapping[str, str]

    @property
    def environment(self) -> dict[str, str]:
        """What the kernel's environment has to hold for the secrets."""
        return {PREFIX + name.upper(): secret for name, secret in self.secrets.items()}


def read_parameters(notebook: Notebook) -> tuple[Parameter, ...]:
    """The parameters of `notebook`, in order; none if no cell has the tag `parameters`."""
    cell = notebook.tagged(PARAMETERS_TAG)
    if cell is None:
        return ()
    source = python_of(cell.source)
    try:
        tree = parse_python(source)
    except (SyntaxError, ValueError) as error:
        line = error.lineno if isinstance(error, SyntaxError) else None
        raise InvalidNotebook(notebook.label, f"{cell.where(line)} is not valid Python: {error}.") from None
    comments = _comments(source)
    found: dict[str, Parameter] = {}
    for statement in tree.body:
        for name, annotation, default in _assignments(statement):
            comment = comments.get(statement.end_lineno or statement.lineno, "")
            parameter = _parameter(name, annotation, default, comment)
            known = found.get(name)
            if known is not None and known.annotation and not parameter.annotation:
                # `rows: int` and, below it, `rows = 10`.
                parameter = replace(parameter, type=known.type, annotation=known.annotation)
            found[name] = parameter
    return tuple(found.values())


def give(
    notebook: Notebook,
    *,
    texts: Sequence[tuple[str, str]] = (),
    raw: Sequence[tuple[str, str]] = (),
    values: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Given:
    """Typed values for the notebook's parameters; `InvalidParameter` if one has no place or does not fit.

    `texts` are as written on a command line, `raw` are taken as text, `values` come from JSON or YAML. The later of
    these wins over the earlier: values, texts, raw. A secret that is not given is taken from `environment`.
    """
    parameters = {parameter.name: parameter for parameter in read_parameters(notebook)}
    found: dict[str, Any] = {}
    for name, value in (values or {}).items():
        found[name] = _fitting(_known(notebook, parameters, name), from_value, value)
    for name, text in texts:
        found[name] = _fitting(_known(notebook, parameters, name), from_text, text)
    for name, text in raw:
        found[name] = _fitting(_known(notebook, parameters, name), from_value, text)
    return _given(parameters, found, environment or {})


def retype(notebook: Notebook, values: Mapping[str, Any], *, environment: Mapping[str, str] | None = None) -> Given:
    """`values` that papermill has guessed types for, as what the notebook's parameters say they are.

    A notebook that declares no parameters takes them as they are, as papermill does.
    """
    parameters = {parameter.name: parameter for parameter in read_parameters(notebook)}
    if not parameters:
        return Given(values=dict(values), secrets={})
    typed: dict[str, Any] = {}
    for name, value in values.items():
        parameter = _known(notebook, parameters, name)
        if isinstance(value, str):
            typed[name] = _fitting(parameter, from_text, value)
        elif parameter.type.kind is Kind.STR and isinstance(value, int | float):
            typed[name] = str(value)
        else:
            typed[name] = _fitting(parameter, from_value, value)
    return _given(parameters, typed, environment or {})


def _given(parameters: Mapping[str, Parameter], found: Mapping[str, Any], environment: Mapping[str, str]) -> Given:
    missing = [name for name, parameter in parameters.items() if parameter.is_required and name not in found]
    if missing:
        raise InvalidParameter(f"Parameter {missing[0]!r} has no default and needs a value: -p {missing[0]} VALUE.")
    secrets = {name: value for name, value in found.items() if parameters[name].type.is_secret}
    for name, parameter in parameters.items():
        if parameter.type.is_secret and name not in secrets:
            place = next((key for key in (name, name.upper()) if key in environment), None)
            if place is None:
                raise InvalidParameter(f"The secret {name!r} is not set; put it into the environment: {name.upper()}.")
            secrets[name] = environment[place]
    return Given(values={name: value for name, value in found.items() if name not in secrets}, secrets=secrets)


def injected_source(notebook: Notebook, given: Given) -> str:
    """The cell that gives the parameters their values; a secret is named in it, never shown."""
    types = {parameter.name: parameter for parameter in read_parameters(notebook)}
    lines = ["# Parameters"]
    for name, value in given.values.items():
        type_ = types[name].type if name in types else ParameterType()
        lines.append(f"{name} = {python_text(type_, value)}")
    for name in given.secrets:
        # `szal.Secret` in the annotation says by which name the notebook knows this package.
        package = types[name].type.written.rpartition(".")[0] or "__import__('szal_nb')"
        lines.append(f'{name} = {package}.secret("{PREFIX}{name.upper()}")')
    return "\n".join(lines) + "\n"


def read_values(text: str, *, origin: str) -> dict[str, Any]:
    """The parameters in YAML (or JSON) text; `origin` is what messages call it."""
    import yaml  # late: heavy

    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InvalidParameter(f"{origin} is not valid YAML: {error}") from None
    if values is None:
        return {}
    if not isinstance(values, dict) or not all(isinstance(name, str) for name in values):
        raise InvalidParameter(f"{origin} must be a mapping of names to values, such as `rows: 100`.")
    return values


def read_values_file(path: str | Path) -> dict[str, Any]:
    """The parameters in a YAML (or JSON) file."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InvalidParameter(f"The parameters in {path} cannot be read: {reason}.") from None
    return read_values(text, origin=str(path))


def parameters_schema(parameters: Sequence[Parameter]) -> dict[str, Any]:
    """The parameters as a JSON Schema (draft 2020-12)."""
    properties: dict[str, Any] = {}
    for parameter in parameters:
        schema = json_schema(parameter.type)
        if parameter.help:
            schema["description"] = parameter.help
        properties[parameter.name] = {**schema, **json_default(parameter)}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": properties,
        "required": [parameter.name for parameter in parameters if parameter.is_required],
        "additionalProperties": False,
    }


def json_default(parameter: Parameter) -> dict[str, Any]:
    """`{"default": value}`, if the parameter has a default that is written out and that JSON can hold; else nothing."""
    if parameter.default is None or parameter.type.is_secret:
        return {}
    try:
        value = ast.literal_eval(parameter.default)
        value = sorted(value, key=str) if isinstance(value, set) else value
        return {"default": json.loads(json.dumps(value, allow_nan=False))}
    except (ValueError, TypeError, SyntaxError):
        return {}


def _known(notebook: Notebook, parameters: Mapping[str, Parameter], name: str) -> Parameter:
    if name in parameters:
        return parameters[name]
    if not parameters:
        raise InvalidParameter(
            f"There is no parameter {name!r}: {notebook.label} has no parameters. Tag a cell with `parameters`."
        )
    near = difflib.get_close_matches(name, parameters, n=1, cutoff=0.4)
    advice = f"Did you mean {near[0]!r}?" if near else f"It has {', '.join(parameters)}."
    raise InvalidParameter(f"{notebook.label} has no parameter {name!r}. {advice}")


def _fitting(parameter: Parameter, fit: Any, value: Any) -> Any:
    try:
        return fit(parameter.type, value)
    except Misfit as misfit:
        shown = f" (declared as {parameter.annotation})" if parameter.annotation else ""
        text = "the value given does not fit." if parameter.type.is_secret else str(misfit)
        raise InvalidParameter(f"Parameter {parameter.name!r}{shown}: {text}") from None


def _assignments(statement: ast.stmt) -> list[tuple[str, ast.expr | None, ast.expr | None]]:
    """(name, annotation, default) of each parameter that a statement of the parameters cell declares."""
    match statement:
        case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation, value=value):
            return [(name, annotation, value)]
        case ast.Assign(targets=targets, value=value):
            return [(target.id, None, value) for target in targets if isinstance(target, ast.Name)]
    return []


_TYPE_COMMENT = re.compile(r"type:\s*(?P<type>[^#]+?)\s*(?:#\s*(?P<rest>.*))?")


def _parameter(name: str, annotation: ast.expr | None, default: ast.expr | None, comment: str) -> Parameter:
    typed = _TYPE_COMMENT.fullmatch(comment)
    if annotation is None and typed is not None:
        try:
            annotation = ast.parse(typed["type"], mode="eval").body
            comment = typed["rest"] or ""
        except SyntaxError:
            pass
    if annotation is not None:
        type_ = type_of_annotation(annotation)
    else:
        type_ = type_of_default(default) if default is not None else ParameterType()
    return Parameter(
        name=name,
        type=type_,
        annotation=ast.unparse(annotation) if annotation is not None else "",
        default=ast.unparse(default) if default is not None else None,
        help=comment,
    )


def _comments(source: str) -> dict[int, str]:
    """The comment at the end of each line that has one."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {token.start[0]: token.string.lstrip("#").strip() for token in tokens if token.type == tokenize.COMMENT}
