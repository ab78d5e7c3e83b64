"""The search beyond the curated cases: what is generated, and how a failure is made small."""

from gradcheck_suite.property_search.generated import GeneratedCases
from gradcheck_suite.property_search.search import search
from gradcheck_suite.property_search.shrink import shrink

__all__ = ["GeneratedCases", "search", "shrink"]
