"""Experiments that were run elsewhere: a file names the table, its columns and what to ask of it."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from abtest.analysis.analyse import analyse_units
from abtest.analysis.decide import decide
from abtest.analysis.engine import opened
from abtest.analysis.metrics import load_metrics
from abtest.analysis.summaries import ARM, Columns, Course, analyse_summaries
from abtest.analysis.tables import variants_of
from abtest.statistics import sequential
from abtest.types import AnalysisPlan, Decision, DecisionRule, Experiment, Metric, Readout, Variant
from bakeoff.catalogue import check_name
from experiments.reading import Strict, parse, read_tree


def _metrics(tree: Any) -> tuple[Metric, ...]:
    return load_metrics(tree if isinstance(tree, dict) and set(tree) == {"metrics"} else {"metrics": tree})


def _known_keys(kind: type[Any]) -> Any:
    known = {field.name: field for field in fields(kind)}

    def checked(tree: Any) -> Any:
        for key in tree if isinstance(tree, Mapping) else ():
            try:
                check_name(known, str(key), "key")
            except LookupError as error:  # pydantic collects ValueErrors only
                raise ValueError(str(error)) from None
        return tree

    return checked


Plan = Annotated[AnalysisPlan, BeforeValidator(_known_keys(AnalysisPlan))]
Rule = Annotated[DecisionRule, BeforeValidator(_known_keys(DecisionRule))]


class TableConfig(Strict):
    """A table with one row per unit.

    table: CSV or Parquet; unit: the column of the unit's id, which must not repeat; variant: the column that names the
    variant; control: its name in there; weights: variant -> planned share, equal shares where none are given. Metrics
    name columns as numerator, denominator and covariate.
    """

    title: str
    table: str
    unit: str | None = None
    variant: str = "variant"
    control: str
    weights: dict[str, Annotated[float, Field(ge=0)]] | None = None
    planned_units: Annotated[int, Field(ge=2)] | None = None
    metrics: Annotated[tuple[Metric, ...], BeforeValidator(_metrics)]
    analysis: Plan = AnalysisPlan(sequential="none")
    decision: Rule = DecisionRule()


class ColumnsConfig(Strict):
    """The columns of a table of summaries; per arm those of units, mean and variance."""

    experiment: tuple[str, ...]
    metric: str
    time: str
    control: dict[str, str]
    treatment: dict[str, str]

    @model_validator(mode="after")
    def _whole_arms(self) -> "ColumnsConfig":
        for name in ("control", "treatment"):
            if set(getattr(self, name)) != set(ARM):
                raise ValueError(f"{name} needs the columns of {', '.join(ARM)}, got {', '.join(getattr(self, name))}")
        return self

    def columns(self) -> Columns:
        """The same for the analysis."""
        arms = {name: tuple(getattr(self, name)[part] for part in ARM) for name in ("control", "treatment")}
        return Columns(experiment=self.experiment, metric=self.metric, time=self.time, **arms)


class SummariesConfig(Strict):
    """A table of summaries: one row per experiment, metric and checkpoint, cumulative.

    names: metric -> how it is called; planned_units: what the always-valid tests are tuned to; show: the experiments
    that are printed, all where none are named. What is counted is counted over all.
    """

    title: str
    summaries: str
    columns: ColumnsConfig
    names: dict[str, str] = Field(default_factory=dict)
    planned_units: Annotated[float, Field(ge=1)] = sequential.UNPLANNED
    show: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Analysed:
    """What came of a table of units."""

    title: str
    readout: Readout
    decision: Decision | None
    metrics: tuple[Metric, ...]


@dataclass(frozen=True, eq=False, kw_only=True)
class Courses:
    """What came of a table of summaries: all courses, and the experiments to show."""

    title: str
    courses: tuple[Course, ...]
    names: Mapping[str, str]
    show: tuple[str, ...]
    planned: float


def run(path: Path, at: datetime) -> Analysed | Courses:
    """The analysis that a file describes: of a table of units (`table:`) or of summaries (`summaries:`)."""
    if "summaries" in read_tree(path):
        return of_summaries(parse(SummariesConfig, path))
    return of_table(parse(TableConfig, path), path.stem, at)


def of_table(config: TableConfig, key: str, at: datetime) -> Analysed:
    """The readout of a table of units, and the decision where a metric is primary."""
    if config.unit is not None:
        _check_units(config.table, config.unit)
    experiment = Experiment(
        key=key,
        variants=_variants(config),
        metrics=tuple(metric.name for metric in config.metrics),
        planned_units=config.planned_units,
        analysis=config.analysis,
    )
    readout = analyse_units(experiment, config.metrics, config.table, as_of=at, variant=config.variant)
    decides = any(metric.role == "primary" for metric in config.metrics)
    decision = decide(readout, config.decision, at) if decides else None
    return Analysed(title=config.title, readout=readout, decision=decision, metrics=config.metrics)


def of_summaries(config: SummariesConfig) -> Courses:
    """The courses of a table of summaries."""
    found = analyse_summaries(config.summaries, config.columns.columns(), planned=config.planned_units)
    known = dict.fromkeys(course.experiment for course in found)
    shown = tuple(check_name(known, name, "experiment") for name in config.show) or tuple(known)
    return Courses(
        title=config.title, courses=tuple(found), names=config.names, show=shown, planned=config.planned_units
    )


def _variants(config: TableConfig) -> tuple[Variant, ...]:
    """The control, then the others: those with a weight, or all that the table names."""
    weights = config.weights or dict.fromkeys(variants_of(config.table, config.variant), 1.0)
    check_name(weights, config.control, "variant")
    names = (config.control, *(name for name in weights if name != config.control))
    total = sum(weights.values())
    if not total > 0:
        raise ValueError(f"weights must have a sum above 0, got {weights}")
    return tuple(Variant(name=name, weight=weights[name] / total) for name in names)


def _check_units(table: str, unit: str) -> None:
    """Refuse a table in which a unit stands twice: its rows would count as independent units."""
    with opened({"units": table}) as (found,):
        if unit not in found.columns:
            raise ValueError(f"units lacks the column {unit}, which names the unit; it has {', '.join(found.columns)}")
        (row,) = found.agg(rows=found.count(), units=found[unit].nunique()).to_pyarrow().to_pylist()
    if row["rows"] > row["units"]:
        raise ValueError(f"units: {row['rows']:,} rows of {row['units']:,} different {unit}; make one row of each")
