"""From reduced numbers to a readout: arms, validity, effects, their history and what to beware of. Pure."""

from collections.abc import Sequence
from datetime import datetime

import numpy as np

from abtest.analysis import health, validity
from abtest.analysis.compare import compare_all, compare_segments, of
from abtest.analysis.corrections import correct
from abtest.analysis.found import Found
from abtest.analysis.guardrails import with_margins
from abtest.analysis.looks import history
from abtest.analysis.reduction import ByVariant, Reduced
from abtest.analysis.segments import differences, drawn_together, largest_segments
from abtest.statistics import srm
from abtest.statistics.moments import Moments
from abtest.types import Arm, Check, Experiment, Metric, Readout, Sample


def build(
    experiment: Experiment,
    found: Found,
    *,
    as_of: datetime,
    level: float,
    srm_alpha: float,
    log: health.Log | None = None,
    checks: Sequence[Check] = (),
) -> Readout:
    """The readout of an experiment whose units were reduced; log: what the events themselves looked like; checks:
    those that needed the events."""
    reduced, seen = found.reduced, arms(experiment, found.reduced)
    ratio = srm.check([arm.units for arm in seen], [arm.share for arm in seen], srm_alpha)
    whole = compare_all(experiment, found, level)  # before small segments are dropped: strata are all units
    found, hidden = largest_segments(found)
    parts = compare_segments(experiment, found, level)
    corrected = correct([*whole, *parts], experiment, reduced.moments, level)
    every_check = (
        validity.of_ratio(ratio),
        *checks,
        *validity.of_segments(experiment, found.counts, srm_alpha),
        *validity.of_covariates(experiment, found, srm_alpha),
        *validity.of_extremes(found),
        *validity.of_interference(experiment),
    )
    said = [
        *health.warnings(experiment, seen, reduced, log, as_of),
        *health.of_waiting(found.metrics, reduced),
        *hidden,
    ]
    said += [check.says for check in every_check if check.alarm and check.name != "sample ratio"]
    first, last = (log.first, log.last) if log else (None, None)
    return Readout(
        experiment=experiment.key,
        as_of=as_of,
        control=experiment.variants[0].name,
        first=first,
        last=last,
        arms=seen,
        srm=ratio,
        effects=with_margins(corrected[: len(whole)], level),
        daily=history(experiment, found, level, as_of),
        multi_variant_units=reduced.several,
        planned_units=experiment.planned_units,
        ends=experiment.ends,
        warnings=tuple(said),
        samples=samples(experiment, found.metrics, reduced.moments),
        segments=drawn_together(corrected[len(whole) :]),
        interactions=differences(corrected[len(whole) :], experiment.analysis),
        checks=every_check,
        analysis=experiment.analysis,
    )


def arms(experiment: Experiment, reduced: Reduced) -> tuple[Arm, ...]:
    """The arms as planned, with what they got; the shares sum to 1."""
    total = sum(variant.weight for variant in experiment.variants)
    return tuple(
        Arm(
            variant=variant.name,
            share=variant.weight / total,
            units=reduced.units.get(variant.name, 0),
            exposures=reduced.slates.get(variant.name, 0),
        )
        for variant in experiment.variants
    )


def samples(experiment: Experiment, metrics: Sequence[Metric], moments: ByVariant) -> tuple[Sample, ...]:
    """The statistics behind the effects, as plain numbers; quantiles have none."""
    return tuple(
        Sample(
            metric=metric.name,
            variant=variant.name,
            columns=found.columns,
            units=int(found.n),
            mean=tuple(found.mean.tolist()),
            comoment=tuple(map(tuple, found.comoment.tolist())),
        )
        for metric in metrics
        if metric.kind != "quantile"
        for variant in experiment.variants
        for found in [of(moments, metric, variant.name)]
    )


def moments_of(sample: Sample) -> Moments:
    """The Moments that a stored sample was made of, to plan from or to compute again."""
    return Moments(sample.columns, np.array(sample.units), np.array(sample.mean), np.array(sample.comoment))
