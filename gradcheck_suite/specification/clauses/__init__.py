"""The clauses, one file per family, each exporting ``CLAUSES``."""
