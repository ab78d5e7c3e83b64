"""Backends: each framework behind the same interface, and none in another's way."""

from __future__ import annotations

import gc
import importlib.util
import json
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradcheck_suite import backends, process_state
from gradcheck_suite.errors import BackendUnavailable, Unsupported, UsageError
from gradcheck_suite.protocols import Backend

X, Y = np.array([0.5, -1.25, 2.0]), np.array([3.0, 0.5, -0.75])
U, V, W = np.array([1.0, -2.0, 0.5]), np.array([0.25, 1.0, -1.0]), np.array([-0.5, 2.0, 1.5])


@pytest.fixture(params=backends.names())
def backend(request: pytest.FixtureRequest) -> Backend:
    if request.param not in backends.installed():
        pytest.skip(f"{request.param} is not installed")
    return backends.load(request.param)


@pytest.fixture
def differentiating(backend: Backend) -> Iterator[Backend]:
    if "reverse" not in backend.modes:
        pytest.skip(f"{backend.name} differentiates nothing")
    with backend.precision("float64"):
        yield backend


@pytest.fixture
def torch() -> Any:
    return pytest.importorskip("torch")


@pytest.fixture
def jax() -> Any:
    return pytest.importorskip("jax")


def arrays(backend: Backend, *values: Any) -> tuple[Any, ...]:
    return tuple(backend.asarray(each, "float64", "cpu") for each in values)


def cubic(x: Any, y: Any) -> tuple[Any, ...]:
    """x³y: gradients 3x²y and x³, second derivatives 6xy, 3x² and 0."""
    return (x * x * x * y,)


# --- arrays --------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
def test_values_go_there_and_back_exactly(backend: Backend, dtype: str) -> None:
    if backend.name == "numpy" and dtype == "bfloat16":
        pytest.importorskip("ml_dtypes")
    values = np.array([[1.0, -0.5, 96.0], [np.inf, -np.inf, np.nan]])
    with backend.precision(dtype):
        array = backend.asarray(values, dtype, "cpu")
        described = backend.describe(array)
        back = backend.asnumpy(array)
    assert backend.owns(array)
    assert (described.shape, described.dtype, described.device) == ((2, 3), dtype, "cpu")
    assert back.dtype == np.float64
    np.testing.assert_array_equal(back, values)


def test_integers_stay_integers(backend: Backend) -> None:
    with backend.precision("float64"):
        back = backend.asnumpy(backend.asarray([3, -100], "int64", "cpu"))
    assert (back.dtype.kind, back.tolist()) == ("i", [3, -100])


def test_an_array_shares_no_memory_with_its_source(backend: Backend) -> None:
    source = np.ones(4)
    with backend.precision("float64"):
        array = backend.asarray(source, "float64", "cpu")
        source[:] = 7.0
        back = backend.asnumpy(array)
        assert back.tolist() == [1.0] * 4
        back[:] = 9.0
        assert backend.asnumpy(array).tolist() == [1.0] * 4


def test_asnumpy_takes_what_requires_a_gradient(torch: Any) -> None:
    backend = backends.load("torch")
    assert backend.asnumpy(torch.ones(2, requires_grad=True)).tolist() == [1.0, 1.0]


def test_trees_are_taken_apart_and_rebuilt(backend: Backend) -> None:
    (leaf,) = arrays(backend, [1.0, 2.0])
    tree = {"w": [leaf, leaf], "b": (leaf,)}
    leaves, rebuild = backend.flatten(tree)
    assert len(leaves) == 3
    assert all(each is leaf for each in leaves)
    built = rebuild(["first", "second", "third"])
    assert (type(built["w"]), type(built["b"])) == (list, tuple)
    assert backend.flatten(built)[0] == ["first", "second", "third"]


def test_a_backend_knows_its_version_and_a_device(backend: Backend) -> None:
    assert backend.version()[0].isdigit()
    assert "cpu" in backend.devices()


# --- derivatives ---------------------------------------------------------------------------------


def test_reverse_mode(differentiating: Backend) -> None:
    x, y, u = arrays(differentiating, X, Y, U)
    (value,), pulled = differentiating.vjp(cubic, (x, y), (u,))
    assert differentiating.asnumpy(value) == pytest.approx(X**3 * Y)
    assert differentiating.asnumpy(pulled[0]) == pytest.approx(3 * X**2 * Y * U)
    assert differentiating.asnumpy(pulled[1]) == pytest.approx(X**3 * U)


def test_reverse_mode_of_a_scalar_needs_no_cotangent(differentiating: Backend) -> None:
    (x,) = arrays(differentiating, X)
    (value,), (pulled,) = differentiating.vjp(lambda x: ((x * x).sum(),), (x,), None)
    assert float(differentiating.asnumpy(value)) == pytest.approx(np.sum(X**2))
    assert differentiating.asnumpy(pulled) == pytest.approx(2 * X)


def test_forward_mode(differentiating: Backend) -> None:
    x, y, v, w = arrays(differentiating, X, Y, V, W)
    (value,), (pushed,) = differentiating.jvp(cubic, (x, y), (v, w))
    assert differentiating.asnumpy(value) == pytest.approx(X**3 * Y)
    assert differentiating.asnumpy(pushed) == pytest.approx(3 * X**2 * Y * V + X**3 * W)


def test_forward_mode_of_torch_warns_of_nothing(torch: Any) -> None:
    code = (
        "import numpy as np\n"
        "from gradcheck_suite import backends\n"
        "backend = backends.load('torch')\n"
        "x = backend.asarray(np.ones(2), 'float64', 'cpu')\n"
        "backend.jvp(lambda x: (x * x,), (x,), (x,))\n"
    )
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, "")


def test_second_order(differentiating: Backend) -> None:
    x, y, u, v, w = arrays(differentiating, X, Y, U, V, W)
    gradients, seconds = differentiating.hvp(cubic, (x, y), (u,), (v, w))
    assert differentiating.asnumpy(gradients[0]) == pytest.approx(3 * X**2 * Y * U)
    expected = U * (6 * X * Y * V + 3 * X**2 * W)
    assert differentiating.asnumpy(seconds[0]) == pytest.approx(expected)
    assert differentiating.asnumpy(seconds[1]) == pytest.approx(U * 3 * X**2 * V)


def test_derivatives_leave_the_primals_alone(differentiating: Backend) -> None:
    x, y, v, w = arrays(differentiating, X, Y, V, W)
    differentiating.vjp(cubic, (x, y), None)
    differentiating.jvp(cubic, (x, y), (v, w))
    differentiating.hvp(cubic, (x, y), (v,), (v, w))
    assert differentiating.asnumpy(x).tolist() == X.tolist()
    assert getattr(x, "grad", None) is None
    assert not getattr(x, "requires_grad", False)


def test_values_are_evaluated_without_a_graph(torch: Any) -> None:
    backend = backends.load("torch")
    (value,) = backend.evaluate(lambda x: (x * 2,), (torch.ones(2, requires_grad=True),))
    assert not value.requires_grad


def test_the_compiled_function_is_the_same_function(differentiating: Backend) -> None:
    x, y = arrays(differentiating, X, Y)
    (value,) = differentiating.compiled(cubic)(x, y)
    assert differentiating.asnumpy(value) == pytest.approx(X**3 * Y)


# --- a derivative that does not exist ------------------------------------------------------------


@pytest.mark.parametrize("mode", ["vjp", "jvp", "hvp"])
def test_numpy_differentiates_nothing_and_says_what_to_do(mode: str) -> None:
    numpy = backends.load("numpy")
    arguments = (cubic, (X, Y), (U,)) + (((V, W),) if mode == "hvp" else ())
    with pytest.raises(Unsupported, match=r"return \(value, gradient\), or give gradient="):
        getattr(numpy, mode)(*arguments)


def _torch_square(torch: Any, decorate: Callable[..., Any] = lambda function: function) -> Any:
    class Square(torch.autograd.Function):  # type: ignore[misc]
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        @decorate
        def backward(ctx: Any, upstream: Any) -> Any:
            (x,) = ctx.saved_tensors
            return 2 * x * upstream

    return lambda x: (Square.apply(x),)


def test_torch_function_without_a_jvp_has_no_forward_mode(torch: Any) -> None:
    backend = backends.load("torch")
    x, v = arrays(backend, X, V)
    with pytest.raises(Unsupported, match="forward mode: "):
        backend.jvp(_torch_square(torch), (x,), (v,))


def test_torch_function_that_is_once_differentiable_has_no_second_order(torch: Any) -> None:
    from torch.autograd.function import once_differentiable

    backend = backends.load("torch")
    x, u, v = arrays(backend, X, U, V)
    function = _torch_square(torch, once_differentiable)
    with pytest.raises(Unsupported, match="second order: "):
        backend.hvp(function, (x,), (u,), (v,))
    _, (pulled,) = backend.vjp(function, (x,), (u,))
    assert backend.asnumpy(pulled) == pytest.approx(2 * X * U)


def test_torch_function_whose_backward_is_differentiable_has_second_order(torch: Any) -> None:
    backend = backends.load("torch")
    x, u, v = arrays(backend, X, U, V)
    _, (second,) = backend.hvp(_torch_square(torch), (x,), (u,), (v,))
    assert backend.asnumpy(second) == pytest.approx(2 * U * V)


def test_a_gradient_without_a_graph_is_no_second_order(torch: Any) -> None:
    """A constant gradient that was detached would answer 0; it is refused instead."""
    backend = backends.load("torch")
    x, u, v = arrays(backend, X, U, V)
    function = _torch_square(torch, lambda backward: torch.no_grad()(backward))
    with pytest.raises(Unsupported, match="second order: the gradient has no graph"):
        backend.hvp(function, (x,), (u,), (v,))


def test_a_cut_graph_gives_no_gradient_and_not_zeros(torch: Any) -> None:
    backend = backends.load("torch")
    x, y = arrays(backend, X, Y)
    _, pulled = backend.vjp(lambda x, y: (x.detach() * y,), (x, y), None)
    assert pulled[0] is None
    assert backend.asnumpy(pulled[1]) == pytest.approx(X)


def test_jax_custom_vjp_has_no_forward_mode_but_second_order(jax: Any) -> None:
    @jax.custom_vjp  # type: ignore[untyped-decorator]
    def square(x: Any) -> Any:
        return x * x

    square.defvjp(lambda x: (x * x, x), lambda x, u: (2 * x * u,))
    backend = backends.load("jax")
    with backend.precision("float64"):
        x, u, v = arrays(backend, X, U, V)
        with pytest.raises(Unsupported, match=r"forward mode: .*custom_vjp"):
            backend.jvp(lambda x: (square(x),), (x,), (v,))
        _, (second,) = backend.hvp(lambda x: (square(x),), (x,), (u,), (v,))
        assert backend.asnumpy(second) == pytest.approx(2 * U * V)


def test_jax_custom_vjp_with_a_host_callback_has_no_second_order(jax: Any) -> None:
    @jax.custom_vjp  # type: ignore[untyped-decorator]
    def square(x: Any) -> Any:
        return x * x

    def backward(x: Any, u: Any) -> Any:
        shape = jax.ShapeDtypeStruct(x.shape, x.dtype)
        return (jax.pure_callback(lambda x, u: np.asarray(2 * x * u), shape, x, u),)

    square.defvjp(lambda x: (x * x, x), backward)
    backend = backends.load("jax")
    with backend.precision("float64"):
        x, u, v = arrays(backend, X, U, V)
        with pytest.raises(Unsupported, match="second order: "):
            backend.hvp(lambda x: (square(x),), (x,), (u,), (v,))


# --- graphs that are kept, memory that is seen ---------------------------------------------------


def test_a_kept_graph_is_pulled_through_more_than_once(differentiating: Backend) -> None:
    x, y, u, v = arrays(differentiating, X, Y, U, V)
    (value,), pull = differentiating.pullback(cubic, (x, y), keep_graph=True)
    assert differentiating.asnumpy(value) == pytest.approx(X**3 * Y)
    for cotangent, exact in ((u, U), (v, V), (u, U)):
        in_x, in_y = pull((cotangent,))
        assert differentiating.asnumpy(in_x) == pytest.approx(3 * X**2 * Y * exact)
        assert differentiating.asnumpy(in_y) == pytest.approx(X**3 * exact)


@pytest.mark.parametrize(
    "wanted", [(True, True), (True, False), (False, True), (False, False)], ids=str
)
def test_a_gradient_that_is_not_wanted_is_none(
    differentiating: Backend, wanted: tuple[bool, bool]
) -> None:
    x, y, u = arrays(differentiating, X, Y, U)
    _, pull = differentiating.pullback(cubic, (x, y), wanted)
    pulled = pull((u,))
    assert tuple(gradient is not None for gradient in pulled) == wanted
    for gradient, exact in zip(pulled, (3 * X**2 * Y * U, X**3 * U), strict=True):
        if gradient is not None:
            assert differentiating.asnumpy(gradient) == pytest.approx(exact)


def test_the_pullback_works_on_the_primals_themselves(torch: Any) -> None:
    backend = backends.load("torch")
    x, y = arrays(backend, X, Y)

    def writes(x: Any, y: Any) -> tuple[Any, ...]:
        y.data.zero_()
        return (x * x,)

    backend.pullback(writes, (x, y), (True, False))
    assert backend.asnumpy(y).tolist() == [0.0] * 3


def test_arrays_are_written_to_where_that_can_be(backend: Backend) -> None:
    with backend.precision("float64"):
        (x,) = arrays(backend, X)
        if backend.name == "jax":
            with pytest.raises(Unsupported, match="cannot be written to"):
                backend.overwrite(x, Y)
            return
        backend.overwrite(x, Y)
        assert backend.asnumpy(x).tolist() == Y.tolist()


def test_constants_are_batched_and_not_differentiated(differentiating: Backend) -> None:
    """Row i of x · weights[index_i], three of them at once."""
    x, u = arrays(differentiating, [X, Y, V], U)
    index = differentiating.asarray([[0, 1, 1], [2, 2, 0], [1, 0, 2]], "int64", "cpu")

    def picked(x: Any, index: Any) -> tuple[Any, ...]:
        return (x[index] * x,)

    (values,), (gradients,) = differentiating.batched_vjp(picked, (x,), (u,), (index,))
    for n, (row, chosen) in enumerate(
        zip((X, Y, V), ([0, 1, 1], [2, 2, 0], [1, 0, 2]), strict=True)
    ):
        expected = U * row[chosen]
        np.add.at(expected, chosen, U * row)
        assert differentiating.asnumpy(values)[n] == pytest.approx(row[chosen] * row)
        assert differentiating.asnumpy(gradients)[n] == pytest.approx(expected)


def test_numpy_has_no_modes() -> None:
    numpy = backends.load("numpy")
    for ask in (numpy.pullback, numpy.batched_vjp):
        with pytest.raises(Unsupported):
            ask(cubic, (X, Y), (U,))
    with pytest.raises(Unsupported, match="no compiler"):
        numpy.compiled(cubic)


def test_the_ninth_function_that_torch_compiles_is_compiled_as_well(torch: Any) -> None:
    """Dynamo would run it eagerly, and silently: it counts per code object."""
    backend = backends.load("torch")

    def function(x: Any, n: int) -> Any:
        return x * n if torch.compiler.is_compiling() else x * -1

    for n in range(1, 12):
        compiled = backend.compiled(lambda x, n=n: function(x, n))
        assert compiled(torch.ones(n)).tolist() == [float(n)] * n


# --- process-wide settings -----------------------------------------------------------------------


def test_x64_is_on_exactly_while_it_is_needed(jax: Any) -> None:
    backend = backends.load("jax")
    before = jax.config.jax_enable_x64
    with backend.precision("float64"):
        assert jax.config.jax_enable_x64
    assert jax.config.jax_enable_x64 == before
    with pytest.raises(ZeroDivisionError), backend.precision("float64"):
        raise ZeroDivisionError
    assert jax.config.jax_enable_x64 == before
    with backend.precision("float32"):
        assert jax.config.jax_enable_x64 == before


def test_x64_of_the_user_stays_on(jax: Any) -> None:
    backend = backends.load("jax")
    with backend.precision("float64"), backend.precision("float32"):
        assert jax.config.jax_enable_x64


CHANGES: Mapping[str, Mapping[str, Callable[[Any], Any]]] = {
    "torch": {
        "torch.get_default_dtype()": lambda torch: torch.set_default_dtype(torch.float64),
        "torch.is_grad_enabled()": lambda torch: torch.set_grad_enabled(False),
        "torch.get_num_threads()": lambda torch: torch.set_num_threads(torch.get_num_threads() + 1),
        "torch.are_deterministic_algorithms_enabled()": lambda torch: (
            torch.use_deterministic_algorithms(True)
        ),
        "torch.is_anomaly_enabled()": lambda torch: torch.autograd.set_detect_anomaly(True),
        "torch.get_default_device()": lambda torch: torch.set_default_device("meta"),
        "torch.get_float32_matmul_precision()": lambda torch: torch.set_float32_matmul_precision(
            "medium"
        ),
        "torch.is_autocast_enabled('cpu')": lambda torch: torch.set_autocast_enabled("cpu", True),
        "torch.is_warn_always_enabled()": lambda torch: torch.set_warn_always(True),
        "torch.backends.cudnn": lambda torch: setattr(torch.backends.cudnn, "benchmark", True),
        "torch random state": lambda torch: torch.manual_seed(12345),
    },
    "jax": {
        "jax.config.jax_enable_x64": lambda jax: jax.config.update(
            "jax_enable_x64", not jax.config.jax_enable_x64
        ),
        "jax.config.jax_debug_nans": lambda jax: jax.config.update("jax_debug_nans", True),
        "jax.config.jax_disable_jit": lambda jax: jax.config.update("jax_disable_jit", True),
        "jax.config.jax_default_matmul_precision": lambda jax: jax.config.update(
            "jax_default_matmul_precision", "highest"
        ),
        "jax.config.jax_numpy_dtype_promotion": lambda jax: jax.config.update(
            "jax_numpy_dtype_promotion", "strict"
        ),
        "jax.config.jax_default_prng_impl": lambda jax: jax.config.update(
            "jax_default_prng_impl", "rbg"
        ),
    },
}


@pytest.mark.filterwarnings("ignore:Anomaly Detection has been enabled:UserWarning")
@pytest.mark.parametrize(
    ("name", "setting"), [(name, setting) for name in CHANGES for setting in CHANGES[name]]
)
def test_a_setting_that_is_changed_is_seen_and_put_back(name: str, setting: str) -> None:
    framework = pytest.importorskip(name)
    backend = backends.load(name)
    before = dict(backend.global_state())
    try:
        CHANGES[name][setting](framework)
        after = dict(backend.global_state())
    finally:
        backend.restore(before)
    assert {key for key in before if before[key] != after[key]} == {setting}
    assert dict(backend.global_state()) == before


def test_every_setting_of_torch_that_is_watched_is_tried(torch: Any) -> None:
    assert CHANGES["torch"].keys() == backends.load("torch").global_state().keys()


def test_every_setting_that_jax_lets_one_read_is_watched(jax: Any) -> None:
    watched = backends.load("jax").global_state()
    readable = {name for name in jax.config.values if hasattr(jax.config, name)}
    assert {f"jax.config.{name}" for name in readable} == watched.keys()
    assert CHANGES["jax"].keys() <= watched.keys()


@pytest.mark.parametrize(
    ("setting", "change"),
    [
        ("gc.isenabled()", gc.disable),
        ("os.environ", lambda: os.environ.update(GRADCHECK_SUITE_PLANTED="1")),
        ("random.getstate()", random.random),
        ("numpy.random.get_state()", np.random.random),
        ("numpy.geterr()", lambda: np.seterr(under="raise")),
        ("numpy.get_printoptions()", lambda: np.set_printoptions(precision=3)),
    ],
)
def test_a_setting_of_the_process_is_seen_and_put_back(
    setting: str, change: Callable[[], object]
) -> None:
    numpy = backends.load("numpy")
    before = process_state.capture(numpy)
    with process_state.preserved(numpy):
        change()
        after = process_state.capture(numpy)
    assert {key for key in before if before[key] != after[key]} == {setting}
    assert process_state.capture(numpy) == before


def test_state_is_kept_in_full_when_nothing_happens(torch: Any) -> None:
    """What restore() writes is what was there: warn_only is half of the setting."""
    backend = backends.load("torch")
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        with process_state.preserved(backend):
            pass
        assert torch.is_deterministic_algorithms_warn_only_enabled()
    finally:
        torch.use_deterministic_algorithms(False)


# --- which backend -------------------------------------------------------------------------------


def test_an_unknown_backend_is_named_beside_the_known_ones() -> None:
    with pytest.raises(UsageError, match="backend: 'tensorflow' is unknown; known backends: jax, "):
        backends.load("tensorflow")


def test_the_arrays_say_whose_they_are(backend: Backend) -> None:
    (array,) = arrays(backend, X)
    assert backends.owner_of([1.0, array, "mean"]) is backend


def test_a_frameworks_array_wins_over_numpys(torch: Any) -> None:
    assert backends.owner_of([X, torch.ones(2)]).name == "torch"


def test_arrays_of_two_frameworks_are_refused(torch: Any, jax: Any) -> None:
    with pytest.raises(UsageError, match="arrays of jax and torch are mixed"):
        backends.owner_of([torch.ones(2), jax.numpy.ones(2)])


@pytest.mark.parametrize(
    ("values", "kinds"), [([[1.0], "mean"], "list, str"), ([], "nothing"), ([1.5], "float")]
)
def test_values_without_an_array_are_refused(values: list[Any], kinds: str) -> None:
    with pytest.raises(UsageError, match=rf"no array among them \(got {kinds}\)"):
        backends.owner_of(values)


# --- absent and broken ---------------------------------------------------------------------------

PROBE = """
import json
from gradcheck_suite import backends
from gradcheck_suite.errors import BackendUnavailable
try:
    backends.load("torch")
    loaded = ""
except BackendUnavailable as error:
    loaded = str(error)
status = {name: backends.status(name).reason for name in ("numpy", "torch")}
available = [backend.name for backend in backends.available()]
print(json.dumps([loaded, status, available, backends.load("numpy").asarray([1], "int64", "cpu").tolist()]))
"""  # noqa: E501

ABSENT = """
import sys
class Absent:
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "jax"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent)
"""


def probe(code: str, folder: Path) -> list[Any]:
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, "")
    answer: list[Any] = json.loads(result.stdout)
    return answer


def test_an_absent_backend_is_reported_and_harms_no_other(tmp_path: Path) -> None:
    loaded, status, available, value = probe(ABSENT + PROBE, tmp_path)
    assert loaded == "backend 'torch': torch is not installed; try: pip install torch"
    assert status == {"numpy": "", "torch": "not installed"}
    assert (available, value) == (["numpy"], [1])


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ("raise OSError('libcudart.so.12: cannot open shared object file')", "OSError: libcudart"),
        ("import no_such_module_anywhere", "ModuleNotFoundError: No module named 'no_such_mod"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("", "ModuleNotFoundError: No module named 'torch.autograd'"),
    ],
    ids=["missing library", "missing module", "bug", "an empty folder of that name"],
)
def test_a_broken_backend_is_reported_and_harms_no_other(
    tmp_path: Path, broken: str, words: str
) -> None:
    for name in ("torch", "jax"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(broken + "\n", encoding="utf-8")
    loaded, status, available, value = probe(PROBE, tmp_path)
    assert loaded.startswith("backend 'torch': torch is installed and does not import: ")
    assert words in loaded
    assert words in status["torch"]
    assert (status["numpy"], available, value) == ("", ["numpy"], [1])


def test_what_is_not_installed_cannot_be_loaded() -> None:
    for name in backends.names():
        if importlib.util.find_spec(name) is None:
            with pytest.raises(BackendUnavailable, match=f"pip install {name}"):
                backends.load(name)


# --- CUDA ----------------------------------------------------------------------------------------


def test_torch_on_cuda(torch: Any) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    backend = backends.load("torch")
    assert "cuda:0" in backend.devices()
    x, y, u, v, w = (backend.asarray(each, "float64", "cuda:0") for each in (X, Y, U, V, W))
    assert backend.describe(x).device == "cuda:0"
    _, (pulled, _) = backend.vjp(cubic, (x, y), (u,))
    assert backend.describe(pulled).device == "cuda:0"
    assert backend.asnumpy(pulled) == pytest.approx(3 * X**2 * Y * U)
    _, (pushed,) = backend.jvp(cubic, (x, y), (v, w))
    assert backend.asnumpy(pushed) == pytest.approx(3 * X**2 * Y * V + X**3 * W)
    _, seconds = backend.hvp(cubic, (x, y), (u,), (v, w))
    assert backend.asnumpy(seconds[1]) == pytest.approx(U * 3 * X**2 * V)
