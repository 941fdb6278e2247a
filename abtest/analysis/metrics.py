"""Metric definitions: read from YAML or mappings, checked at load."""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, get_args

import yaml

from abtest.types import Direction, Metric, MetricKind, Per, Role
from bakeoff.catalogue import check_name

CHOICES = {"kind": get_args(MetricKind), "role": get_args(Role), "direction": get_args(Direction), "per": get_args(Per)}
OF_EXPOSURES = ("exposures", "impressions", "distinct_items")
CONTEXT = "context."  # "context.diversity" is the sum of that number over the slates
VALUE = ".value"  # "purchase.value" is the sum of the values of purchases

_FIELDS = {field.name: field for field in fields(Metric)}
_REQUIRED = tuple(n for n, f in _FIELDS.items() if f.default is MISSING and f.default_factory is MISSING)
_SHARES = ("quantile", "cap_quantile")
_DAYS = ("day", "window", "covariate_days")
_NUMBERS = ("margin", "cap", "mde", *_SHARES)
_HOURS = {"h": 1.0, "d": 24.0, "w": 168.0}


def load_metrics(source: str | Path | Mapping[str, Any]) -> tuple[Metric, ...]:
    """The metrics of a YAML file, or of a mapping of the same shape, in the order written.

    `metrics:` holds either a list of definitions or a mapping from name to definition:

    >>> load_metrics({"metrics": {"buyers": {"kind": "proportion", "numerator": "purchase"}}})[0].name
    'buyers'
    """
    place, content = _read(source)
    if not isinstance(content, Mapping) or set(content) != {"metrics"}:
        got = sorted(map(str, content)) if isinstance(content, Mapping) else type(content).__name__
        raise ValueError(f"{place}: expected one key, metrics, got {got}")
    definitions = [_metric(place, *entry) for entry in _entries(place, content["metrics"])]
    names = [metric.name for metric in definitions]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{place}: metric {name!r} is defined {names.count(name)} times; give each its own name")
    return tuple(definitions)


def choose(metrics: Sequence[Metric], names: Sequence[str]) -> tuple[Metric, ...]:
    """The metrics that an experiment names, in its order; all where it names none."""
    known = {metric.name: metric for metric in metrics}
    return tuple(known[check_name(known, name, "metric")] for name in names) or tuple(metrics)


def measures(metrics: Sequence[Metric]) -> tuple[str, ...]:
    """The per-unit measures that these metrics need, each once, in order of first use."""
    wanted = [name for metric in metrics for name in (metric.numerator, metric.denominator) if name is not None]
    return tuple(dict.fromkeys(wanted))


def kinds(wanted: Sequence[str]) -> tuple[str, ...]:
    """The kinds of outcome behind some measures."""
    return tuple(dict.fromkeys(name.removesuffix(VALUE) for name in wanted if not of_exposures(name)))


def of_exposures(measure: str) -> bool:
    """Whether a measure is taken of slates, not of outcomes."""
    return measure in OF_EXPOSURES or measure.startswith(CONTEXT)


def _read(source: str | Path | Mapping[str, Any]) -> tuple[str, Any]:
    if isinstance(source, Mapping):
        return "metrics", source
    path = Path(source)
    try:
        return str(path), yaml.load(path.read_text(encoding="utf-8"), Loader=_NoDuplicates)
    except yaml.YAMLError as error:
        raise ValueError(f"{path}: not readable as YAML: {' '.join(str(error).split())}") from error


class _NoDuplicates(yaml.SafeLoader):
    """YAML in which a key given twice is an error, where PyYAML silently keeps the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(problem=f"{key!r} stands twice", problem_mark=node.start_mark)
        return super().construct_mapping(node, deep)


def _entries(place: str, content: Any) -> list[tuple[str, Mapping[str, Any]]]:
    """(where, definition) pairs from either shape."""
    if isinstance(content, Mapping):
        pairs = [(f"metric {str(name)!r}", name, definition) for name, definition in content.items()]
    elif isinstance(content, Sequence) and not isinstance(content, str):
        pairs = [(f"metric {number}", None, definition) for number, definition in enumerate(content, start=1)]
    else:
        raise ValueError(f"{place}: metrics must be a list or a mapping of definitions, got {content!r}")
    for where, _, definition in pairs:
        if not isinstance(definition, Mapping):
            raise ValueError(
                f"{place}: {where}: expected a mapping such as {{kind: mean, numerator: click}}, got {definition!r}"
            )
    return [(where, definition if name is None else {"name": name, **definition}) for where, name, definition in pairs]


def _metric(place: str, where: str, definition: Mapping[str, Any]) -> Metric:
    try:
        return checked(definition)
    except (ValueError, LookupError) as error:
        raise ValueError(f"{place}: {where}: {error.args[0]}") from error


def checked(definition: Mapping[str, Any]) -> Metric:
    """One Metric from its definition, or an error that says what is wrong with it.

    A definition may say `cap: 99%` for cap_quantile, `covariate: {days: 14}` for covariate_days, `covariate: [a, b]`
    for several, `window: 7d`.
    """
    given = _spelled_out(definition)
    for key in given:
        check_name(_FIELDS, str(key), "key")
    for name in _REQUIRED:
        if not given.get(name):
            raise ValueError(f"{name} is missing; needed: {', '.join(_REQUIRED)}")
    for name, allowed in CHOICES.items():
        if name in given and given[name] not in allowed:
            raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {given[name]!r}")
    for name, value in given.items():
        if name in _NUMBERS:
            _check_number(name, value)
        elif name == "where":
            _check_where(value)
        elif name == "covariates":
            if value:
                _check_names(name, value)
        elif name not in _DAYS and value is not None and not isinstance(value, str):
            raise ValueError(f"{name} must be text, got {value!r}")
    days = {name: days_of(given[name], name) for name in _DAYS if given.get(name) is not None}
    metric = Metric(**{**given, **days, "covariates": tuple(given.get("covariates") or ())})
    _check_kind(metric)
    _check_covariate(metric)
    return metric


def days_of(value: Any, name: str) -> float:
    """Days from a number of days, or from text such as 36h, 7d, 2w."""
    if isinstance(value, str) and value[-1:] in _HOURS:
        try:
            days = float(value[:-1]) * _HOURS[value[-1]] / 24.0
        except ValueError:
            days = math.nan
    else:
        days = float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
    if not (math.isfinite(days) and days >= 0 and (days > 0 or name == "day")):
        raise ValueError(f"{name} must be a time > 0 such as 7d, 36h or a number of days, got {value!r}")
    return days


def _spelled_out(definition: Mapping[str, Any]) -> dict[str, Any]:
    """The definition with its short forms written in full."""
    full = dict(definition)
    cap, covariate = full.get("cap"), full.get("covariate")
    if isinstance(cap, str) and cap.endswith("%"):
        try:
            full["cap"], full["cap_quantile"] = None, round(float(cap[:-1]) / 100.0, 12)
        except ValueError:
            raise ValueError(f"cap must be a number or a percentage such as 99.9%, got {cap!r}") from None
    if isinstance(covariate, Mapping):
        if set(covariate) != {"days"}:
            raise ValueError(f"covariate must be a column or {{days: 14}}, got {dict(covariate)!r}")
        full["covariate"], full["covariate_days"] = None, covariate["days"]
    if isinstance(covariate, list | tuple):
        if full.get("covariates"):
            raise ValueError("covariate is a list already: put the covariates in there too")
        _check_names("covariate", covariate)
        full["covariate"], full["covariates"] = covariate[0], covariate[1:]
    return full


def _check_number(name: str, value: Any) -> None:
    if value is None and name != "margin":
        return
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{name} must be a number, got {value!r}")
    if name in _SHARES and not 0 < value < 1:
        raise ValueError(f"{name} must lie strictly between 0 and 1, got {value}")
    if value < 0 or (name in ("cap", "mde") and value == 0):
        raise ValueError(f"{name} must be {'>= 0' if name == 'margin' else '> 0'}, got {value}")
    if name == "margin" and value >= 1:
        raise ValueError(f"margin is a share of the control's value, 0.02 = 2%, got {value}")


def _check_names(name: str, value: Any) -> None:
    sound = isinstance(value, list | tuple) and value and all(isinstance(one, str) and one for one in value)
    if not sound or len(set(value)) < len(value):
        raise ValueError(f"{name} must be a list of different columns, got {value!r}")


def _check_where(where: Any) -> None:
    if not isinstance(where, Mapping):
        raise ValueError(f"where must be a mapping such as {{value: {{min: 10}}, item: [a, b]}}, got {where!r}")
    for column, condition in where.items():
        if isinstance(condition, Mapping):
            ends = [condition[key] for key in condition]
            sound = set(condition) <= {"min", "max"} and ends and all(_is_number(end) for end in ends)
        else:
            values = condition if isinstance(condition, list | tuple) else [condition]
            sound = bool(values) and all(isinstance(value, str | bool) or _is_number(value) for value in values)
        if not (isinstance(column, str) and sound):
            raise ValueError(f"where.{column} must be a value, a list of values or {{min, max}}, got {condition!r}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _check_kind(metric: Metric) -> None:
    if (metric.kind == "ratio") != (metric.denominator is not None):
        cure = "name its denominator" if metric.kind == "ratio" else "drop it, or make the kind ratio"
        raise ValueError(f"kind {metric.kind} with denominator {metric.denominator}: {cure}")
    if (metric.kind == "quantile") != (metric.quantile is not None):
        cure = "give quantile, 0.9 for the ninetieth percentile" if metric.kind == "quantile" else "drop quantile"
        raise ValueError(f"kind {metric.kind} with quantile {metric.quantile}: {cure}")
    if metric.per == "event" and (metric.kind != "quantile" or not metric.numerator.endswith(VALUE)):
        of = metric.numerator if metric.kind == "quantile" else f"a {metric.kind}"
        raise ValueError(f"per event is for a quantile of <kind>.value, got {of}: drop it")
    if (metric.kind == "retention") != (metric.day is not None):
        cure = "give day, 7 for the seventh day" if metric.kind == "retention" else "drop day"
        raise ValueError(f"kind {metric.kind} with day {metric.day}: {cure}")
    capped = metric.cap is not None or metric.cap_quantile is not None
    if capped and metric.kind in ("proportion", "retention"):
        raise ValueError(f"a {metric.kind} counts each unit once: cap does not apply")
    if capped and metric.kind == "quantile":
        raise ValueError("a quantile needs no cap: large values do not move it")
    if metric.cap is not None and metric.cap_quantile is not None:
        raise ValueError("cap and cap_quantile exclude each other: name one")
    if metric.where and metric.numerator in OF_EXPOSURES[1:]:
        raise ValueError(f"where filters outcomes and exposures; it does not apply to {metric.numerator}")


def _check_covariate(metric: Metric) -> None:
    if metric.covariate is not None and metric.covariate_days is not None:
        raise ValueError("covariate and covariate_days exclude each other: name one")
    if metric.covariate_denominator is not None and (metric.covariate is None or metric.kind != "ratio"):
        raise ValueError("covariate_denominator belongs to a ratio with a covariate")
    if metric.covariate_days is not None and of_exposures(metric.numerator):
        raise ValueError(f"covariate_days: there are no {metric.numerator} before the first exposure; name a column")
    if metric.covariates and metric.covariate is None and metric.covariate_days is None:
        raise ValueError("covariates come beside a first one: name it as covariate")
    if metric.covariate in metric.covariates:
        raise ValueError(f"the covariate {metric.covariate} stands twice: name it once")
    if metric.kind == "quantile" and (metric.covariate or metric.covariate_days):
        raise ValueError("a quantile cannot be adjusted for a covariate: drop it")
