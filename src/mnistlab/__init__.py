"""Which multilayer perceptron to use on MNIST-like images, what every knob buys and costs, and how sure one can be.

`mnistlab.run` and the other verbs come from `mnistlab.lab` and `mnistlab.answers`, loaded when the first is used.
"""

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mnistlab.answers import compare, exhibits, figure, findings, results, sensitivity, verdicts, verify
    from mnistlab.lab import (
        bench,
        data_fetch,
        data_show,
        doctor,
        export,
        open_store,
        plan,
        predict,
        report,
        rescue,
        run,
        settings,
        show,
        simulate,
        status,
        tune,
        until_decided,
    )
    from mnistlab.study import load_config

__version__ = "0.1.0"

__all__ = [
    "bench", "compare", "data_fetch", "data_show", "doctor", "exhibits", "export", "figure", "findings",
    "load_config", "open_store", "plan", "predict", "report", "rescue", "results", "run", "sensitivity", "settings",
    "show", "simulate", "status", "tune", "until_decided", "verdicts", "verify",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'mnistlab' has no attribute {name!r}")
    from mnistlab import answers, lab

    return getattr(lab if name in vars(lab) else answers, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _Package(ModuleType):
    """Importing a module binds its name here; `plan` and `report` stay the verbs although modules are named so too."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in __all__:
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
