"""From a readout to a verdict with reasons. Pure.

What may be looked at when, is the plan's to say. With a confidence sequence: until the experiment is complete (the
planned sample is in, or its planned end has passed) the always-valid effects of the last day count; then the
fixed-sample effects. With planned looks: those of the last look, at the end too, for the error rate has been spent
along the way. With neither: nothing before it is complete. Without any plan it is never complete. A readout without a
history (a plain table) has only fixed-sample effects.

- invalid: the sample ratio does not match, or another check of validity is fatal. Nothing else is read.
- stop: every treatment harms, early too: a primary metric is worse (corrected over primaries and arms, as planned), or
  a guardrail is broken, its whole relative interval being beyond the margin. Or: it is complete and none is better.
- continue: fewer than min_units or min_days, the planned sample not in, or nothing decided and nothing planned.
- ship: a treatment is better on a primary metric, worse on none, and breaks no guardrail. A guardrail holds when the
  bad end of its interval is within the margin; one that neither holds nor is broken is said to be open, and blocks
  where the rule demands non-inferiority. Of several such treatments, the one with the best estimate on the first
  primary metric. With an expected loss in the rule, better means that choosing wrongly is expected to cost less.
"""

import math
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from abtest.analysis.corrections import ASKED, WORDS, adjust
from abtest.analysis.looks import SPENDING
from abtest.analysis.words import (
    effect_sentence,
    is_better,
    label,
    p_words,
    percent,
    ratio_sentence,
    sample_sentence,
    sizes,
)
from abtest.types import Comparison, Decision, DecisionRule, Readout, Verdict

Guard = Literal["holds", "broken", "open"]


@dataclass(frozen=True, kw_only=True)
class Case:
    """What speaks for and against one treatment; `better` and `worse` are primaries after the plan's correction.

    open: guardrails that are not shown to hold, where the rule demands it.
    """

    variant: str
    primaries: tuple[Comparison, ...]
    better: tuple[Comparison, ...]
    worse: tuple[Comparison, ...]
    broken: tuple[Comparison, ...]
    open: tuple[Comparison, ...]
    reasons: tuple[str, ...]

    @property
    def harms(self) -> bool:
        """Whether it should be turned off."""
        return bool(self.worse or self.broken)


def decide(readout: Readout, rule: DecisionRule, at: datetime) -> Decision:
    """The verdict on an experiment, with its reasons in sentences."""
    verdict, winner, reasons = _verdict(readout, rule)
    return Decision(experiment=readout.experiment, verdict=verdict, winner=winner, reasons=reasons, rule=rule, at=at)


def _verdict(readout: Readout, rule: DecisionRule) -> tuple[Verdict, str | None, tuple[str, ...]]:
    ratio, sample = ratio_sentence(readout.srm), sample_sentence(readout)
    if readout.srm.alarm or readout.srm.p_value < rule.srm_alpha:
        return "invalid", None, (ratio, "Its effects may come from who was counted, not from what they saw.")
    fatal = tuple(check.says for check in readout.checks if check.fatal)
    if fatal:
        return "invalid", None, (*fatal, "Its effects may come from who was counted, not from what they saw.")
    units, least = sum(arm.units for arm in readout.arms), max(rule.min_units, 1)
    if units < least:
        return "continue", None, (f"Too few units to judge: {units:,} of at least {least:,}.",)
    cases = judge(readout, rule)
    if not any(case.primaries for case in cases):
        return "continue", None, ("No primary metric is defined, so there is nothing to decide on: name one.",)

    told = tuple(reason for case in cases for reason in case.reasons)
    if all(case.harms for case in cases) and may_look(readout):
        return "stop", None, (*told, ratio, sample)
    if may_look(readout):
        told += tuple(f"Turn {case.variant} off now: it harms." for case in cases if case.harms)
    waiting = still_to_come(readout, rule)
    if waiting:
        return "continue", None, (*told, ratio, *waiting)
    winners = [case for case in cases if case.better and not case.harms and not case.open]
    if winners:
        best = max(winners, key=_gain)  # the first of equals, in the order in which the experiment names them
        others = tuple(reason for case in cases if case is not best for reason in case.reasons)
        return "ship", best.variant, (*best.reasons, *others, ratio, sample)
    if not complete(readout):
        return "continue", None, (*told, ratio, sample, "Without a planned sample, no difference looks like no data.")
    if all(math.isnan(primary.effect.p_value) for case in cases for primary in case.primaries):
        return "continue", None, (*told, ratio, sample)
    return "stop", None, (*told, "No variant is shown to be better, and no more data is planned.", ratio, sample)


def judge(readout: Readout, rule: DecisionRule) -> tuple[Case, ...]:
    """The case of every treatment, in the order in which the experiment names them."""
    found = evidence(readout)
    primaries = [comparison for comparison in found if comparison.metric.role == "primary"]
    adjusted = _adjusted(primaries, readout)
    asked = dict(zip(map(_key, primaries), adjusted, strict=True))
    treatments = [arm.variant for arm in readout.arms if arm.variant != readout.control]
    return tuple(
        _case(variant, [comparison for comparison in found if comparison.variant == variant], asked, readout, rule)
        for variant in treatments
    )


def evidence(readout: Readout) -> tuple[Comparison, ...]:
    """The comparisons that may be acted on now: the last day's always-valid ones, the last look's, or the whole's."""
    plan = readout.analysis.sequential
    if not readout.daily or plan == "none" or (complete(readout) and plan not in SPENDING):
        return readout.effects
    latest = {_key(comparison): comparison for comparison in readout.daily}  # days ascend: the last one stays
    return tuple(latest.get(_key(comparison), comparison) for comparison in readout.effects)


def complete(readout: Readout) -> bool:
    """Whether the experiment has what was planned for it: its units, or its time."""
    planned = readout.planned_units
    enough = planned is not None and sum(arm.units for arm in readout.arms) >= planned
    return enough or (readout.ends is not None and readout.as_of >= readout.ends)


def may_look(readout: Readout) -> bool:
    """Whether the plan allows acting now: with fixed-sample effects only, not before the planned sample is in."""
    planned = readout.planned_units is not None or readout.ends is not None
    return readout.analysis.sequential != "none" or complete(readout) or not planned


def still_to_come(readout: Readout, rule: DecisionRule) -> tuple[str, ...]:
    """What must be waited for before anything is shipped, in sentences; empty when nothing."""
    waiting = []
    if readout.first and readout.last:
        days = (readout.last.date() - readout.first.date()).days + 1
        if days < rule.min_days:
            waiting.append(f"Only {days} of at least {rule.min_days:g} days are in.")
    if readout.planned_units is not None and not complete(readout):
        waiting.append(sample_sentence(readout))
    if not may_look(readout):
        waiting.append("The plan has no early looks: what is seen before its end decides nothing.")
    return tuple(waiting)


def guard(comparison: Comparison) -> Guard:
    """Whether a guardrail holds, is broken, or is open, from the bad end and the good end of its interval."""
    (low, high), margin = comparison.effect.relative_ci, comparison.metric.margin
    if math.isnan(low):  # no relative lift: the control is 0, and the margin of nothing is nothing
        (low, high), margin = comparison.effect.ci, 0.0
    if comparison.metric.direction == "decrease":
        low, high = -high, -low
    return "broken" if high < -margin else "holds" if low > -margin else "open"


def _case(
    variant: str, found: list[Comparison], asked: dict[tuple[str, str], float], readout: Readout, rule: DecisionRule
) -> Case:
    primaries = tuple(comparison for comparison in found if comparison.metric.role == "primary")
    if rule.expected_loss is not None:
        sure = [comparison for comparison in primaries if _risk(comparison, readout) < rule.expected_loss]
    else:
        sure = [comparison for comparison in primaries if asked[_key(comparison)] < rule.alpha]
    guardrails = [comparison for comparison in found if comparison.metric.role == "guardrail"]
    questions = sum(not math.isnan(p) for p in asked.values())
    return Case(
        variant=variant,
        primaries=primaries,
        better=tuple(comparison for comparison in sure if is_better(comparison)),
        worse=tuple(comparison for comparison in sure if not is_better(comparison)),
        broken=tuple(comparison for comparison in guardrails if guard(comparison) == "broken"),
        open=tuple(c for c in guardrails if rule.guardrails == "non_inferior" and guard(c) != "holds"),
        reasons=(
            *(_primary_sentence(one, asked[_key(one)], questions, readout, rule) for one in primaries),
            *_guardrail_sentences(variant, guardrails),
        ),
    )


def _primary_sentence(
    comparison: Comparison, adjusted: float, questions: int, readout: Readout, rule: DecisionRule
) -> str:
    if rule.expected_loss is not None:
        return f"{effect_sentence(comparison, readout.control)} {_risk_sentence(comparison, readout, rule)}"
    alone = comparison.effect.p_value < rule.alpha
    said = effect_sentence(comparison, readout.control, clear=alone)
    if alone and not adjusted < rule.alpha:
        how = WORDS[readout.analysis.correction]
        said += f" With {questions} questions asked at once this is not enough ({p_words(adjusted)} after {how})."
    return said


def _adjusted(primaries: list[Comparison], readout: Readout) -> list[float]:
    """The p-values corrected over primaries and arms. Dunnett's, which needs the estimates, stands in the readout."""
    joint = [comparison.adjusted_p for comparison in primaries if comparison.adjusted_p is not None]
    asked = [comparison.metric.name for comparison in readout.effects if comparison.metric.role in ASKED]
    one_metric = len(set(asked)) == 1 and evidence(readout) == readout.effects
    if readout.analysis.correction == "dunnett" and one_metric and len(joint) == len(primaries):
        return joint
    return adjust([comparison.effect.p_value for comparison in primaries], readout.analysis)


def _risk(comparison: Comparison, readout: Readout) -> float:
    """The expected loss of the likelier choice; NaN, which is below nothing, where there is no posterior."""
    whole = _of_the_whole(comparison, readout)
    if whole.posterior is None:
        return math.nan
    better = is_better(whole)
    return whole.posterior.risk_treatment if better else whole.posterior.risk_control


def _risk_sentence(comparison: Comparison, readout: Readout, rule: DecisionRule) -> str:
    posterior = _of_the_whole(comparison, readout).posterior
    if posterior is None:
        return "The rule is an expected loss, and there is no posterior: set bayesian in the analysis plan."
    return (
        f"The chance that {comparison.variant} is better is {percent(posterior.chance_to_win)}; choosing it wrongly "
        f"costs {percent(posterior.risk_treatment)} on average, and {percent(rule.expected_loss or 0.0)} is tolerated."
    )


def _of_the_whole(comparison: Comparison, readout: Readout) -> Comparison:
    return next((found for found in readout.effects if _key(found) == _key(comparison)), comparison)


def _guardrail_sentences(variant: str, guardrails: list[Comparison]) -> list[str]:
    holding = [label(comparison.metric) for comparison in guardrails if guard(comparison) == "holds"]
    said = [f"Guardrails hold for {variant}: {', '.join(holding)}."] if holding else []
    for comparison in guardrails:
        name, margin = label(comparison.metric), comparison.metric.margin
        size, interval = sizes(comparison)
        tolerated = f"the margin of {percent(margin)}" if margin else "any margin"
        if math.isnan(comparison.effect.p_value):
            said.append(f"Guardrail {name} of {variant} cannot be computed: {comparison.effect.reason}.")
        elif guard(comparison) == "broken":
            said.append(f"Guardrail {name} of {variant} is broken: {size} ({interval}), beyond {tolerated}.")
        elif guard(comparison) == "open":
            said.append(f"Guardrail {name} of {variant} is not shown harmed, nor shown safe: {size} ({interval}).")
    return said


def _gain(case: Case) -> float:
    """The estimate on the first primary metric on which the treatment is better, positive when wanted."""
    comparison = case.better[0]
    effect = comparison.effect
    size = effect.absolute if math.isnan(effect.relative) else effect.relative
    return size if comparison.metric.direction == "increase" else -size


def _key(comparison: Comparison) -> tuple[str, str]:
    return comparison.metric.name, comparison.variant
