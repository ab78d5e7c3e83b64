"""Plan and run: clauses × cases × dtypes put to one implementation, each to a record.

Whatever the code under test does becomes an outcome here and nowhere else: it costs that one
outcome, and the run goes on.
"""

from __future__ import annotations

import contextlib
import io
import signal
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from types import FrameType

from gradcheck_suite import discovery, process_state
from gradcheck_suite.case import Case
from gradcheck_suite.errors import (
    ImplementationError,
    TimeLimitExceeded,
    Unsupported,
    UsageError,
    WrongShape,
)
from gradcheck_suite.implementation import Deviation, Implementation
from gradcheck_suite.outcome import (
    Errored,
    Failed,
    Inconclusive,
    Passed,
    Record,
    Skipped,
    Verdict,
)
from gradcheck_suite.planting import Judge, plant
from gradcheck_suite.property_search import GeneratedCases, search
from gradcheck_suite.protocols import Backend, Check
from gradcheck_suite.provenance import holds
from gradcheck_suite.specification.clause import Clause, clauses, select
from gradcheck_suite.specification.dialect import Dialect
from gradcheck_suite.specification.domain import is_specified
from gradcheck_suite.specification.given_case import SEPARATOR, GivenCase, as_python
from gradcheck_suite.specification.presets import expanded
from gradcheck_suite.specification.recipe import Recipe
from gradcheck_suite.story import replay_call
from gradcheck_suite.subject.binding import bind, validate
from gradcheck_suite.subject.bound import BoundSubject
from gradcheck_suite.teeth import Planted, Teeth

DEFAULT_DTYPES = ("float64", "float32")
DEFAULT_SEED = 17
DEFAULT_TIME_LIMIT = 60.0
#: After so many cases past their limit the remaining ones are not tried.
OVERRUNS_AT_MOST = 3
_OUTPUT_KEPT = 2000
_OWN_FOLDER = str(Path(__file__).parent)


@dataclass(frozen=True, slots=True)
class Job:
    """One question: a clause, one of its cases, a dtype.

    Attributes:
        recipe: one of the clause's own; or a case that was given, or many that are generated.
        alternatives: cases that will do where the implementation does not take the first:
            in a quick run, the clause's others of the same arrangement.
    """

    clause: Clause
    recipe: Recipe | GivenCase | GeneratedCases
    dtype: str
    alternatives: tuple[Recipe, ...] = ()

    @property
    def id(self) -> str:
        return f"{self.clause.id}/{self.recipe.id}@{self.dtype}"


@dataclass(frozen=True, slots=True)
class Selection:
    """Which questions are asked.

    Attributes:
        clauses: patterns of clause ids.
        exclude: patterns of clause ids left out (shown as excluded).
        cases: patterns of case ids; ``search-200`` for so many generated ones, and the whole id
            of a case that was given or found (``rows2-classes3-mean~…``).
        dtypes: dtypes; empty for the implementation's own.
        quick: of each clause only the first case that applies of every arrangement (kind of
            target, options, layout, rank, size; see ``Recipe.arrangement``), in the
            first dtype.
        seed: of every case.
    """

    clauses: tuple[str, ...] = ("*",)
    exclude: tuple[str, ...] = ()
    cases: tuple[str, ...] = ("*",)
    dtypes: tuple[str, ...] = ()
    quick: bool = False
    seed: int = DEFAULT_SEED

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise UsageError(f"seed: {self.seed} is negative; use an integer ≥ 0")


def checks() -> Mapping[str, Check]:
    """Every check by its name."""
    return {check.name: check for check in discovery.members("checks")}


def own_dtypes(implementation: Implementation) -> tuple[str, ...]:
    """Those that it is judged in where none are asked for."""
    return implementation.dtypes or DEFAULT_DTYPES


def plan(implementation: Implementation, selection: Selection) -> tuple[Job, ...]:
    """The questions in the order in which they are asked: cheap and telling ones first.

    Raises:
        UsageError: a pattern matches nothing, or a dtype is unknown.
    """
    by_name = checks()
    asked = _Asked.of(selection.cases)
    dtypes = selection.dtypes or asked.dtypes or own_dtypes(implementation)
    for dtype in dtypes:
        if dtype not in ("float64", "float32", "float16", "bfloat16"):
            raise UsageError(
                f"dtypes: {dtype!r} is unknown; use float64, float32, float16 or bfloat16"
            )
    if selection.exclude:
        select(selection.exclude)  # a misspelt exclusion would exclude nothing in silence
    chosen = sorted(select(selection.clauses), key=lambda clause: by_name[clause.check].cost)
    jobs: list[Job] = []
    for dtype in dtypes[:1] if selection.quick else dtypes:
        for clause in chosen:
            recipes = [each for each in clause.cases if _matches(each.id, asked.patterns)]
            if selection.quick:
                jobs.extend(_telling(clause, recipes, dtype))
            else:
                jobs.extend(Job(clause, recipe, dtype) for recipe in recipes)
            jobs.extend(Job(clause, each, dtype) for each in asked.beyond(clause, dtype))
    jobs.sort(key=lambda job: by_name[job.clause.check].asked_last)  # stable: the rest stays
    if not jobs:
        reason = f"{', '.join(selection.cases)} matches no case of {', '.join(selection.clauses)}"
        if asked.given or asked.generated:
            able = ", ".join(clause.id for clause in clauses() if clause.domain)
            reason += f"; the clauses that speak of other cases than their own are {able}"
        raise UsageError(f"cases: {reason} (gradcheck-suite explain CLAUSE lists its cases)")
    return tuple(jobs)


def _telling(clause: Clause, recipes: Sequence[Recipe], dtype: str) -> Iterator[Job]:
    """The first case of every arrangement, with the others to fall back upon."""
    groups: dict[tuple[object, ...], list[Recipe]] = {}
    for recipe in recipes:
        groups.setdefault(recipe.arrangement, []).append(recipe)
    for first, *others in groups.values():
        yield Job(clause, first, dtype, tuple(others))


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the patterns of a selection ask for: curated cases, given ones, generated ones."""

    patterns: tuple[str, ...]
    given: tuple[GivenCase, ...]
    generated: tuple[GeneratedCases, ...]

    @classmethod
    def of(cls, patterns: tuple[str, ...]) -> _Asked:
        given = tuple(GivenCase.decode(each) for each in patterns if SEPARATOR in each)
        found = {each: GeneratedCases.named(each) for each in patterns if SEPARATOR not in each}
        generated = tuple(each for each in found.values() if each is not None)
        return cls(tuple(name for name, each in found.items() if each is None), given, generated)

    @property
    def dtypes(self) -> tuple[str, ...]:
        """Those of the given cases, where nothing else is asked for."""
        if self.patterns or self.generated:
            return ()
        return tuple(dict.fromkeys(each.case.dtype for each in self.given))

    def beyond(self, clause: Clause, dtype: str) -> Iterator[GivenCase | GeneratedCases]:
        """The cases that are not its own and that a clause speaks of."""
        if clause.domain is None:
            return
        for each in self.given:
            if each.case.dtype == dtype and clause.domain(each.case):
                yield each
        yield from self.generated


class Runner:
    """Runs jobs of one implementation in this process.

    Args:
        implementation: resolved, with its backend's name.
        backend: the backend.
        device: where; empty for the backend's default.
        selection: which questions.
        replay: from a job's id to a command that shows its outcome again; default a call of
            ``gs.conformance``, for functions without an address.
        address: where the implementation can be loaded from again, if it can.
        time_limit: seconds for one case.

    Attributes:
        alive: called before each case of a search: the sign of life for who watches.
    """

    def __init__(
        self,
        implementation: Implementation,
        backend: Backend,
        *,
        device: str = "",
        selection: Selection = Selection(),
        replay: Callable[[str], str] | None = None,
        address: str = "",
        time_limit: float = DEFAULT_TIME_LIMIT,
    ) -> None:
        validate(implementation, backend)
        self.implementation = implementation
        self.backend = backend
        self.device = device or backend.devices()[0]
        if self.device not in backend.devices():
            raise UsageError(
                f"device: {backend.name} has no {self.device!r} here; it has "
                f"{', '.join(backend.devices())}"
            )
        self.selection = selection
        self._replay = replay or self._call_again
        self.address = address
        self.alive: Callable[[], None] = lambda: None
        self.time_limit = time_limit
        self.jobs = plan(implementation, selection)
        self._subjects: dict[str, BoundSubject | Errored] = {}
        self._checks = checks()
        self._overruns = 0
        self.deviations = tuple(d for d in implementation.deviations if holds(d.when))

    def run(self, indices: Sequence[int] | None = None) -> Iterator[Record]:
        """The records of the jobs, one by one as they finish."""
        for index in range(len(self.jobs)) if indices is None else indices:
            yield self.judge(self.jobs[index])

    def judge(self, job: Job) -> Record:
        """One job to one record, whatever the implementation does."""
        start = time.perf_counter()
        printed = _Unclosable()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
                job, verdict = self._guarded(job)
        messages = dict.fromkeys(f"{w.category.__name__}: {w.message}" for w in caught)
        return self.record(
            job,
            verdict,
            seconds=time.perf_counter() - start,
            messages=tuple(messages)[:5],
            output=printed.getvalue()[-_OUTPUT_KEPT:],
        )

    def teeth(self) -> Iterator[Teeth]:
        """For each dtype the errors that are caught where they are planted in its answers.

        Asked after the jobs: what a framework compiles is compiled by then.
        """
        own = [job.dtype for job in self.jobs if isinstance(job.recipe, Recipe)]
        for dtype in dict.fromkeys(own):
            planted: tuple[Planted, ...] = ()
            silence = _Unclosable()
            with (
                warnings.catch_warnings(),
                contextlib.redirect_stdout(silence),
                contextlib.redirect_stderr(silence),
            ):
                warnings.simplefilter("ignore")
                try:
                    with time_limit(self.time_limit), process_state.preserved(self.backend):
                        subject = self._subject(dtype)
                        if isinstance(subject, Errored):
                            why_not = subject.reason
                        else:
                            judges = tuple(self._judges(subject, dtype))
                            planted, why_not = plant(judges, dtype)
                except KeyboardInterrupt:
                    raise
                except BaseException as error:
                    why_not = errored(error).reason
            name, backend = self.implementation.name, self.backend.name
            yield Teeth(name, backend, self.device, dtype, planted, why_not)

    def _judges(self, subject: BoundSubject, dtype: str) -> Iterator[Judge]:
        """One clause for every check that convicts planted errors, at its first ordinary case.

        Ordinary: of its own, taken by the implementation, and of several rows, since one row
        cannot be mistaken for another.
        """
        found: set[str] = set()
        for job in self.jobs:
            check = self._checks[job.clause.check]
            excluded = job.dtype != dtype or _matches(job.clause.id, self.selection.exclude)
            if excluded or not check.convicts or check.name in found:
                continue
            for recipe in (job.recipe, *job.alternatives):
                asked = Job(job.clause, recipe, dtype)
                ordinary = isinstance(recipe, Recipe) and recipe.rows > 1
                if ordinary and not self._why_not(subject, asked):
                    found.add(check.name)
                    yield Judge(job.clause.id, check, self._case(asked), subject)
                    break

    def record(
        self,
        job: Job,
        verdict: Verdict,
        *,
        seconds: float = 0.0,
        messages: tuple[str, ...] = (),
        output: str = "",
    ) -> Record:
        """The verdict with everything needed to understand it and to see it again."""
        declared = expanded(self.implementation.dialect)
        return Record(
            clause=job.clause.id,
            level=job.clause.level_for(declared),
            statement=job.clause.statement,
            case=job.recipe.id,
            check=job.clause.check,
            implementation=self.implementation.name,
            backend=self.backend.name,
            device=self.device,
            dtype=job.dtype,
            seed=self.selection.seed,
            verdict=verdict,
            dialect=declared,
            deviation=self._deviation(job, verdict),
            seconds=seconds,
            replay=self._replay(job.id),
            snippet=self._snippet(job, verdict),
            warnings=messages,
            output=output,
        )

    def _guarded(self, job: Job) -> tuple[Job, Verdict]:
        """The job that was run (an alternative, maybe) and what came of it."""
        if _matches(job.clause.id, self.selection.exclude):
            return job, Skipped("excluded on request")
        if self._overruns >= OVERRUNS_AT_MOST:
            reason = f"not run: {self._overruns} cases before it ran past their time limit"
            return job, Skipped(reason)
        if isinstance(job.recipe, GeneratedCases):
            return self._searched(job, job.recipe)
        try:
            with time_limit(self.time_limit):
                # What binding and trying change is put back before the check looks.
                with process_state.preserved(self.backend):
                    subject = self._subject(job.dtype)
                    if isinstance(subject, Errored):
                        reason = f"not judged: the implementation fails everywhere in {job.dtype}"
                        return job, Skipped(reason)
                    job = self._applicable(subject, job)
                with process_state.preserved(self.backend):
                    return job, self._verdict(subject, job)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            self._overruns += isinstance(error, TimeLimitExceeded)
            return job, errored(error)

    def _searched(self, job: Job, generated: GeneratedCases) -> tuple[Job, Verdict]:
        """The smallest case found that does not hold; the search itself where all do."""
        try:
            with time_limit(self.time_limit), process_state.preserved(self.backend):
                subject = self._subject(job.dtype)
                if isinstance(subject, Errored):
                    return job, Skipped(f"not judged: the implementation fails in {job.dtype}")
                cost = self._checks[job.clause.check].cost
                cases = [
                    case
                    for case in generated.build(subject, self.selection.seed, cost)
                    if _speaks_of(job.clause, case, subject.dialect)
                ]
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            return job, errored(error)

        def ask(case: Case) -> Verdict:
            self.alive()
            return self._guarded(Job(job.clause, GivenCase(case), job.dtype))[1]

        found, verdict = search(cases, ask)
        return (job if found is None else Job(job.clause, GivenCase(found), job.dtype)), verdict

    def _applicable(self, subject: BoundSubject, job: Job) -> Job:
        """The job with the first of its cases that the implementation takes."""
        for recipe in (job.recipe, *job.alternatives):
            candidate = Job(job.clause, recipe, job.dtype)
            if not self._why_not(subject, candidate):
                return candidate
        return job

    def _case(self, job: Job) -> Case:
        assert not isinstance(job.recipe, GeneratedCases)
        return job.recipe.build(self.selection.seed, job.dtype)

    def _why_not(self, subject: BoundSubject, job: Job) -> str:
        if self._is_spared(job):
            return f"asked at one size alone: {self.backend.name} compiles every shape anew"
        case = self._case(job)
        if isinstance(job.recipe, GivenCase) and not _speaks_of(job.clause, case, subject.dialect):
            return "the clause does not say what the answer to this case is"
        reasons = (subject.supports(case, mode) for mode in self._checks[job.clause.check].needs)
        return next((reason for reason in reasons if reason), "")

    def _is_spared(self, job: Job) -> bool:
        """Whether it is one of many shapes to compile, in a quick run or for a second dtype."""
        if not (job.clause.many_shapes and self.backend.compiles_shapes):
            return False
        again = self.selection.quick or job.dtype != self.jobs[0].dtype  # the plan's first
        return again and job.recipe != job.clause.cases[0]

    def _verdict(self, subject: BoundSubject, job: Job) -> Verdict:
        reason = self._why_not(subject, job)
        if reason:
            return Skipped(reason)
        case = self._case(job)
        try:
            return self._checks[job.clause.check].run(subject, case)
        except Unsupported as error:
            return Skipped(str(error))
        except WrongShape as error:
            return Failed(str(error))

    def _subject(self, dtype: str) -> BoundSubject | Errored:
        """The subject for a dtype. If it cannot be bound, that is said once."""
        if dtype not in self._subjects:
            try:
                self._subjects[dtype] = bind(
                    self.implementation, self.backend, device=self.device, dtype=dtype
                )
            except BaseException as error:
                self._subjects[dtype] = errored(error)
                raise
        return self._subjects[dtype]

    def _call_again(self, job: str) -> str:
        return replay_call(
            job, self.implementation.name, backend=self.backend.name, seed=self.selection.seed
        )

    def _snippet(self, job: Job, verdict: Verdict) -> str:
        """Python that shows the outcome of a given case again."""
        if not isinstance(job.recipe, GivenCase) or isinstance(verdict, Passed | Skipped):
            return ""
        loss = repr(self.address) if self.address else "loss"
        places = {"backend": self.backend.name, "clauses": job.clause.id}
        if self.device != self.backend.devices()[0]:
            places["device"] = self.device
        arguments = [loss, *(f"{name}={value!r}" for name, value in places.items()), "cases=case"]
        if self.implementation.dialect:
            arguments.append(f"dialect={expanded(self.implementation.dialect)!r}")
        arguments.append(f"seed={self.selection.seed}")
        lines = ["import gradcheck_suite as gs", ""]
        if not self.address:
            lines += [f"# loss: the function or gs.Implementation, {self.implementation.name}"]
        lines += [
            f"case = {as_python(job.recipe.case)}",
            "run = gs.conformance(",
            *(f"    {argument}," for argument in arguments),
            ")",
            "assert run.passed, run.failures[0].reason",
        ]
        return "\n".join(lines)

    def _deviation(self, job: Job, verdict: Verdict) -> str:
        if not isinstance(verdict, Failed | Inconclusive):
            return ""
        for deviation in self.deviations:
            if covers(deviation, job.clause.id, job.recipe.id, job.dtype):
                link = f" ({deviation.link})" if deviation.link else ""
                return deviation.reason + link
        return ""


def _speaks_of(clause: Clause, case: Case, dialect: Dialect) -> bool:
    """Whether a clause says what the answer to a case is that is not its own."""
    return clause.domain is not None and clause.domain(case) and is_specified(case, dialect)


class _Unclosable(io.StringIO):
    """A stream that outlives code under test which closes its standard output."""

    def close(self) -> None:
        self.flush()


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def stale_deviations(
    name: str, deviations: Sequence[Deviation], records: Sequence[Record]
) -> tuple[str, ...]:
    """Known deviations that were looked for and not seen: a library may have mended them."""
    notes = []
    for deviation in deviations:
        asked = [
            record
            for record in records
            if covers(deviation, record.clause, record.case, record.dtype)
            and not isinstance(record.verdict, Skipped)
        ]
        if asked and not any(record.deviation for record in asked):
            notes.append(
                f"{name}: the known deviation from {deviation.clause} is no longer "
                f"seen: {deviation.reason}"
            )
    return tuple(notes)


def covers(deviation: Deviation, clause: str, case: str, dtype: str) -> bool:
    """Whether a declared deviation speaks of this outcome."""
    return (
        fnmatchcase(clause, deviation.clause)
        and fnmatchcase(case, deviation.case)
        and fnmatchcase(dtype, deviation.dtype)
    )


@contextlib.contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raises TimeLimitExceeded in the main thread; no limit elsewhere or without SIGALRM.

    A call that never returns to Python cannot be interrupted so: run it in a worker.
    """
    usable = (
        seconds > 0
        and hasattr(signal, "SIGALRM")
        and threading.current_thread() is threading.main_thread()
    )
    if not usable:
        yield
        return

    def on_alarm(number: int, frame: FrameType | None) -> None:
        raise TimeLimitExceeded(f"ran past the time limit of {seconds:g} s for one case")

    previous = signal.signal(signal.SIGALRM, on_alarm)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


def errored(error: BaseException) -> Errored:
    """The exception as an outcome; the traceback starts where the user's code does."""
    summary = traceback.TracebackException.from_exception(error)
    frames = summary.stack
    theirs = [n for n, frame in enumerate(frames) if not frame.filename.startswith(_OWN_FOLDER)]
    if theirs:
        del frames[theirs[-1] + 1 :]  # the alarm's handler is ours
        del frames[: theirs[0]]
    if isinstance(error, ImplementationError):
        return Errored(str(error))  # said by us about a result: there is no frame of theirs
    if isinstance(error, SystemExit):
        reason = f"called sys.exit({error.code!r})"
    elif isinstance(error, TimeLimitExceeded):
        reason = str(error)
    else:
        lines = str(error).strip().splitlines()
        reason = f"raises {type(error).__name__}" + (f": {lines[0]}" if lines else "")
    return Errored(reason, "".join(summary.format()).rstrip())
