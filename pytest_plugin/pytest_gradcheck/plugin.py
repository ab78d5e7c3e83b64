"""What pytest loads in every run of every project that has the suite installed.

It imports nothing of ``gradcheck_suite`` before a test asks for it, and says nothing in a
run that did not use it. The hooks are here; what they do is in the neighbours, imported when
it is done.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from pytest_gradcheck import options
from pytest_gradcheck.fixtures import (
    gradcheck,
    gradcheck_backend,
    gradcheck_device,
    gradcheck_rng,
    softmax_nll_case,
    softmax_nll_spec,
)
from pytest_gradcheck.ledger import Ledger, refuse_early
from pytest_gradcheck.stash import NOTES, RECORDS, SETTINGS, USES

__all__ = [
    "gradcheck",
    "gradcheck_backend",
    "gradcheck_device",
    "gradcheck_rng",
    "softmax_nll_case",
    "softmax_nll_spec",
]

_FIXTURE = "softmax_nll_case"
_MARKER = "softmax_nll"


def pytest_addoption(parser: pytest.Parser) -> None:
    """The flags and the ini keys."""
    options.add(parser)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Makes the marker known, and reads the settings."""
    config.addinivalue_line(
        "markers",
        f"{_MARKER}(loss, **options): judge a softmax cross-entropy against its specification, one "
        f"test per clause and case, in a test that takes the fixture {_FIXTURE}; options are those "
        "of gradcheck_suite.conformance (backend, dtypes, device, clauses, exclude, dialect, …); "
        "without any, write loss=my_loss, for pytest takes a lone function for the test itself",
    )
    settings = options.read(config, options.take_own_ids(config))
    config.stash[SETTINGS] = settings
    if settings.reports or settings.expectations or settings.baseline:
        refuse_early(config)
    config.pluginmanager.register(Ledger(config, settings), "gradcheck-ledger")


def pytest_report_header(config: pytest.Config) -> str | None:
    """Versions, where an option of the plugin is set; from metadata alone."""
    if not config.stash[SETTINGS].asked:
        return None
    from gradcheck_suite import provenance

    found = provenance.collect()
    versions = [f"{name} {v}" for name, v in found["libraries"].items() if name != "pytest"]
    return f"gradcheck-suite {found['suite']}: {', '.join(versions)}"


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Generator[None, Any, Any]:
    """Adds the questions that no test file asks to what the session collects."""
    report = yield
    if isinstance(collector, pytest.Session) and report.passed:
        settings = collector.config.stash[SETTINGS]
        if settings.losses or settings.only:
            from pytest_gradcheck.items import root

            report.result = [*report.result, root(collector)]
    return report


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test per clause × case × dtype, or per backend and device."""
    wanted = set(metafunc.fixturenames)
    if _FIXTURE in wanted:
        from pytest_gradcheck.questions import parametrise

        parametrise(metafunc, _FIXTURE, _MARKER)
    if wanted & {"gradcheck_backend", "gradcheck_device"}:
        from pytest_gradcheck.places import parametrise as parametrise_places

        parametrise_places(metafunc)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A marker that no fixture asks for would judge nothing, in silence."""
    for item in items:
        fixtures = getattr(item, "fixturenames", (_FIXTURE,))  # our own items have none
        if _FIXTURE not in fixtures and any(mark.name == _MARKER for mark in item.own_markers):
            raise pytest.UsageError(
                f"{item.nodeid} is marked {_MARKER} and does not take the fixture {_FIXTURE}: "
                f"nothing would be judged; write def {item.name.partition('[')[0]}({_FIXTURE}): "
                f"{_FIXTURE}.check()"
            )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    """Outcomes travel on the report of the call, as JSON strings: xdist takes nothing else."""
    report = yield
    if report.when == "call":
        if RECORDS in item.stash:
            report.gradcheck_records = item.stash[RECORDS]
        if USES in item.stash:
            report.gradcheck_uses = item.stash[USES]
        if NOTES in item.stash and report.failed:
            notes: list[str] = item.stash[NOTES]
            report.sections.append(("gradcheck", "\n".join(notes)))
    return report
