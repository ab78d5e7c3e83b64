"""The arrows of ARCHITECTURE.md, read from the source: every import goes down, none goes up.

Imports inside functions count as much as those at the top of a file. What is only imported
for type checkers counts for the floors, and not for cycles.
"""

from __future__ import annotations

import ast
import graphlib
import re
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = {
    "gradcheck_suite": ROOT / "gradcheck_suite",
    "pytest_gradcheck": ROOT / "pytest_plugin" / "pytest_gradcheck",
}

# A room is a file beside gradcheck_suite/__init__.py, or a folder. The plugin is one room.
FLOORS: tuple[frozenset[str], ...] = (
    frozenset({"case", "discovery", "errors", "implementation", "layout", "outcome", "protocols"})
    | frozenset(
        {"json_types", "process_state", "provenance", "record_json", "replacing", "story", "teeth"}
    ),
    frozenset({"display", "expectations", "numerics", "reports", "specification"}),
    frozenset({"backends", "checks", "implementations", "strategies", "subject"})
    | frozenset({"expectations_update", "review"}),
    frozenset({"addresses", "engine", "planting", "property_search", "specified"}),
    frozenset({"runner"}),
    frozenset({"explanation", "orders"}),
    frozenset({"supervisor", "worker"}),
    frozenset({"shares"}),
    frozenset({"suite"}),
    frozenset({"__init__", "cli"}),
    frozenset({"__main__", "pytest_gradcheck"}),
)
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}

# Whatever is neither ours, nor Python's, nor a core dependency of pyproject.toml is an optional
# library: imported inside a function, in these rooms, so that nobody pays for what they do not use.
OPTIONAL_LIBRARIES_IN = frozenset({"backends", "implementations", "property_search", "strategies"})

# Rooms that may use less than the core dependencies, and the one that may use more.
LIBRARIES_OF = {
    "discovery": frozenset(),
    "errors": frozenset(),
    "outcome": frozenset(),
    "replacing": frozenset(),
    "teeth": frozenset(),
    "numerics": frozenset({"numpy"}),
    "pytest_gradcheck": frozenset({"_pytest", "numpy", "pluggy", "pytest"}),
}


@dataclass(frozen=True, slots=True)
class Import:
    """One imported module, and how it was imported."""

    module: str
    line: int
    in_function: bool
    for_types: bool


def _modules() -> dict[str, Path]:
    """Dotted name → file, of everything that is shipped."""
    found = {}
    for package, folder in SOURCES.items():
        for path in sorted(folder.rglob("*.py")):
            parts = (package, *path.relative_to(folder).with_suffix("").parts)
            name = ".".join(parts)
            found[name if name == f"{package}.__init__" else name.removesuffix(".__init__")] = path
    return found


MODULES = _modules()


def room(module: str) -> str:
    """``gradcheck_suite.numerics.tolerance`` → ``numerics``."""
    package, _, rest = module.partition(".")
    return package if package != "gradcheck_suite" else (rest.partition(".")[0] or "__init__")


def is_ours(module: str) -> bool:
    return module.partition(".")[0] in SOURCES


def imports(module: str) -> tuple[Import, ...]:
    """Every import of a module, with the names of submodules resolved to those submodules."""
    path = MODULES[module]
    tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    return tuple(_imports_below(tree, module, in_function=False, for_types=False))


def _imports_below(
    node: ast.AST, module: str, *, in_function: bool, for_types: bool
) -> Iterator[Import]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield Import(alias.name, node.lineno, in_function, for_types)
    elif isinstance(node, ast.ImportFrom):
        base = _base(node, module)
        for alias in node.names:
            submodule = f"{base}.{alias.name}"
            target = submodule if submodule in MODULES else base
            yield Import(target, node.lineno, in_function, for_types)
    in_function |= isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
    typed = node.body if _is_type_checking(node) else []
    for child in ast.iter_child_nodes(node):
        yield from _imports_below(
            child, module, in_function=in_function, for_types=for_types or child in typed
        )


def _base(node: ast.ImportFrom, module: str) -> str:
    if not node.level:
        return node.module or ""
    is_package = MODULES[module].name == "__init__.py"
    package = module.removesuffix(".__init__") if is_package else module.rpartition(".")[0]
    for _ in range(node.level - 1):
        package = package.rpartition(".")[0]
    return f"{package}.{node.module}" if node.module else package


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


def _place(module: str, found: Import) -> str:
    return f"{MODULES[module].relative_to(ROOT)}:{found.line} imports {found.module}"


def _report(rule: str, violations: list[str]) -> str:
    return "\n".join([rule, *(f"  {violation}" for violation in sorted(violations))])


@pytest.mark.parametrize("module", MODULES)
def test_every_module_has_a_floor(module: str) -> None:
    name = room(module)
    assert name in FLOOR_OF, (
        f"{MODULES[module].relative_to(ROOT)} is in no room of the house: move it into one, or "
        f"give {name!r} a floor in FLOORS and in ARCHITECTURE.md"
    )


def test_imports_go_to_a_lower_floor_only() -> None:
    violations = []
    for module in MODULES:
        here = room(module)
        for found in imports(module):
            if not is_ours(found.module) or room(found.module) == here:
                continue
            there = room(found.module)
            above, below = FLOOR_OF.get(here, 0), FLOOR_OF.get(there, 0)
            if below < above or below == above == 0:
                continue
            what = "a neighbour on its own floor" if below == above else "upwards"
            violations.append(
                f"{_place(module, found)}: {what} ({here} is on floor {above}, {there} on {below})"
            )
    assert not violations, _report(
        "An import goes to a lower floor; rooms on one floor do not know each other:", violations
    )


def test_no_import_goes_round_in_a_circle() -> None:
    graph = {
        module: {found.module for found in imports(module) if not found.for_types} - {module}
        for module in MODULES
    }
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        pytest.fail("Imports form a circle: " + " → ".join(reversed(error.args[1])))


def test_libraries_are_core_dependencies_or_imported_late_where_they_are_adapted() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    core = frozenset(re.split(r"\W", line.replace("-", "_"))[0] for line in project["dependencies"])
    violations = []
    for module in MODULES:
        here = room(module)
        allowed = LIBRARIES_OF.get(here, core)
        for found in imports(module):
            library = found.module.partition(".")[0]
            if is_ours(library) or library in sys.stdlib_module_names | allowed:
                continue
            if here not in OPTIONAL_LIBRARIES_IN:
                libraries = ", ".join(sorted(allowed)) or "no library"
                violations.append(f"{_place(module, found)}: {here} may use {libraries}")
            elif not found.in_function:
                violations.append(f"{_place(module, found)}: not inside a function")
    assert not violations, _report(
        "A room uses core dependencies; optional libraries are imported inside a function, in "
        f"{' and '.join(sorted(OPTIONAL_LIBRARIES_IN))}:",
        violations,
    )


def test_these_tests_can_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted in numerics: an import upwards for types, of a framework, late, in a circle."""
    planted = tmp_path / "planted.py"
    planted.write_text(
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n"
        "    from gradcheck_suite import worker\n"
        "def late():\n"
        "    import torch\n"
        "    from . import other\n",
        encoding="utf-8",
    )
    other = tmp_path / "other.py"
    other.write_text("from gradcheck_suite.numerics.planted import late\n", encoding="utf-8")
    monkeypatch.setattr(f"{__name__}.ROOT", tmp_path)
    monkeypatch.setattr(
        f"{__name__}.MODULES",
        {
            "gradcheck_suite.numerics.planted": planted,
            "gradcheck_suite.numerics.other": other,
            "gradcheck_suite.worker": other,
            "gradcheck_suite.attic": other,
        },
    )
    (tmp_path / "pyproject.toml").write_text("[project]\ndependencies = []\n", encoding="utf-8")
    with pytest.raises(AssertionError, match=r"planted\.py:3 .*\.worker: upwards"):
        test_imports_go_to_a_lower_floor_only()
    with pytest.raises(AssertionError, match=r"planted\.py:5 imports torch"):
        test_libraries_are_core_dependencies_or_imported_late_where_they_are_adapted()
    with pytest.raises(pytest.fail.Exception, match=r"(planted|other) → "):
        test_no_import_goes_round_in_a_circle()
    with pytest.raises(AssertionError, match="'attic' a floor"):
        test_every_module_has_a_floor("gradcheck_suite.attic")
