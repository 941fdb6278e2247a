"""Fitting a tuned model for good: its epochs are shown, and an interrupted fit goes on where it was."""

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from typing import Any

from experiments.home import Home
from recsys.data.dataset import Dataset
from recsys.hybrid.pipeline import Pipeline
from recsys.models.base import Recommender, create
from recsys.models.indexed import Indexed


class Fits:
    """The fits of one bake-off. Their checkpoints stay until `done`: a bake-off that is run again finds them."""

    def __init__(self, home: Home, name: str) -> None:
        self.folder = home.checkpoints / name

    def fit(
        self, variant: str, model: str, params: Mapping[str, Any], dataset: Dataset, tell: Callable[[str], None]
    ) -> Recommender:
        """The model fitted on the data set; `tell` hears of the variant, and of its epochs if it has any."""
        question = json.dumps([model, params, dataset.fingerprint], sort_keys=True)
        checkpoint = self.folder / hashlib.sha256(question.encode()).hexdigest()[:16]
        tell(variant)
        return create(model, **params).fit(
            dataset, watch=lambda epoch, _: tell(f"{variant}, epoch {epoch}"), checkpoint=checkpoint
        )

    def done(self) -> None:
        """Everything is logged: the checkpoints have served."""
        shutil.rmtree(self.folder, ignore_errors=True)


def note_of(model: Recommender) -> str:
    """What whoever reads the numbers of a fitted model should know: why a pipeline has no ranker though it was asked
    for one, and how much the approximate indexes in it find."""
    told = [part.index_note for part in indexed(model).values()]
    if isinstance(model, Pipeline) and model.unranked:
        told.append(f"its ranker learnt nothing, so the reciprocal ranks of its sources decide: {model.unranked}")
    return ". ".join(note for note in told if note)


def indexed(model: Recommender, name: str = "") -> dict[str, Indexed]:
    """The models with an index, of a fitted one and all that it is made of, by their place in it."""
    found = {name or model.name: model} if isinstance(model, Indexed) and model.searches else {}
    for part, member in model.members.items():
        found |= indexed(member, f"{name}.{part}" if name else part)
    return found
