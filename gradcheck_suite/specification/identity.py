"""Which questions the specification asks, as a digest that two reports can be compared by."""

from __future__ import annotations

import hashlib
from functools import cache

from gradcheck_suite.provenance import SpecificationIdentity
from gradcheck_suite.specification.clause import clauses


@cache
def identity() -> SpecificationIdentity:
    """Of every clause here, third parties' included. How a check decides is the suite's version."""
    digest = hashlib.sha256()
    for clause in sorted(clauses(), key=lambda clause: clause.id):
        words = (clause.id, clause.level, clause.statement, clause.check, clause.choice)
        digest.update(repr((words, clause.cases)).encode())
    return SpecificationIdentity(
        digest=digest.hexdigest()[:16],
        clauses=len(clauses()),
        cases=sum(len(clause.cases) for clause in clauses()),
    )
