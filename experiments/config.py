"""One typed tree for configs/*.yaml, checked before anything runs."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from abtest.analysis.metrics import load_metrics
from abtest.types import AnalysisPlan, DecisionRule, Metric
from bakeoff.catalogue import check_name, lookup
from experiments.places import placed
from experiments.reading import Strict, parse, read_tree
from recsys.data.parameters import check_parameters
from recsys.data.sources import SOURCES
from recsys.data.split import SPLITS
from recsys.data.windows import Length, check_lengths
from recsys.metrics import CATALOGUE_METRICS, METRICS
from recsys.models import MODELS
from recsys.models.base import Recommender, create

PLACES = ("best", "runner_up")
"""Names that stand for whichever variant has that place on the leaderboard."""
CHAMPION = "champion"
"""The alias of the version that serves."""


def _named(table: Any, name: str, kind: str) -> str:
    try:
        return check_name(table, name, kind)
    except LookupError as error:  # pydantic collects ValueErrors only
        raise ValueError(str(error)) from None


def _created(model: str, params: Mapping[str, Any]) -> None:
    """Refuse values that the model, or one that it is made of, cannot take."""
    try:
        create(model, **params)
    except LookupError as error:  # pydantic collects ValueErrors only
        raise ValueError(str(error)) from None


def _metrics(tree: Any) -> tuple[Metric, ...]:
    """Metric definitions by name, as abtest.analysis.metrics reads them from a file."""
    return load_metrics(tree if isinstance(tree, dict) and set(tree) == {"metrics"} else {"metrics": tree})


def _rule(tree: Any) -> Any:
    """A decision rule from its keys; unknown ones are refused."""
    return _known_fields(tree, DecisionRule, "key of the decision rule")


def _plan(tree: Any) -> Any:
    """An analysis plan from its keys; unknown ones are refused."""
    return _known_fields(tree, AnalysisPlan, "key of the analysis plan")


def _known_fields(tree: Any, kind: type[Any], what: str) -> Any:
    known = {f.name: f for f in fields(kind)}
    for key in tree if isinstance(tree, dict) else ():
        _named(known, key, what)
    return tree


class DataConfig(Strict):
    """Where interactions come from: a source of recsys.data.sources and its parameters."""

    source: str
    params: dict[str, Any] = Field(default_factory=dict)

    @field_validator("source")
    @classmethod
    def _known(cls, name: str) -> str:
        return _named(SOURCES, name, "source")

    @model_validator(mode="after")
    def _parameters_exist(self) -> "DataConfig":
        check_parameters(lookup(SOURCES, self.source, "source"), self.params, f"source {self.source!r}")
        return self


class SplitConfig(Strict):
    """How the log is cut: a method of recsys.data.split and its parameters."""

    method: str = "temporal"
    params: dict[str, Any] = Field(default_factory=dict)

    @field_validator("method")
    @classmethod
    def _known(cls, name: str) -> str:
        return _named(SPLITS, name, "split")

    @model_validator(mode="after")
    def _parameters_exist(self) -> "SplitConfig":
        check_parameters(lookup(SPLITS, self.method, "split"), self.params, f"split {self.method!r}", given=1)
        return self


class Range(Strict):
    """One dimension of a search space: a range of numbers, or choices."""

    low: float | None = None
    high: float | None = None
    log: bool = False
    step: float | None = None
    integer: bool = False
    choices: tuple[str | int | float | bool | None, ...] | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> "Range":
        if self.choices is not None:
            if not self.choices or self.model_fields_set != {"choices"}:
                raise ValueError("give either `choices` alone (one or more), or both `low` and `high`")
            return self
        if self.low is None or self.high is None:
            raise ValueError("give either `choices`, or both `low` and `high`")
        if not -math.inf < self.low <= self.high < math.inf:
            raise ValueError(f"low must be a number <= high, got {self.low} and {self.high}")
        if self.log and self.step is not None:
            raise ValueError("`log` and `step` exclude each other")
        if self.log and self.low < (1 if self.integer else math.ulp(0)):
            raise ValueError(f"a `log` range starts {'at 1 or above' if self.integer else 'above 0'}, got {self.low}")
        whole = [self.low, self.high, 1.0 if self.step is None else self.step]
        if self.integer and not all(value.is_integer() for value in whole):
            raise ValueError(f"an `integer` range has whole numbers, got {self.low} and {self.high}")
        return self


class VariantConfig(Strict):
    """One competitor: a model with its parameters, and what of them is searched.

    A searched name may be a place inside a parameter, such as `candidates.0.m` or `ranker.n_trees` of a pipeline.
    trials: instead of `tuning.trials`, for what costs more to fit than the others.
    """

    model: str
    params: dict[str, Any] = Field(default_factory=dict)
    search: dict[str, Range] = Field(default_factory=dict)
    trials: Annotated[int, Field(ge=1)] | None = None
    parts: tuple[str, ...] = ()

    @field_validator("model")
    @classmethod
    def _known(cls, name: str) -> str:
        return _named(MODELS, name, "model")

    @model_validator(mode="after")
    def _parts_of_a_fusion(self) -> "VariantConfig":
        if (self.model == "fusion") != bool(self.parts):
            raise ValueError("a fusion names its `parts` (other variants), and only a fusion does")
        return self

    @model_validator(mode="after")
    def _parameters_exist(self) -> "VariantConfig":
        own = {field.name: field for field in fields(lookup(MODELS, self.model, "model")) if field.init}
        if self.parts:  # the weights are searched in any case, and the lists that a trial merges are of one depth
            own = {name: own[name] for name in ("rule", "smoothing", "sharpness")}
        for name in self.search:
            _named(own, name.partition(".")[0], f"searched parameter of {self.model!r}")
        for name in self.params:
            _named(own | ({"depth": None} if self.parts else {}), name, f"parameter of {self.model!r}")
        stand_in = {"parts": [{"model": "popularity"}]} if self.parts else {}
        given = {**self.params, **stand_in}
        _created(self.model, given)
        for name, axis in self.search.items():
            if "." in name:  # only a model that is made of others can tell whether the place exists
                for end in axis.choices or (axis.low, axis.high):
                    whole = axis.integer and end is not None
                    _created(self.model, placed(given, {name: int(end) if whole else end}))  # type: ignore[arg-type]
        return self


class FallbackConfig(Strict):
    """Who fills the places that a model leaves empty, which are all those of a newcomer: the same for every variant.

    In a market that moves, popularity of the last days is far better for them than that of all times.
    """

    model: str = "popularity"
    params: dict[str, Any] = Field(default_factory=dict)

    @field_validator("model")
    @classmethod
    def _serves_everybody(cls, name: str) -> str:
        family = lookup(MODELS, _named(MODELS, name, "model"), "model").family
        if family != "non-personal":
            raise ValueError(f"{name} is {family}: a fallback serves whom nobody knows, as popularity does")
        return name

    @model_validator(mode="after")
    def _parameters_exist(self) -> "FallbackConfig":
        self.create()
        return self

    def create(self) -> Recommender:
        """The model, not fitted yet."""
        return create(self.model, **self.params)


class EvaluationConfig(Strict):
    """What is measured at which cut-offs, and which metric leads; level: the confidence of every interval."""

    metric: str = "ndcg"
    k: Annotated[int, Field(ge=1)] = 10
    ks: tuple[Annotated[int, Field(ge=1)], ...] = (5, 10, 20)
    metrics: tuple[str, ...] = (*METRICS, *CATALOGUE_METRICS)
    level: Annotated[float, Field(gt=0.5, lt=1)] = 0.95

    @field_validator("metric")
    @classmethod
    def _leads_per_user(cls, name: str) -> str:
        return _named(METRICS, name, "metric")

    @field_validator("metrics")
    @classmethod
    def _all_known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(_named(METRICS | CATALOGUE_METRICS, name, "metric") for name in names)

    @property
    def leading(self) -> str:
        """The name of the leading metric with its cut-off, such as `ndcg_10`."""
        return f"{self.metric}_{self.k}"


class TuningConfig(Strict):
    """How much is searched. Trials are drawn in batches, so the result does not depend on how many workers there are.

    batch: trials drawn at once from what is known so far; workers: processes that fit them.

    objectives: two or three metrics that a search weighs against each other, the leading one first, at the cut-off of
    the evaluation (none: the leading one alone). What becomes the parameters of a variant is, of the trials that no
    other beats in everything, the best on the leading metric; or, with `within` (a share, .02 for 2%), of those that
    lose no more than that of the best leading metric the best on the second one. pruning is of a single objective:
    Optuna stops no trial early that has several.
    """

    trials: Annotated[int, Field(ge=1)] = 20
    batch: Annotated[int, Field(ge=1)] = 4
    workers: Annotated[int, Field(ge=1)] = 2
    pruning: bool = True
    objectives: tuple[str, ...] = ()
    within: Annotated[float, Field(ge=0, lt=1)] | None = None

    @field_validator("objectives")
    @classmethod
    def _weighed(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            _named(METRICS | CATALOGUE_METRICS, name, "metric")
        if names and (len(set(names)) != len(names) or not 2 <= len(names) <= 3):
            raise ValueError(f"give two or three different metrics, or none for the leading one alone, got {names}")
        return names

    @model_validator(mode="after")
    def _within_several(self) -> "TuningConfig":
        if self.within is not None and not self.objectives:
            raise ValueError("`within` chooses between several `objectives`, and there are none; name them")
        return self


class BacktestConfig(Strict):
    """The moments of the past at which `bakeoff backtest` repeats the bake-off; see recsys.data.windows.rolling.

    every: from one window to the next, a duration or a share of the rows; size: how much of the log a window judges by
    (none: up to the next one); validation: so many windows before the first one are what is tuned on.
    """

    windows: Annotated[int, Field(ge=1)] = 8
    every: Length = 0.03
    size: Length | None = None
    validation: Annotated[int, Field(ge=1)] = 3

    @model_validator(mode="after")
    def _apart(self) -> "BacktestConfig":
        check_lengths(self.every, self.size)
        return self


class WorldConfig(Strict):
    """Who answers the slates: the truth of the synthetic market, or a response model fitted on the real log.

    dimensions, target_ctr: of the fitted response model; the synthetic market brings its own truth.
    """

    response: Literal["market", "fitted"] = "market"
    dimensions: Annotated[int, Field(ge=2)] = 16
    target_ctr: Annotated[float, Field(gt=0, lt=1)] = 0.05


class ExperimentConfig(Strict):
    """The A/B test between two variants of the bake-off.

    control: `champion` for the version that serves now, or a variant; incumbent: the variant that serves before there
    is a champion; treatment: a variant. A variant is its name, or `best` or `runner_up` of the leaderboard. k: items
    shown in a slate; planned_units: the sample that was planned, over all arms; promote: let a `ship` move the
    champion alias at once.
    """

    control: str = "champion"
    incumbent: str = "runner_up"
    treatment: str = "best"
    title: str = ""
    hypothesis: str = ""
    traffic: Annotated[float, Field(gt=0, le=1)] = 1.0
    days: Annotated[int, Field(ge=1)] = 21
    planned_units: Annotated[int, Field(ge=2)] | None = None
    k: Annotated[int, Field(ge=1)] = 10
    metrics: Annotated[tuple[Metric, ...], BeforeValidator(_metrics)]
    decision: Annotated[DecisionRule, BeforeValidator(_rule)] = DecisionRule()
    analysis: Annotated[AnalysisPlan, BeforeValidator(_plan)] = AnalysisPlan()
    world: WorldConfig = WorldConfig()
    promote: bool = True

    @property
    def first_champion(self) -> str:
        """The variant that becomes champion while there is none: what the control stands for."""
        return self.incumbent if self.control == CHAMPION else self.control


class BakeoffConfig(Strict):
    """Everything of one bake-off, from the log to the promotion."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
    seed: Annotated[int, Field(ge=0)] = 0
    data: DataConfig
    split: SplitConfig = SplitConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    tuning: TuningConfig = TuningConfig()
    variants: Annotated[dict[str, VariantConfig], Field(min_length=1)]
    fallback: FallbackConfig = FallbackConfig()
    backtest: BacktestConfig = BacktestConfig()
    experiment: ExperimentConfig | None = None

    @model_validator(mode="after")
    def _leading_first(self) -> "BakeoffConfig":
        leading, objectives = self.evaluation.metric, self.tuning.objectives
        if objectives and objectives[0] != leading:
            raise ValueError(f"tuning.objectives must begin with the leading metric {leading!r}, got {objectives[0]!r}")
        return self

    @model_validator(mode="after")
    def _names_exist(self) -> "BakeoffConfig":
        for name, variant in self.variants.items():
            for part in variant.parts:
                _named(self.variants, part, f"part of {name!r}, variant")
                if self.variants[part].parts:
                    raise ValueError(f"variant {name!r} fuses {part!r}, which is a fusion itself")
        if self.experiment is not None:
            known = dict.fromkeys([*self.variants, *PLACES])
            _named(known | {CHAMPION: None}, self.experiment.control, "variant")
            _named(known, self.experiment.incumbent, "variant")
            _named(known, self.experiment.treatment, "variant")
        return self


def load(path: Path, overrides: Sequence[str] = ()) -> BakeoffConfig:
    """The configuration in `path`, with `key.path=value` overrides applied and everything checked.

    Other files may be named where REFERENCES says; `${NAME}` in a text is replaced by the environment variable.
    """
    return parse(BakeoffConfig, path, overrides)


def load_data(path: Path, folder: Path | None = None, overrides: Sequence[str] = ()) -> DataConfig:
    """The data part of a configuration: of a whole one, or of a file that holds nothing else."""
    if "source" in read_tree(path):
        return parse(DataConfig, path, [*folder_override(folder, "params.folder"), *overrides])
    return load(path, [*folder_override(folder), *overrides]).data


def folder_override(folder: Path | None, key: str = "data.params.folder") -> list[str]:
    """The override that a `--data FOLDER` stands for."""
    return [] if folder is None else [f"{key}={folder.expanduser().resolve()}"]
