"""Proposals: experiments as files, and the book that keeps them for whoever works in a terminal."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from abtest.service.admin import proposed
from abtest.service.ports import Draft
from abtest.service.problems import Problem
from abtest.service.schemas import DraftIn
from abtest.types import Experiment
from experiments.administration import StoredBook
from experiments.home import Home
from experiments.reading import ConfigError, parse
from experiments.server import RegistrySource, champions_of
from experiments.store import ExperimentStore


def read_draft(path: Path) -> tuple[Draft, str]:
    """The draft in a YAML file, and why it is proposed. `metrics` and `decision` may name other files."""
    body = parse(DraftIn, path)
    if set(body.metrics) == {"metrics"}:  # a file of metrics was named
        body = body.model_copy(update={"metrics": body.metrics["metrics"]})
    try:
        return proposed(body), body.why
    except Problem as problem:
        raise ConfigError(f"{path}: {problem.detail}") from None


def pairs(texts: Sequence[str]) -> dict[str, str]:
    """The names and values of texts such as ease=0.8; a name may hold no =."""
    found = dict(text.partition("=")[::2] for text in texts)
    if not all(name and value for name, value in found.items()) or len(found) != len(texts):
        raise ValueError(f"expected NAME=VALUE, each name once, got {' '.join(texts)}")
    return found


def book_for(home: Home, key: str) -> StoredBook:
    """The book of the model that an experiment is of; an unknown key is answered with the nearest."""
    return book_of(home, ExperimentStore(home).definition(key).model)


def book_of(home: Home, model: str) -> StoredBook:
    """The experiments of a registered model, whose versions are loaded before anything starts."""

    def prepare(experiment: Experiment) -> None:
        source = RegistrySource(home, model)
        for variant in experiment.variants:
            version = variant.payload.get("version")
            if not isinstance(version, int) or variant.payload.get("model", model) != model:
                raise ValueError(f"variant {variant.name!r} must name a version of {model!r}: payload: {{version: 2}}")
            try:
                source.load(version)
            except Exception as error:
                said = f"{type(error).__name__}: {str(error)[:200]}"
                raise ValueError(f"variant {variant.name!r}: version {version} cannot be loaded: {said}") from None

    return StoredBook(
        home, model, now=lambda: datetime.now(UTC), serves=lambda _: True, prepare=prepare,
        champions=lambda: champions_of(home),
    )  # fmt: skip
