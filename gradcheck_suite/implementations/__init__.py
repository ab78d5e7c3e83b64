"""Implementations that ship, one file per library, each exporting ``IMPLEMENTATIONS``.

A library is named by address (``"optax:softmax_cross_entropy"``) or imported inside the
function that wraps it, so that listing them imports nothing.
"""
