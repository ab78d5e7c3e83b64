"""Items that no test file asks for: ``softmax-nll::LOSS::CLAUSE::CASE[DTYPE]``."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gradcheck_suite.errors import GradientError
from pytest_gradcheck.options import ROOT
from pytest_gradcheck.questions import SoftmaxNLLCase, asked, bound_to, of_option
from pytest_gradcheck.stash import SETTINGS

_HIDDEN = ("importlib", "pytest_gradcheck", "gradcheck_suite", "_pytest", "pluggy")


def root(session: pytest.Session) -> pytest.Collector:
    """The collector of everything below ``softmax-nll``."""
    return Root.from_parent(session, name=ROOT, nodeid=ROOT)


class Root(pytest.Collector):
    """One child per loss."""

    def collect(self) -> Iterator[pytest.Collector]:
        settings = self.config.stash[SETTINGS]
        for address in dict.fromkeys((*settings.losses, *_named(settings.only))):
            yield Loss.from_parent(self, name=address)
        unknown = [each for each in settings.only if not _losses_below(each, settings.losses)]
        if unknown:
            raise self.CollectError(f"{unknown[0]}: no loss is named; give --{ROOT}")


class Loss(pytest.Collector):
    """One child per clause, in the order in which they are asked."""

    def collect(self) -> Iterator[pytest.Collector]:
        settings = self.config.stash[SETTINGS]
        only = [each for each in settings.only if _touches(each, self.nodeid)]
        if settings.only and not only:
            return
        try:
            questions = asked(f"--{ROOT} {self.name}", lambda: of_option(self.name, settings))
        except self.CollectError:
            raise
        except Exception as error:  # the user's module does not import
            raise self.CollectError(_theirs(self.name, error)) from None
        clauses: dict[str, list[SoftmaxNLLCase]] = {}
        for question in questions:
            clauses.setdefault(question.job.clause.id, []).append(question)
        children = [Clause.from_parent(self, name=n, cases=cases) for n, cases in clauses.items()]
        for each in only:
            if not any(_touches(each, child.nodeid) for child in children):
                raise self.CollectError(f"{each}: no such clause; one is {children[0].nodeid}")
        for child in children:
            if not only or any(_touches(each, child.nodeid) for each in only):
                yield child


class Clause(pytest.Collector):
    """One item per case and dtype."""

    def __init__(self, *, cases: list[SoftmaxNLLCase], **rest: Any) -> None:
        super().__init__(**rest)
        self.cases = cases

    def collect(self) -> Iterator[pytest.Item]:
        only = [each for each in self.config.stash[SETTINGS].only if _touches(each, self.nodeid)]
        found = []
        for case in self.cases:
            name = f"{case.job.recipe.id}[{case.place}]"
            # The id in full: read from its text, as a report's is, it compares equal to it.
            node = f"{self.nodeid}::{name}"
            item = Question.from_parent(self, name=name, question=case, nodeid=node)
            if not only or any(_touches(each, item.nodeid) for each in only):
                found.append(item)
        if not found:
            known = f"{self.cases[0].job.recipe.id}[{self.cases[0].place}]"
            raise self.CollectError(f"{only[0]}: no such case; one is {self.nodeid}::{known}")
        yield from found


class Question(pytest.Item):
    """One clause, one case, one dtype."""

    def __init__(self, *, question: SoftmaxNLLCase, **rest: Any) -> None:
        super().__init__(**rest)
        self.question = bound_to(question, self)
        self.add_marker("softmax_nll")

    def runtest(self) -> None:
        self.question.check()

    def repr_failure(self, excinfo: Any, style: Any = None) -> Any:
        """The story alone: there is no test of the user's to show."""
        if isinstance(excinfo.value, GradientError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int, str]:
        return self.path, 0, f"{self.question.job.clause.id} {self.name}"


def _named(only: tuple[str, ...]) -> list[str]:
    """The losses in node ids, so that an id alone says what is judged."""
    parts = [each.split("::") for each in only]
    return [found[1] for found in parts if len(found) > 1]


def _losses_below(node: str, losses: tuple[str, ...]) -> bool:
    return node != ROOT or bool(losses)


def _touches(asked_for: str, node: str) -> bool:
    """Whether a node is on the way to, or below, what was asked for."""
    return (
        asked_for == node or node.startswith(f"{asked_for}::") or asked_for.startswith(f"{node}::")
    )


def _theirs(address: str, error: Exception) -> str:
    """An exception of the user's module, without the frames that led there."""
    summary = traceback.TracebackException.from_exception(error)
    frames = [frame for frame in summary.stack if not any(p in frame.filename for p in _HIDDEN)]
    lines = "".join(traceback.StackSummary.from_list(frames).format()).rstrip()
    head = f"--{ROOT} {address}: importing it raises {type(error).__name__}: {error}"
    return f"{head}\n{lines}" if lines else head
