"""Does the answer hang on how it was computed? The same effects capped, uncapped, and without fallback slates."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from abtest.analysis.analyse import analyse
from abtest.analysis.decide import complete
from abtest.analysis.metrics import choose
from abtest.types import Comparison, Metric, Readout
from bakeoff import durable
from bakeoff.records import from_json, to_json
from experiments.home import Home
from experiments.slates import fallbacks
from experiments.store import Definition

CAP = 0.99
"""Where a mean or a ratio that the plan left uncapped is capped: at this quantile over the units of all arms."""
Name = Literal["capped", "uncapped", "without fallback slates"]


@dataclass(frozen=True, kw_only=True)
class View:
    """The effects computed in another way than planned; only the metrics that it touches. says: what is other."""

    name: Name
    says: str
    effects: tuple[Comparison, ...]


@dataclass(frozen=True, kw_only=True)
class Sensitivity:
    """Every other view of one readout; complete: whether the planned sample was in, so that intervals may be read."""

    experiment: str
    as_of: datetime
    complete: bool
    views: tuple[View, ...] = ()


def sensitivity(definition: Definition, readout: Readout, exposures: pa.Table, outcomes: pa.Table) -> Sensitivity:
    """The views that differ from the plan: none where no metric can be capped and no fallback filled a slate.

    exposures, outcomes: those that the readout was made of. Intervals are those of the whole sample, uncorrected.
    """
    return Sensitivity(
        experiment=readout.experiment,
        as_of=readout.as_of,
        complete=complete(readout),
        views=tuple(_views(definition, readout.as_of, exposures, outcomes)),
    )


def save(home: Home, found: Sensitivity) -> None:
    """Keep the views beside the readout."""
    path = home.experiments / found.experiment / "sensitivity.json"
    durable.write_bytes(path, to_json(Sensitivity, found).encode())


def load(home: Home, experiment: str) -> Sensitivity | None:
    """The views of the latest readout; None where none were computed."""
    path = home.experiments / experiment / "sensitivity.json"
    if not path.exists():
        return None
    try:
        return from_json(Sensitivity, path.read_bytes())
    except ValueError:
        raise ValueError(f"{path} is damaged; `bakeoff analyse {experiment}` writes it anew") from None


def _views(definition: Definition, as_of: datetime, exposures: pa.Table, outcomes: pa.Table) -> Iterator[View]:
    metrics = choose(definition.metrics, definition.experiment.metrics)
    capped = [replace(metric, cap_quantile=CAP) for metric in metrics if _can_be_capped(metric)]
    if capped:
        said = f"Each unit's total counts at most the {CAP:.0%} quantile over all units."
        yield View(name="capped", says=said, effects=_effects(definition, capped, as_of, exposures, outcomes))
    freed = [replace(metric, cap=None, cap_quantile=None) for metric in metrics if _is_capped(metric)]
    if freed:
        said = "Without the cap that the plan sets: every unit counts in full."
        yield View(name="uncapped", says=said, effects=_effects(definition, freed, as_of, exposures, outcomes))
    filled = fallbacks(exposures) if len(exposures) else np.zeros(0, np.bool_)
    if filled.any():
        own, told = exposures.filter(pa.array(~filled)), _left_out(definition, exposures, filled)
        of_own = outcomes.filter(pc.invert(pc.is_in(outcomes["exposure"], exposures["id"].filter(pa.array(filled)))))
        effects = _effects(definition, metrics, as_of, own, of_own)
        yield View(name="without fallback slates", says=told, effects=effects)


def _effects(
    definition: Definition, metrics: Sequence[Metric], as_of: datetime, exposures: pa.Table, outcomes: pa.Table
) -> tuple[Comparison, ...]:
    # without segments and days: a view is one number beside the planned one
    plan = replace(definition.experiment.analysis, segments=(), bayesian=False, correction="none")
    named = tuple(metric.name for metric in metrics)
    experiment = replace(definition.experiment, metrics=named, analysis=plan)
    return analyse(experiment, metrics, exposures, outcomes, as_of=as_of, daily=False).effects


def _left_out(definition: Definition, exposures: pa.Table, filled: NDArray[np.bool_]) -> str:
    of = exposures["variant"].to_numpy(zero_copy_only=False)
    shares = [(variant.name, filled[of == variant.name]) for variant in definition.experiment.variants]
    told = ", ".join(f"{part.mean():.1%} of {name}" for name, part in shares if len(part))
    return (
        f"Left out: slates that a fallback filled ({told}) and what came of them. What is left was no longer chosen by "
        "chance: a check, not a result."
    )


def _is_capped(metric: Metric) -> bool:
    return metric.cap is not None or metric.cap_quantile is not None


def _can_be_capped(metric: Metric) -> bool:
    return metric.kind in ("mean", "ratio") and not _is_capped(metric)
