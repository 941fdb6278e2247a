"""Loaded: what every source gives."""

from dataclasses import dataclass

from recsys.data.dataset import Dataset
from recsys.data.sources.truth import Market
from recsys.data.validation import Quality


@dataclass(frozen=True, kw_only=True, eq=False)
class Loaded:
    """A data set, the report on its quality and, where the source made the data itself, the truth behind it."""

    dataset: Dataset
    report: Quality
    truth: Market | None = None
