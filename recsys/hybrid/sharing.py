"""Sharing: what several pipelines fit alike, their sources and groups of features, is fitted once."""

import json
from collections import OrderedDict
from collections.abc import Callable
from typing import TypeVar

from recsys.data.dataset import Dataset
from recsys.hybrid.features.base import Group, Past
from recsys.hybrid.stations import Source
from recsys.models.base import Recommender, State

MOST_BYTES = 2**29
T = TypeVar("T")


class Shared:
    """Fitted parts by what they come from: model, parameters and data for a source, group and past for features.

    Whoever fits several pipelines makes one and hands it to each (`Pipeline.sharing`); nothing is shared otherwise.
    Data are known by their fingerprint, so the same rows cut again are the same. most_bytes: the arrays of all parts
    that are kept; the ones asked for longest ago go first, and a part above it all is not kept. What it gives is to be
    read, not fitted again.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        if most_bytes < 0:
            raise ValueError(f"most_bytes must be >= 0, got {most_bytes}; 0 keeps nothing")
        self.most_bytes = most_bytes
        self.bytes = 0
        self.fitted = 0
        """How many parts were fitted."""
        self.found = 0
        """How often one was there already."""
        self._kept: OrderedDict[str, tuple[object, int]] = OrderedDict()

    def source(self, source: Source, dataset: Dataset) -> Recommender:
        """The model of a candidate source, fitted on the data set."""
        model = source.create()
        key = json.dumps(["source", source.model, model.params(), dataset.fingerprint], sort_keys=True)
        return self._once(key, lambda: model.fit(dataset), lambda fitted: _size(fitted.state()))

    def group(self, group: Group, past: Past) -> None:
        """Fit a group of features on the past, or give it what one of its kind learnt there."""
        question = ["group", group.name, past.origins, str(past.cutoff), past.dataset.fingerprint]
        group.learnt = self._once(json.dumps(question), lambda: group.fit(past).learnt, _size)

    def _once(self, key: str, fit: Callable[[], T], size: Callable[[T], int]) -> T:
        if key in self._kept:
            self.found += 1
            self._kept.move_to_end(key)
            there: T = self._kept[key][0]  # type: ignore[assignment]  # the key says of which kind it is
            return there
        made = fit()
        self.fitted += 1
        n = size(made)
        if n <= self.most_bytes:
            self._kept[key] = made, n
            self.bytes += n
        while self.bytes > self.most_bytes:
            self.bytes -= self._kept.popitem(last=False)[1][1]
        return made


def _size(state: State) -> int:
    return sum(array.nbytes for array in state.values())
