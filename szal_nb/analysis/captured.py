"""Code in a value that reads a global when it is called: refused where the global has more than one value over the run.

Such code stays tied to the namespace of the step that made it, and cannot be made anew over another step's values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from szal_nb.analysis.helpers import steps_named
from szal_nb.analysis.names import Captured
from szal_nb.analysis.resolved import Known, Resolved
from szal_nb.analysis.surroundings import NameKind
from szal_nb.errors import InvalidStep


def check_captured(found: Sequence[Resolved], known: Known) -> None:
    """Refuses callables of a step, used by others, that read a global with more than one value over the run."""
    capturing = [one for one in found if one.names.captured]
    if not capturing:
        return
    used: dict[tuple[str, str], str] = {}
    changed: dict[str, list[Resolved]] = {}
    places = {one.step.name: number for number, one in enumerate(found)}
    for one in found:
        for binding in one.bindings.values():
            if binding.step is not None:
                used.setdefault((binding.step, binding.source), one.step.name)
        for change, _ in one.changes:
            changed.setdefault(change.name, []).append(one)
    for one in capturing:
        place = places[one.step.name]
        for captured in one.names.captured:
            user = used.get((one.step.name, captured.owner))
            if user is not None:
                changers = [other for other in changed.get(captured.name, ()) if places[other.step.name] > place]
                refuse_ambiguity(one, captured, user=user, changers=changers, places=places, known=known)


def refuse_ambiguity(
    one: Resolved,
    captured: Captured,
    *,
    user: str,
    changers: Sequence[Resolved],
    places: Mapping[str, int],
    known: Known,
) -> None:
    """Refuses what a step captures if that has more than one value; `changers` are those below that change it."""
    name, place = captured.name, places[one.step.name]
    givers = known.givers_of(name)
    around = known.around.get(name)
    is_data = around is not None and around.kind == NameKind.DATA
    advice = f"Pass {name!r} to it as an argument, or give it one name for each value."
    is_of_both = is_data and any(places[step] > place for step in givers)
    if len(givers) > 1 or is_of_both:
        problem = f"is given by {'the notebook and ' if is_of_both else ''}{steps_named(givers)}"
    elif changers and (givers or is_data):
        steps = steps_named([other.step.name for other in changers])
        changes = [change for other in changers for change, _ in other.changes if change.name == name]
        if any(change.is_certain for change in changes):
            problem = f"{steps} {'change' if len(changers) > 1 else 'changes'} in place"
        else:
            problem = f"{steps} may change in place ({changes[0].what})"
            advice = f"If nothing there changes {name}, say `--pure {name}` on {steps}. Else pass it as an argument."
    else:
        return
    raise InvalidStep(
        one.step.name,
        f"line {captured.line}: the {captured.what} {captured.owner}, which step {user!r} uses, reads "
        f"{name!r}, which {problem}.",
        advice,
    )
