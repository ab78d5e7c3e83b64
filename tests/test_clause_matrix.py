"""``docs/clause-matrix.md`` is of today: it names every clause and mutant, and all have teeth.

``python -m benchmarks.matrix`` writes it anew.
"""

from __future__ import annotations

import re
from pathlib import Path

import mutants
import pytest

from gradcheck_suite import backends
from gradcheck_suite.specification.clause import clauses

PAGE = Path(__file__).resolve().parents[1] / "docs" / "clause-matrix.md"
TEXT = PAGE.read_text(encoding="utf-8") if PAGE.is_file() else ""
MISSING = sorted(set(mutants.backends()) - set(backends.installed()))
AGAIN = "the page is of another day: run python -m benchmarks.matrix"

pytestmark = pytest.mark.skipif(not TEXT, reason="not written yet: python -m benchmarks.matrix")


def grid() -> dict[tuple[str, str], str]:
    """(backend, mutant) → its marks, one per clause."""
    (block,) = re.findall(r"```text\n(.*?)```", TEXT, flags=re.DOTALL)
    lines = (line.split() for line in block.splitlines())
    return {(words[0], words[1]): words[2] for words in lines if len(words) == 3}


def test_the_page_names_every_clause_in_order() -> None:
    found = re.findall(r"^\| (\d+) \| \[([^]]+)\]\(#[^)]*\) \| (\w+) \|", TEXT, flags=re.MULTILINE)

    expected = [(str(n), clause.id, clause.level) for n, clause in enumerate(clauses(), 1)]
    assert found == expected, AGAIN


@pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")
def test_the_page_names_every_mutant() -> None:
    everyone = {(name, mutant.name) for name in mutants.backends() for mutant in mutants.of(name)}

    assert set(grid()) == everyone, AGAIN


def test_every_mutant_is_convicted_by_the_clause_it_names() -> None:
    for (backend, name), marks in grid().items():
        assert len(marks) == len(clauses()), AGAIN
        assert marks.count("#") == 1, f"{backend} {name}: {AGAIN}"


def test_every_clause_has_a_mutant_of_its_own() -> None:
    ids = [clause.id for clause in clauses()]
    named = {ids[marks.index("#")] for marks in grid().values() if "#" in marks}

    assert set(ids) == named
