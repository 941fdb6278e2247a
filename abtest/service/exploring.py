"""Exploration: a place of some slates is given to an item that the model ranked below them, and the log can tell."""

import re
from typing import Protocol
from zlib import crc32

from abtest.service.ports import Slate

MARK = "~[0-9a-f]{8}$"
"""What the id of an exposure ends with, one of whose places was explored."""
_mark = re.compile(MARK).search


class Explore(Protocol):
    """Turns a longer slate into the one that is shown."""

    @property
    def beyond(self) -> int:
        """How many items below the slate it wants to choose from."""

    def __call__(self, slate: Slate, k: int, seed: str) -> Slate:
        """The slate of k places, with `explored` and its propensities where one of them was left to chance.

        The same seed on the same slate, with nothing learned in between, gives the same.
        """


def marked(id: str, item: str) -> str:
    """The id of an exposure whose last place was given to this item to see what comes of it.

    Whoever meets it later, also in another process, knows of an outcome whether it is of the item that was explored.

    >>> marked("c0ffee-1", "i7")
    'c0ffee-1~4d5b671e'
    """
    return f"{id}~{crc32(item.encode('utf-8', 'surrogatepass')):08x}"


def explores(id: str, item: str) -> bool:
    """Whether an exposure of this id gave its last place to this item."""
    found = _mark(id)
    return found is not None and marked(id[: found.start()], item) == id
