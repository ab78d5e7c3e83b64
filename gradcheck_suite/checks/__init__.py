"""Checks: one file per kind of question, each exporting ``CHECKS``.

A check sees a ``Subject`` and a ``Case``, never a framework; the reference and the bounds
come from ``yardstick.py``, verdicts on arrays from ``judgement.py``.
"""
