"""How a check decides: differences, directions, tolerances, localisation. NumPy only."""
