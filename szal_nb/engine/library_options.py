"""Options of libraries: each read as plain data that says all of them, or None if the library is not there."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Mapping
from typing import Any

from szal_nb.engine.thread_settings import read_thread_settings, set_thread_settings
from szal_nb.model.loaded import loaded


def _pandas_options() -> dict[str, Any] | None:
    pandas = loaded("pandas")
    config: Any = loaded("pandas._config.config")
    if pandas is None or config is None:
        return None
    names = config._registered_options.keys() - config._deprecated_options.keys()  # noqa: SLF001  no public way lists them
    return {name: config.get_option(name) for name in sorted(names)}


def _set_pandas_options(options: Mapping[str, Any]) -> None:
    import pandas as pd  # late: heavy

    now = _pandas_options() or {}
    for name, value in options.items():
        if name in now and now[name] != value:
            pd.set_option(name, value)


# Beside the parameters of matplotlib: what the letters of its colours stand for. A theme of seaborn changes that.
_COLORS = "colors of one letter"


def _drawing() -> dict[str, Any] | None:
    matplotlib: Any = loaded("matplotlib")
    if matplotlib is None:
        return None
    found = {name: value for name, value in dict.items(matplotlib.rcParams) if not name.startswith("backend")}
    codes = matplotlib.colors.colorConverter.colors
    return {**found, _COLORS: {letter: codes[letter] for letter in matplotlib.colors.BASE_COLORS}}


def _set_drawing(settings: Mapping[str, Any]) -> None:
    import matplotlib as mpl  # late: heavy

    settings = dict(settings)
    for letter, color in settings.pop(_COLORS, {}).items():
        # Colours that it has looked up are forgotten with each assignment.
        mpl.colors.colorConverter.colors[letter] = color
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        parameters: Any = mpl.rcParams
        parameters.update(settings)


def _polars_options() -> dict[str, Any] | None:
    polars = loaded("polars")
    return None if polars is None else {"all": polars.Config.save(if_set=True)}


def _set_polars_options(options: Mapping[str, Any]) -> None:
    polars: Any = importlib.import_module("polars")

    polars.Config.restore_defaults()
    polars.Config.load(options["all"])


def _sklearn_options() -> dict[str, Any] | None:
    sklearn = loaded("sklearn")
    return None if sklearn is None else sklearn.get_config()


def _set_sklearn_options(options: Mapping[str, Any]) -> None:
    sklearn: Any = importlib.import_module("sklearn")

    sklearn.set_config(**options)


def _xarray_options() -> dict[str, Any] | None:
    xarray = loaded("xarray")
    return None if xarray is None else dict(xarray.get_options())


def _set_xarray_options(options: Mapping[str, Any]) -> None:
    xarray: Any = importlib.import_module("xarray")

    now = xarray.get_options()
    xarray.set_options(**{name: value for name, value in options.items() if now[name] != value})


def _torch_options() -> dict[str, Any] | None:
    torch = loaded("torch")
    if torch is None:
        return None
    own = read_thread_settings()["torch"]
    return {
        "dtype": torch.get_default_dtype(),
        "threads": torch.get_num_threads(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "precision": torch.get_float32_matmul_precision(),
        "own": own,
    }


def _set_torch_options(options: Mapping[str, Any]) -> None:
    torch: Any = importlib.import_module("torch")

    torch.set_default_dtype(options["dtype"])
    torch.set_num_threads(options["threads"])
    torch.use_deterministic_algorithms(options["deterministic"])
    torch.set_float32_matmul_precision(options["precision"])
    set_thread_settings({"torch": options["own"]})


_ALTAIR_REGISTRIES = ("data_transformers", "renderers", "theme", "themes")


def _altair_options() -> dict[str, Any] | None:
    altair = loaded("altair")
    if altair is None:
        return None
    found = {name: vars(altair).get(name) for name in _ALTAIR_REGISTRIES}
    return {name: (one.active, dict(one.options)) for name, one in found.items() if one is not None}


def _set_altair_options(options: Mapping[str, Any]) -> None:
    altair: Any = importlib.import_module("altair")

    for name, (active, own) in options.items():
        getattr(altair, name).enable(active, **own)


def _system_names() -> int | None:
    systems: Any = loaded("control.iosys")
    return None if systems is None else int(systems.InputOutputSystem._idCounter)  # noqa: SLF001  no public way


def _set_system_names(number: int) -> None:
    systems: Any = importlib.import_module("control.iosys")
    systems.InputOutputSystem._idCounter = number  # noqa: SLF001  no public way


# By the hidden state that they are: how to read them, and how to make them what was read.
LIBRARY_OPTIONS: dict[str, tuple[Callable[[], Any], Callable[[Any], None]]] = {
    "pandas options": (_pandas_options, _set_pandas_options),
    "pyplot": (_drawing, _set_drawing),
    "polars options": (_polars_options, _set_polars_options),
    "sklearn options": (_sklearn_options, _set_sklearn_options),
    "xarray options": (_xarray_options, _set_xarray_options),
    "torch options": (_torch_options, _set_torch_options),
    "altair options": (_altair_options, _set_altair_options),
    "names of systems": (_system_names, _set_system_names),
}
