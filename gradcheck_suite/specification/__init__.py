"""The specification: the mathematics once, its dialects, clauses and recipes."""
