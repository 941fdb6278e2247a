"""Looks: what is asked again and again of a pipeline while its trees grow, described once."""

from collections.abc import Callable

from recsys.data.queries import Queries
from recsys.hybrid.candidates import Candidates
from recsys.hybrid.features.base import Floats

MOST_BYTES = 2**29
Described = tuple[Candidates, Floats]


class Looks:
    """Candidates of queries and their features, by what the queries hold.

    most_bytes: of the features that are kept. What comes above it is described anew each time: blocks are asked in
    turn, so that to put the last in the place of the first would keep none for its next time.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._left = most_bytes
        self._kept: dict[tuple[bytes, ...], Described] = {}

    def of(self, queries: Queries, describe: Callable[[], Described]) -> Described:
        """What `describe` gives for the queries, or gave."""
        if queries.context:  # a request of its own
            return describe()
        held = (queries.users, queries.indptr, queries.items, queries.times, queries.weights)
        key = tuple(array.tobytes() for array in held)
        if key in self._kept:
            return self._kept[key]
        found = describe()
        if found[1].nbytes <= self._left:
            self._left -= found[1].nbytes
            self._kept[key] = found
        return found
