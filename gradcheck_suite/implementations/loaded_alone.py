"""One module of a library whose package cannot be imported beside the torch that is installed."""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path
from typing import Any


@cache
def loaded_alone(package: str, file: str) -> Any:
    """``file`` of the installed ``package``, unmodified, without the package's own imports.

    Raises:
        ModuleNotFoundError: the package is not installed.
        FileNotFoundError: it has no such file.
    """
    found = importlib.util.find_spec(package)
    path = Path(found.origin).parent / file if found is not None and found.origin else Path(file)
    name = f"{package}.{file.removesuffix('.py').replace('/', '.')}"
    specification = importlib.util.spec_from_file_location(name, path)
    if specification is None or specification.loader is None or not path.is_absolute():
        raise ModuleNotFoundError(f"{package} is not installed: {file} of it is asked for")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module
