"""The clauses as published: their ids are a promise, and every one is reached by a check."""

from __future__ import annotations

import re
from collections import Counter
from fnmatch import fnmatchcase
from typing import Any, get_args

import numpy as np
import pytest

from gradcheck_suite import discovery
from gradcheck_suite.case import Case
from gradcheck_suite.errors import UsageError
from gradcheck_suite.implementation import Implementation
from gradcheck_suite.runner import DEFAULT_DTYPES, Selection, plan
from gradcheck_suite.specification.clause import Clause, Level, clauses, select
from gradcheck_suite.specification.dialect import CHOICES
from gradcheck_suite.specification.recipe import SEED_EXAMPLE, Recipe, representable

# Published ids: never renamed, never reused. One may be added below; none may leave.
FAMILIES = {
    "value": (
        "definition",
        "likelihood",
        "non-negative",
        "one-hot-equals-index",
        "shift-invariance",
        "permutation",
        "zero-times-log-zero",
    ),
    "gradient": (
        "analytic",
        "sign",
        "row-sum-zero",
        "finite-difference",
        "chain-rule",
        "upstream",
        "targets",
        "unnormalised-targets",
        "ties",
    ),
    "jvp": (
        "analytic",
        "pairing",
    ),
    "hessian": (
        "analytic",
        "finite-difference",
        "mixed",
    ),
    "derivative": ("unsupported-raises",),
    "reduction": (
        "none",
        "sum",
        "mean",
        "mean-gradient",
    ),
    "batch": (
        "shared-bias",
        "independence",
        "concatenation",
        "degenerate",
    ),
    "weight": (
        "index",
        "probabilities",
    ),
    "smoothing": (
        "definition",
        "weight",
        "ignore",
    ),
    "ignore": (
        "value",
        "gradient",
        "count",
        "any-index",
        "non-finite-row",
        "all",
    ),
    "options": ("combined",),
    "stability": (
        "large-logits",
        "offset",
        "per-row-shift",
        "gap",
        "rare-class",
        "saturated",
        "minus-inf",
        "minus-inf-target",
        "non-finite",
    ),
    "precision": (
        "value",
        "gradient",
        "accumulation",
    ),
    "purity": (
        "global-state",
        "inputs",
        "repeat",
        "composition",
        "no-grad",
        "determinism",
    ),
    "mode": ("transformed", "device", "partial-gradients"),
    "layout": (
        "strided",
        "targets-strided",
        "sizes",
        "rank",
        "dtypes",
    ),
    "softcap": ("value", "gradient", "saturated", "padding", "combined", "derivatives"),
    "scale": ("value", "gradient", "combined"),
    "z-loss": (
        "value",
        "gradient",
        "ignored",
        "normalisation",
        "off",
        "combined",
        "derivatives",
    ),
    "mask": ("value", "gradient", "range", "non-finite", "combined"),
    "axis": ("first", "middle", "combined"),
    "head": (
        "value",
        "hidden-gradient",
        "weight-gradient",
        "bias-gradient",
        "upstream",
        "frozen",
        "ignored",
        "sizes",
        "repeat",
        "inputs",
        "jvp",
        "transformed",
    ),
    "reject": (
        "target-range",
        "shape",
        "dtype",
        "reduction",
    ),
}
PUBLISHED = [f"{family}.{name}" for family, names in FAMILIES.items() for name in names]

DTYPES = ("float64", "float32", "bfloat16", "float16")
ADDRESSES = [(clause, recipe) for clause in clauses() for recipe in clause.cases]
every_clause = pytest.mark.parametrize("clause", clauses(), ids=lambda clause: clause.id)
every_recipe = pytest.mark.parametrize(
    "recipe", dict.fromkeys(recipe for _, recipe in ADDRESSES), ids=lambda recipe: recipe.id
)


@pytest.mark.parametrize("published", PUBLISHED)
def test_published_clause_is_there(published: str) -> None:
    assert published in {clause.id for clause in clauses()}


def test_every_clause_is_published() -> None:
    """A new clause is written into the list above: from then on it is a promise."""
    assert {clause.id for clause in clauses()} == set(PUBLISHED)


def test_ids_are_unique() -> None:
    assert [i for i, count in Counter(clause.id for clause in clauses()).items() if count > 1] == []


@every_clause
def test_clause_is_one_row_of_the_specification(clause: Clause) -> None:
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*\.[a-z]+(-[a-z]+)*", clause.id)
    assert clause.id == f"{clause.family}.{clause.id.partition('.')[2]}"
    assert clause.level in get_args(Level)
    assert clause.statement.strip()
    assert clause.cases
    assert not clause.choice or clause.choice in CHOICES


def test_every_clause_is_reached_by_a_check_and_every_check_by_a_clause() -> None:
    names = [check.name for check in discovery.members("checks")]
    assert len(names) == len(set(names))
    assert {clause.check for clause in clauses()} == set(names)


@every_clause
def test_cases_of_a_clause_have_different_ids(clause: Clause) -> None:
    ids = [recipe.id for recipe in clause.cases]
    assert len(ids) == len(set(ids))


def test_one_id_is_one_recipe_in_every_clause() -> None:
    """An id is an address: the same words mean the same numbers wherever they stand."""
    recipes: dict[str, Recipe] = {}
    for _, recipe in ADDRESSES:
        assert recipes.setdefault(recipe.id, recipe) == recipe


@every_recipe
def test_rows_and_classes_differ_so_that_a_transposition_shows(recipe: Recipe) -> None:
    assert recipe.rows != recipe.classes or recipe.rows <= 1


def test_the_seed_example_is_a_case_of_value_and_gradient() -> None:
    case = SEED_EXAMPLE.build(0, "float64")
    assert (case.id, case.logits.shape, case.targets.tolist()) == ("seed-example", (1, 4), [2])
    held = {clause.id for clause in clauses() if SEED_EXAMPLE in clause.cases}
    assert {"value.definition", "gradient.analytic", "gradient.sign"} <= held


# --- recipes -------------------------------------------------------------------------------------


def arrays(case: Case) -> dict[str, Any]:
    """What an implementation is given: where there is a linear head, no logits."""
    found = {"logits": case.logits, "targets": case.targets, "upstream": case.upstream}
    if case.head is not None:
        found |= {"logits": case.head.hidden, "linear_weight": case.head.linear_weight}
        if case.head.linear_bias is not None:
            found["linear_bias"] = case.head.linear_bias
    if case.options.weight is not None:
        found["weight"] = case.options.weight
    return found


def holds(values: Any, dtype: str) -> bool:
    """Whether every value survives the dtype: asked of NumPy, and of bfloat16's bits."""
    if values.dtype.kind == "i":
        return True
    with np.errstate(over="ignore"):
        narrow = values.astype("float32" if dtype == "bfloat16" else dtype)
    exact = np.array_equal(narrow.astype(np.float64), values, equal_nan=True)
    return exact and (dtype != "bfloat16" or not np.any(narrow.view(np.uint32) & 0xFFFF))


@every_recipe
@pytest.mark.parametrize("dtype", DTYPES)
def test_case_is_the_same_bits_every_time_and_exact_in_its_dtype(
    recipe: Recipe, dtype: str
) -> None:
    first, second = (arrays(recipe.build(17, dtype)) for _ in range(2))
    for name, values in first.items():
        assert values.tobytes() == second[name].tobytes()
        assert holds(values, dtype), name
        assert not values.flags.writeable


@pytest.mark.parametrize("seed", [0, 1, 17])
def test_another_seed_is_another_case(seed: int) -> None:
    here, there = Recipe().build(seed, "float64"), Recipe().build(seed + 1, "float64")
    assert not np.array_equal(here.logits, there.logits)


@every_recipe
def test_probabilities_are_what_their_name_says(recipe: Recipe) -> None:
    case = recipe.build(17, "float32")
    if recipe.targets == "index":
        ignored = case.targets == case.options.ignore_index
        in_range = 0 <= recipe.ignore_index < recipe.classes  # other rows may have that class
        assert ignored.sum() >= recipe.ignored if in_range else ignored.sum() == recipe.ignored
        known = (case.targets >= 0) & (case.targets < recipe.classes)
        assert np.sum(~(ignored | known)) == bool(recipe.outside)
    elif recipe.targets == "unnormalised":
        assert not np.any(case.targets.sum(axis=1) == 1)
    else:
        assert np.all(case.targets.sum(axis=1) == 1)  # exactly, in every dtype


def test_the_last_class_is_always_a_target() -> None:
    for seed in range(20):
        assert 4 in Recipe().build(seed, "float64").targets


@pytest.mark.parametrize(
    ("value", "nearest"),
    [(1 + 2**-8, 1.0), (1 + 3 * 2**-8, 1 + 2**-6), (1 + 2**-8 + 2**-20, 1 + 2**-7), (-1e-3, None)],
)
def test_bfloat16_is_rounded_to_nearest_ties_to_even(value: float, nearest: float | None) -> None:
    """Half-way cases by hand; the others against ml_dtypes where it is installed."""
    got = representable(value, "bfloat16")
    if nearest is None:
        bfloat16 = pytest.importorskip("ml_dtypes").bfloat16
        nearest = float(np.float64(value).astype(bfloat16))
    assert got == nearest


@pytest.mark.parametrize("dtype", DTYPES)
def test_infinities_survive_every_dtype(dtype: str) -> None:
    values = representable([-np.inf, np.inf, np.nan], dtype)
    assert values[0] == -np.inf
    assert values[1] == np.inf
    assert np.isnan(values[2])


# --- the plan ------------------------------------------------------------------------------------


def test_the_plan_asks_every_case_of_every_clause_in_every_dtype() -> None:
    """Parametrisation equals discovery: no second list decides what is run."""
    planned = [job.id for job in plan(Implementation("any"), Selection())]
    every = {f"{c.id}/{r.id}@{dtype}" for c, r in ADDRESSES for dtype in DEFAULT_DTYPES}
    assert len(planned) == len(set(planned))
    assert set(planned) == every


def test_cheap_questions_come_first_and_those_that_may_break_the_device_last() -> None:
    checks = {check.name: check for check in discovery.members("checks")}
    jobs = plan(Implementation("any"), Selection(dtypes=("float64",)))
    asked = [checks[job.clause.check] for job in jobs]
    order = [(check.asked_last, check.cost) for check in asked]
    assert order == sorted(order)
    assert order[0] == (False, 1)


def test_quick_asks_the_first_case_of_every_arrangement_in_the_first_dtype() -> None:
    jobs = plan(Implementation("any", dtypes=("float32", "float64")), Selection(quick=True))
    assert {job.clause.id for job in jobs} == set(PUBLISHED)
    assert {job.dtype for job in jobs} == {"float32"}
    for job in jobs:
        alike = [case for case in job.clause.cases if case.arrangement == job.recipe.arrangement]
        assert [job.recipe, *job.alternatives] == alike
    asked = [(job.clause.id, job.recipe.arrangement) for job in jobs]
    assert len(set(asked)) == len(asked)


def test_a_selection_of_cases_and_dtypes_narrows_the_plan() -> None:
    selection = Selection(clauses=("value.*",), cases=("seed-*",), dtypes=("float16",))
    assert [job.id for job in plan(Implementation("any"), selection)] == [
        "value.definition/seed-example@float16"
    ]


# --- patterns ------------------------------------------------------------------------------------


@pytest.mark.parametrize("pattern", ["gradient.*", "*", "value.definition", "*.analytic"])
def test_select_gives_what_the_pattern_matches_in_the_order_of_the_files(pattern: str) -> None:
    every = [clause.id for clause in clauses()]
    found = [clause.id for clause in select(pattern)]
    assert found == [name for name in every if fnmatchcase(name, pattern)] != []


@pytest.mark.parametrize("pattern", ["gradients.*", "Value.*", "value", "", "value.defintion"])
def test_a_misspelt_pattern_is_an_error_and_never_an_empty_run(pattern: str) -> None:
    message = re.escape(f"clauses: {pattern!r} matches no clause; families are axis, batch,")
    with pytest.raises(UsageError, match=message):
        select((pattern, "value.*"))


@pytest.mark.parametrize(
    ("selection", "message"),
    [
        (Selection(clauses=("valeu.*",)), "clauses: 'valeu.\\*' matches no clause"),
        (Selection(exclude=("valeu.*",)), "clauses: 'valeu.\\*' matches no clause"),
        (Selection(cases=("rows9*",)), "cases: rows9\\* matches no case"),
        (Selection(dtypes=("float63",)), "dtypes: 'float63' is unknown; use float64"),
        (Selection(dtypes=("int64",)), "dtypes: 'int64' is unknown; use float64"),
    ],
    ids=["clause", "exclude", "case", "dtype", "integer dtype"],
)
def test_a_plan_of_nothing_is_refused(selection: Selection, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        plan(Implementation("any"), selection)
