"""Text of others in Markdown: what it says is shown, and nothing in it is markup."""

from __future__ import annotations

import re

from gradcheck_suite.reports.evidence import one_line

_PLAIN = re.compile(r"[\w .,:;/@()\[\]=+*'\"-]*\w[\w .,:;/@()\[\]=+*'\"-]*")
_MARKUP = re.compile(r"[\\`*_~\[\]<>&|#$!]")


def code(text: str, at_most: int = 120) -> str:
    """A name, on one line and in the typeface of code; also in a cell of a table."""
    line = one_line(text, at_most)
    if _PLAIN.fullmatch(line):
        return f"`{line}`"
    return f"<code>{_entities(line)}</code>" if line else ""


def prose(text: str, at_most: int = 500) -> str:
    """A sentence, on one line."""
    return _MARKUP.sub(lambda found: f"&#{ord(found[0])};", one_line(text, at_most))


def fenced(text: str) -> str:
    """A block of code whose fence is longer than any run of backticks inside it."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{text}\n{fence}"


def _entities(text: str) -> str:
    return "".join(c if c.isalnum() or c in " .,-/" else f"&#{ord(c)};" for c in text)
