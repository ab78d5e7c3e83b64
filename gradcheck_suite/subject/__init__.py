"""The subject: where an implementation's declaration meets its behaviour.

``bind`` makes an implementation ready to be judged. What it did not declare is found by
trying, with N ≠ C: what raises is not supported, what returns is judged.
"""
