"""Stand-ins for libraries that are too large to test with: their options, by the names that the real ones have."""

from __future__ import annotations

from types import ModuleType, SimpleNamespace


class Torch(ModuleType):
    """Options of torch; a device is set by a context that is entered for good."""

    def __init__(self):
        super().__init__("torch")
        self.options = {"dtype": "float32", "threads": 4, "deterministic": False, "precision": "highest"}
        self.has_gradients = True
        self.devices = []
        self._GLOBAL_DEVICE_CONTEXT = SimpleNamespace()

    def get_default_dtype(self):
        return self.options["dtype"]

    def set_default_dtype(self, dtype):
        self.options["dtype"] = dtype

    def get_num_threads(self):
        return self.options["threads"]

    def set_num_threads(self, count):
        self.options["threads"] = count

    def are_deterministic_algorithms_enabled(self):
        return self.options["deterministic"]

    def use_deterministic_algorithms(self, mode):
        self.options["deterministic"] = mode

    def get_float32_matmul_precision(self):
        return self.options["precision"]

    def set_float32_matmul_precision(self, precision):
        self.options["precision"] = precision

    def is_grad_enabled(self):
        return self.has_gradients

    def set_grad_enabled(self, mode):
        self.has_gradients = mode

    def set_default_device(self, device):
        self.devices.append(device)
        self._GLOBAL_DEVICE_CONTEXT.device_context = None if device is None else SimpleNamespace(device=device)


class Sklearn(ModuleType):
    """Options of scikit-learn."""

    def __init__(self):
        super().__init__("sklearn")
        self.config = {"transform_output": "default", "assume_finite": False}
        self.calls = 0

    def get_config(self):
        return dict(self.config)

    def set_config(self, **config):
        self.calls += 1
        self.config.update(config)


class Xarray(ModuleType):
    """Options of xarray, one of which warns whenever it is set."""

    def __init__(self):
        super().__init__("xarray")
        self.options = {"display_style": "html", "enable_cftimeindex": True}

    def get_options(self):
        return self.options

    def set_options(self, **options):
        if "enable_cftimeindex" in options:
            raise FutureWarning
        self.options.update(options)


class Registry:
    """One of the registries of altair: what is enabled, with its options."""

    def __init__(self, active):
        self.active, self.options = active, {}

    def enable(self, active, **options):
        self.active, self.options = active, options


class Altair(ModuleType):
    """The registries of altair; `themes` is what older ones have for `theme`."""

    def __init__(self, themes="theme"):
        super().__init__("altair")
        self.data_transformers, self.renderers = Registry("default"), Registry("default")
        setattr(self, themes, Registry("default"))
