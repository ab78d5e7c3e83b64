"""Correct evaluations of the loss and its derivatives, for whatever judges a bound."""
