"""Texts of other people (titles, names, units) made safe for a place that reads Markdown."""

import re

SPECIAL = re.compile(r"([\\`*_{}\[\]<>#$~|])")
WHOLE = re.compile(r"\([^()]{1,24}\)|\\[<>] ")
"""What stands on one line: brackets that are short enough for it, such as an interval, and a bound with its sign."""


def escape(text: str) -> str:
    r"""The text as it stands, not as Markdown, HTML or a formula.

    >>> escape("item_knn costs 3 $")
    'item\\_knn costs 3 \\$'
    """
    return SPECIAL.sub(r"\\\1", text)


def cell(text: str) -> str:
    r"""The text of a table's cell, escaped; where it is too wide, it breaks before an interval or bound, not within.

    >>> cell("+0.26 EUR (n = 8)")
    '+0.26 EUR (n\xa0=\xa08)'
    >>> cell("< 0.001")
    '\\<\xa00.001'
    """
    return WHOLE.sub(lambda found: found[0].replace(" ", "\N{NO-BREAK SPACE}"), escape(text))


def bullets(sentences: tuple[str, ...] | list[str]) -> str:
    """Sentences as a list."""
    return "\n".join(f"- {escape(sentence)}" for sentence in sentences)
