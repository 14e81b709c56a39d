"""Libraries that may be missing: a figure that needs one is then left out, and says so."""

from __future__ import annotations

import importlib
from typing import Any

from benchmarks.figure import LeftOutError


def needed(module: str) -> Any:
    """The module.

    Raises:
        LeftOutError: it can't be imported here.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise LeftOutError(f"{module} can't be imported ({error}): it is in the dependency group `bench`") from None
