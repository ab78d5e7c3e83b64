"""One HTML page that holds everything: the overview, every outcome with its story, the plots.

The page is one file. It needs no network, and nothing in it can fetch or run what it was not
shipped with: its content security policy names the hashes of its own scripts and styles. What
comes from a run reaches the page as text, through Jinja's autoescaping or as JSON.
"""

from __future__ import annotations

import base64
import hashlib
import json
from importlib import resources
from os import PathLike
from pathlib import Path
from typing import Any

from gradcheck_suite.outcome import Run
from gradcheck_suite.reports.evidence import visible
from gradcheck_suite.reports.html_outcomes import encoded
from gradcheck_suite.reports.html_overview import overview

SCRIPTS = (
    "uPlot.iife.min.js",
    "data.js",
    "address.js",
    "charts.js",
    "story.js",
    "outcomes.js",
    "margins.js",
    "page.js",
)
STYLES = ("uPlot.min.css", "page.css")
#: JSON in a script element: these could end it, or open another.
_ESCAPES = str.maketrans({each: f"\\u{ord(each):04x}" for each in "<>&\u2028\u2029"})


class HtmlPage:
    """Writes runs as one self-contained page."""

    name = "html"
    suffixes = (".html", ".htm")

    def write(self, run: Run, path: str | PathLike[str]) -> None:
        """Writes the page; 100,000 outcomes make one of about 30 MB."""
        Path(path).write_text(self.text(run), encoding="utf-8")

    def text(self, run: Run) -> str:
        """The whole document."""
        import jinja2  # here: finding a format imports every one of them

        environment = jinja2.Environment(
            autoescape=True,
            trim_blocks=True,
            lstrip_blocks=True,
            undefined=jinja2.StrictUndefined,
            finalize=_shown,
        )
        scripts, styles = [_asset(name) for name in SCRIPTS], [_asset(name) for name in STYLES]
        template = environment.from_string(_asset("page.html.jinja"))
        return template.render(
            overview(run),
            data=json_in_html(encoded(run)),
            scripts=scripts,
            styles=styles,
            policy=_policy(scripts, styles),
        )


def json_in_html(values: Any) -> str:
    """Strict JSON that can stand inside a script element, whatever its strings hold."""
    text = json.dumps(values, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    return text.translate(_ESCAPES)


def _shown(value: Any) -> Any:
    """Text of others with its control characters written out; what is ours is marked as safe."""
    return visible(value) if type(value) is str else value


def _asset(name: str) -> str:
    return resources.files(__package__).joinpath("page", name).read_text(encoding="utf-8")


def _policy(scripts: list[str], styles: list[str]) -> str:
    """Nothing may be loaded, and nothing run but these scripts."""
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src {' '.join(map(_hash, scripts))}",
            f"style-src {' '.join(map(_hash, styles))}",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


REPORTS = (HtmlPage(),)
