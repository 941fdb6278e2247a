"""Texts of other people (titles, names, units) made safe for a place that reads Markdown."""

import re

SPECIAL = re.compile(r"([\\`*_{}\[\]<>#$~|])")


def escape(text: str) -> str:
    r"""The text as it stands, not as Markdown, HTML or a formula.

    >>> escape("item_knn costs 3 $")
    'item\\_knn costs 3 \\$'
    """
    return SPECIAL.sub(r"\\\1", text)


def bullets(sentences: tuple[str, ...] | list[str]) -> str:
    """Sentences as a list."""
    return "\n".join(f"- {escape(sentence)}" for sentence in sentences)
