"""What is shown of a value: a figure or a chart as its picture, which anybody can read without running code.

The picture is a value of its own, kept as JSON beside what it is a picture of, under a name that no code can have; so
it is deduplicated, collected, exported and checked like all others.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping
from typing import Any, cast

from szal_nb.model.loaded import loaded

# Pictures, and charts that front ends draw. Pages of HTML are left out: they bring code along, and megabytes of it.
_KINDS = ("image/", "application/vnd.plotly.", "application/vnd.vega")
_METHODS = {"_repr_svg_": "image/svg+xml", "_repr_png_": "image/png", "_repr_jpeg_": "image/jpeg"}

Bundle = dict[str, object]


class Shown:
    """Stands for a value that cannot be had here: it looks like it, and is nothing else. `data` is a mimebundle."""

    def __init__(self, name: str, data: Bundle) -> None:
        self.name = name
        self.data = data

    def __repr__(self) -> str:
        return f"<{self.name} as it was shown: {', '.join(self.data)}>"

    def _repr_mimebundle_(self, **_: object) -> Bundle:
        return {"text/plain": repr(self), **self.data}


def subject_of(value: object) -> object:
    """What there is to draw of a value: of axes their figure, else the value itself."""
    axes = loaded("matplotlib.axes")
    if axes is None or not isinstance(value, axes.Axes):
        return value
    figure: object = value.get_figure()
    return value if figure is None else figure


def rendition_of(value: object) -> Bundle | None:
    """The pictures of a subject as a mimebundle, binary parts in base64; None for what is no picture.

    Whatever goes wrong: without a picture the value itself is kept all the same.
    """
    try:
        found = _pictures(value)
    except Exception:  # noqa: BLE001 drawing runs code of other libraries and of the user
        return None
    return {kind: _as_text(part) for kind, part in found.items() if part} or None


def _pictures(value: object) -> Mapping[str, Any]:
    figures = loaded("matplotlib.figure")
    if figures is not None and isinstance(value, figures.Figure):
        # One with nothing on it is shown by nobody.
        return {"image/png": _png_of(value)} if value.axes or value.lines else {}
    kind = type(value)
    if isinstance(value, type) or kind.__module__ == "builtins":
        return {}
    if (spec := _altair_spec(value)) is not None:
        return spec
    bundle: Mapping[str, Any] = {}
    make: Callable[[Any], Any] | None = getattr(kind, "_repr_mimebundle_", None)
    if make is not None:
        made = make(value)
        bundle = made[0] if isinstance(made, tuple) else made or {}
    found = _drawn(bundle)
    for method, name in _METHODS.items():
        if not found and (draw := getattr(kind, method, None)) is not None:
            made = draw(value)
            found = {name: made[0] if isinstance(made, tuple) else made}
    return found


def _altair_spec(value: object) -> Mapping[str, Any] | None:
    """What a chart of altair is shown as; None for anything else. Raises for one that is not complete yet."""
    altair = loaded("altair")
    charts = getattr(altair, "TopLevelMixin", None)
    if charts is None or not isinstance(value, charts):
        return None
    # Its own `_repr_mimebundle_` would show the traceback of a base, which is no chart yet, in the cell.
    draw, subject = altair.renderers.get(), cast("Any", value)
    bundle = draw(subject.to_dict(context={"pre_transform": False})) if draw else {}
    return _drawn(bundle[0] if isinstance(bundle, tuple) else bundle)


def _drawn(bundle: Mapping[str, Any]) -> dict[str, Any]:
    return {name: part for name, part in bundle.items() if name.startswith(_KINDS)}


def _png_of(figure: Any) -> bytes:
    # As the inline backend shows it: cut to what is drawn, at the resolution of the figure.
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=figure.dpi, bbox_inches="tight", metadata={"Software": None})
    return file.getvalue()


def _as_text(part: object) -> object:
    return base64.b64encode(part).decode() if isinstance(part, bytes) else part
