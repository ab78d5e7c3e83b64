"""gradcheck-suite."""
