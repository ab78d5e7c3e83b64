"""The public strategies: what they draw is exact and specified, and shrinks to what is plain."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

hypothesis = pytest.importorskip("hypothesis")

from hypothesis import HealthCheck, given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

import gradcheck_suite as gs  # noqa: E402
from gradcheck_suite.specification.dialect import Dialect  # noqa: E402
from gradcheck_suite.specification.domain import is_specified  # noqa: E402
from gradcheck_suite.specification.given_case import GivenCase, as_python  # noqa: E402
from gradcheck_suite.specification.recipe import representable  # noqa: E402

DTYPES = ("float64", "float32", "float16", "bfloat16")
steady = settings(
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=60,
    suppress_health_check=list(HealthCheck),
)


def plainest(strategy: Any, condition: Any = lambda drawn: True) -> Any:
    """What Hypothesis shrinks to."""
    return hypothesis.find(strategy, condition, settings=settings(steady, max_examples=2000))


def any_such(strategy: Any, condition: Any) -> Any:
    """The first that Hypothesis draws."""
    draws = settings(steady, max_examples=2000, phases=(hypothesis.Phase.generate,))
    return hypothesis.find(strategy, condition, settings=draws)


@steady
@given(st.data(), st.sampled_from(DTYPES))
def test_a_case_is_exact_in_its_dtype_and_the_specification_has_an_answer(
    data: Any, dtype: str
) -> None:
    case = data.draw(gs.strategies.cases(dtype=dtype))

    assert case.dtype == dtype
    assert is_specified(case, Dialect())
    floats = [case.logits, case.upstream]
    floats += [case.targets] if case.target_kind == "probabilities" else []
    floats += [] if case.options.weight is None else [case.options.weight]
    for values in floats:
        assert np.array_equal(values, representable(values, dtype))


@steady
@given(gs.strategies.targets(kind="probabilities"))
def test_probabilities_sum_to_exactly_one(targets: Any) -> None:
    assert np.all(targets.sum(axis=1) == 1.0)
    assert np.all(targets >= 0.0)


@steady
@given(gs.strategies.weights())
def test_weights_are_not_negative_and_not_all_zero(weight: Any) -> None:
    assert np.all(weight >= 0.0)
    assert weight.any()


@steady
@given(gs.strategies.cases(rows=3, classes=gs.strategies.classes(most=4), kinds=["index"]))
def test_sizes_are_numbers_or_strategies(case: gs.Case) -> None:
    assert case.rows == 3
    assert 1 <= case.classes <= 4
    assert case.target_kind == "index"


@steady
@given(gs.strategies.cases(options=["weight"], reductions=["sum"]))
def test_only_the_options_that_are_named_are_used(case: gs.Case) -> None:
    assert set(case.options.used()) <= {"weight"}
    assert case.options.reduction == "sum"


def test_everything_shrinks_to_the_plainest_case() -> None:
    case = plainest(gs.strategies.cases())

    assert case.logits.tolist() == [[0.0]]
    assert case.targets.tolist() == [0]
    assert case.options.used() == ()
    assert case.options.reduction == "none"
    assert case.upstream.tolist() == [1.0]


def test_a_condition_shrinks_to_the_least_that_fulfils_it() -> None:
    case = plainest(
        gs.strategies.cases(), lambda case: case.classes >= 3 and case.options.weight is not None
    )

    assert (case.rows, case.classes) == (1, 3)
    assert case.options.weight.tolist() == [1.0, 1.0, 1.0]
    assert not case.logits.any()


@pytest.mark.parametrize(
    "condition",
    [
        lambda case: case.options.weight is not None and bool(np.any(case.options.weight == 0)),
        lambda case: bool(np.isneginf(case.logits).any()),
        lambda case: bool(np.any(np.abs(case.logits) >= 1e6)),
        lambda case: bool(np.any((case.logits == case.logits.max(1)[:, None]).sum(1) > 1)),
        lambda case: case.options.ignore_index is not None and case.options.ignore_index >= 0,
        lambda case: case.target_kind == "probabilities" and np.any(case.targets.sum(1) != 1),
        lambda case: len(case.options.used()) == 3,
        lambda case: case.rows > 40,
    ],
    ids=["weight 0", "−inf", "offset", "tie", "class ignored", "Σt ≠ 1", "all options", "N > 40"],
)
def test_what_breaks_losses_is_drawn(condition: Any) -> None:
    assert condition(any_such(gs.strategies.cases(gs.strategies.rows()), condition))


@steady
@given(st.data(), st.sampled_from(DTYPES))
def test_an_id_and_a_snippet_hold_the_whole_case(data: Any, dtype: str) -> None:
    case = data.draw(gs.strategies.cases(dtype=dtype))
    copies = (GivenCase.decode(GivenCase(case).id).case, eval(as_python(case), {"gs": gs}))

    for copy in copies:
        assert np.array_equal(copy.logits, case.logits)
        assert np.array_equal(copy.targets, case.targets)
        assert np.array_equal(copy.upstream, case.upstream)
        assert copy.target_kind == case.target_kind
        assert copy.options.used() == case.options.used()
        assert copy.options.reduction == case.options.reduction
        assert copy.options.ignore_index == case.options.ignore_index
        if case.options.weight is not None:
            assert np.array_equal(copy.options.weight, case.options.weight)
        assert copy.dtype == dtype


def test_without_hypothesis_the_command_that_installs_it_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "hypothesis", None)

    with pytest.raises(gs.UsageError, match=r"pip install 'gradcheck-suite\[hypothesis\]'"):
        gs.strategies.cases()
    with pytest.raises(gs.UsageError, match=r"pip install 'gradcheck-suite\[hypothesis\]'"):
        gs.search("numpy-reference", examples=3)


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(gs.UsageError, match="kind: 'soft' is unknown; use index, probabilities"):
        gs.strategies.targets(kind="soft")  # type: ignore[arg-type]
