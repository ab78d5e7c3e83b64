"""One test per line of the sheet. A failure shows the clause and the hint, and no case."""

import pytest
from sheet import LINES, SHEET, judge


@pytest.mark.parametrize("line", LINES, ids=lambda line: line["clause"])
def test_clause(line):
    good, statement = judge(line)
    SHEET[line["clause"]] = line["points"] if good else 0
    if not good:
        pytest.fail(f"{statement}\nhint: {line['hint']}", pytrace=False)
