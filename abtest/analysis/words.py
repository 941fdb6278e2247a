"""Readouts and decisions in words: the same sentences on the command line and on the dashboard."""

import math
from typing import Literal

from abtest.types import Comparison, Decision, Interaction, Metric, Readout, SampleRatio

SPELLINGS = {"ndcg": "nDCG", "mrr": "MRR", "map": "MAP", "ctr": "CTR", "srm": "SRM", "id": "ID"}
"""Words of names that are abbreviations, as people write them."""

_HEADLINES = {
    "ship": "Ship {winner}.",
    "stop": "Stop the experiment and keep the control.",
    "continue": "Keep the experiment running.",
    "invalid": "Do not read this experiment: it is not valid.",
}
_NEXT_STEPS = {
    "ship": "Promote {winner}, and watch the guardrails after the change.",
    "stop": "Turn the variants off, keep the control, and write down what was learned.",
    "continue": "Leave traffic as it is and look again when more data is in.",
    "invalid": "Find out why traffic is not split as planned, repair it, and start again with a new salt.",
}


_LOOKING = {
    "none": "Fixed-sample tests, to be read once, at the planned end: whoever looks at 28 days and stops at the first "
    "p < 0.05 is wrong 27% of the time, not 5%.",
    "confidence_sequence": "Intervals by day are always valid (a confidence sequence): look whenever you like. The "
    "price is a power of about 50% where a test that is read once has 80%.",
    "obrien_fleming": "Looks are planned (O'Brien-Fleming spending): early ones ask for overwhelming effects, and the "
    "last has a power of about 77% where a test that is read once has 80%.",
    "pocock": "Looks are planned (Pocock spending): early ones may stop, and the last has a power of about 69% where a "
    "test that is read once has 80%.",
    "kim_demets_1": "Looks are planned (Kim-DeMets spending, power 1): spent evenly, and the last has a power "
    "of about 72% where a test that is read once has 80%.",
    "kim_demets_2": "Looks are planned (Kim-DeMets spending, power 2): spent late, and the last has a power of "
    "about 76% where a test that is read once has 80%.",
    "kim_demets_3": "Looks are planned (Kim-DeMets spending, power 3): spent very late, and the last "
    "has a power of about 78% where a test that is read once has 80%.",
}
_CORRECTIONS = {
    "none": "nothing",
    "holm": "Holm",
    "hochberg": "Hochberg",
    "bh": "Benjamini-Hochberg",
    "by": "Benjamini-Yekutieli",
    "dunnett": "Dunnett over arms",
}


def verdict_sentence(decision: Decision) -> str:
    """The verdict in one short sentence."""
    return _HEADLINES[decision.verdict].format(winner=decision.winner)


def next_step(decision: Decision) -> str:
    """What to do now."""
    return _NEXT_STEPS[decision.verdict].format(winner=decision.winner)


def summary(decision: Decision) -> str:
    """Verdict and reasons as one paragraph."""
    return " ".join((verdict_sentence(decision), *decision.reasons))


def effect_sentence(comparison: Comparison, control: str = "control", *, clear: bool | None = None) -> str:
    """What a variant did to a metric, with its size and its doubt.

    "Treatment lifts ctr by 3.1% (95% interval 1.2% to 5.0%)." The size is relative where the relative interval has
    ends, else absolute. clear: whether the difference counts as shown; by default at the effect's own level.
    """
    effect, name = comparison.effect, label(comparison.metric)
    if math.isnan(effect.p_value):
        return f"The effect of {comparison.variant} on {name} cannot be computed: {effect.reason or 'unknown reason'}."
    size, interval = sizes(comparison)
    if not (is_clear(comparison) if clear is None else clear):
        return f"No clear difference in {name} between {comparison.variant} and {control}: {size} ({interval})."
    verb = "lifts" if effect.absolute > 0 else "lowers"
    worse = "" if is_better(comparison) else f", which is worse: {comparison.metric.direction} is wanted"
    return f"{sentence_start(comparison.variant)} {verb} {name} by {size.lstrip('+-')} ({interval}){worse}."


def sizes(comparison: Comparison) -> tuple[str, str]:
    """The signed size of an effect and its interval, in words: ("+3.1%", "95% interval 1.2% to 5.0%")."""
    effect = comparison.effect
    if all(map(math.isfinite, (effect.relative, *effect.relative_ci))):
        size, (low, high), suffix = 100 * effect.relative, (100 * end for end in effect.relative_ci), "%"
    else:
        unit = comparison.metric.unit
        size, (low, high), suffix = effect.absolute, effect.ci, f" {unit}" if unit else ""
    digits = decimals(high - low)
    always = "always-valid " if comparison.day is not None else ""
    ends = f"{number(low, digits)}{suffix} to {number(high, digits)}{suffix}"
    return f"{number(size, digits, sign=True)}{suffix}", f"{100 * effect.level:.4g}% {always}interval {ends}"


def ratio_sentence(srm: SampleRatio) -> str:
    """Whether traffic was split as planned."""
    if math.isnan(srm.p_value):
        return f"The sample ratio cannot be checked: {srm.reason}."
    if not srm.alarm:
        return f"The sample ratio is fine ({p_words(srm.p_value)})."
    return (
        f"The sample ratio does not match the plan: an arm is off by {percent(srm.deviation)} "
        f"({p_words(srm.p_value)}, alarm below {srm.alpha:g})."
    )


def method_sentences(readout: Readout) -> tuple[str, ...]:
    """How the numbers were made, and what looking early costs."""
    plan = readout.analysis
    said = [_LOOKING[plan.sequential]]
    questions = len({(c.metric.name, c.variant) for c in readout.effects if c.adjusted_p is not None})
    if questions > 1:
        said.append(
            f"{questions} questions are asked at once over {' and '.join(plan.family)}: p-values are corrected by "
            f"{_CORRECTIONS[plan.correction]}."
        )
    said += [covariate_sentence(c) for c in readout.effects if c.variance_saved is not None]
    return tuple(said)


def covariate_sentence(comparison: Comparison) -> str:
    """What a covariate, or the strata, were worth."""
    saved, name = comparison.variance_saved or 0.0, f"{label(comparison.metric)} of {comparison.variant}"
    how = "Post-stratification" if comparison.effect.method.startswith("post-stratified") else "CUPED"
    if math.isnan(saved) or saved < 0.005:
        return f"{how} saves next to nothing on {name} ({percent(max(saved, 0.0))} of the variance)."
    return (
        f"{how} saves {percent(saved)} of the variance of {name}: as good as {percent(saved / (1 - saved))} more units."
    )


def interaction_sentence(found: Interaction) -> str:
    """Whether the effect depends on a segment."""
    name, segment = spelled(found.metric), found.segment.removeprefix("context.")
    if math.isnan(found.p_value):
        return f"Whether {name} of {found.variant} differs by {segment} cannot be said: {found.reason}."
    differs = "differs" if found.p_value < 0.05 else "is not shown to differ"
    return f"The effect of {found.variant} on {name} {differs} by {segment} ({p_words(found.p_value)})."


def posterior_sentence(comparison: Comparison) -> str:
    """What to believe of a comparison."""
    posterior = comparison.posterior
    if posterior is None or math.isnan(posterior.chance_to_win):
        return f"There is no posterior for {label(comparison.metric)} of {comparison.variant}."
    return (
        f"{sentence_start(comparison.variant)} is better on {label(comparison.metric)} with a chance of "
        f"{_chance(posterior.chance_to_win)}; shipping it risks {_risk(posterior.risk_treatment)} on average "
        f"({posterior.prior})."
    )


def _chance(share: float) -> str:
    return "more than 99.9%" if share > 0.999 else "less than 0.1%" if share < 0.001 else f"{share:.1%}"


def _risk(share: float) -> str:
    return "less than 0.001%" if share < 1e-5 else percent(share)


def how_sure(comparison: Comparison) -> str:
    """The p-value as a sentence about chance."""
    p = comparison.effect.p_value
    if math.isnan(p):
        return f"Nothing can be said: {comparison.effect.reason or 'the effect cannot be computed'}."
    often = (
        "in more than half of"
        if p > 0.5
        else f"in about 1 of {float(f'{1 / p:.2g}'):,.0f}"
        if p > 1e-9
        else "in less than 1 of a billion"
    )
    return f"If nothing had changed, a gap this large would still show up {often} such experiments."


def sample_sentence(readout: Readout) -> str:
    """How much of the planned sample is there."""
    total = sum(arm.units for arm in readout.arms)
    if readout.planned_units is None:
        return f"{total:,} units so far; no sample was planned."
    if total >= readout.planned_units:
        return f"The planned sample of {readout.planned_units:,} units is reached."
    share = math.floor(100 * total / readout.planned_units)  # 99.9% is not yet 100%
    return f"{total:,} of {readout.planned_units:,} planned units are in ({share}%)."


def is_clear(comparison: Comparison) -> bool:
    """Whether the difference is beyond chance at the effect's own level."""
    return comparison.effect.p_value < 1.0 - comparison.effect.level


def is_better(comparison: Comparison) -> bool:
    """Whether the estimate goes the way that is wanted."""
    return (comparison.effect.absolute > 0) == (comparison.metric.direction == "increase")


def colour(comparison: Comparison) -> Literal["good", "bad", "neutral"]:
    """How to paint an effect, beside its sign and word."""
    if not is_clear(comparison):
        return "neutral"
    return "good" if is_better(comparison) else "bad"


def label(metric: Metric) -> str:
    """A metric's name as one reads it."""
    return spelled(metric.name)


def spelled(name: str) -> str:
    """A name of the code in words: `revenue_per_user` is revenue per user, `ctr` is CTR."""
    return " ".join(SPELLINGS.get(word, word) for word in name.split("_"))


def sentence_start(name: str) -> str:
    """A variant's name at the start of a sentence: plain words are capitalised, names of models stay as they are."""
    return name.capitalize() if name in ("control", "treatment", "challenger", "champion") else name


def percent(share: float) -> str:
    """A share with about two digits that matter: 3.1%, 0.35%, 12%."""
    return f"{number(100 * share, decimals(abs(100 * share)))}%"


def decimals(width: float) -> int:
    """Decimals that show two digits of a width."""
    if not math.isfinite(width) or width == 0:
        return 1
    return min(max(1 - math.floor(math.log10(abs(width))), 0), 12)


def number(value: float, digits: int, *, sign: bool = False) -> str:
    """A number with so many decimals and no minus before zero; an infinite one in words."""
    if not math.isfinite(value):
        return "unknown" if math.isnan(value) else ("without end" if value > 0 else "minus without end")
    rounded = round(value, digits) + 0.0
    return f"{rounded:{'+' if sign and rounded else ''},.{digits}f}"


def p_words(p_value: float) -> str:
    """A p-value as people write it: p = 0.42, p = 0.0016, p < 0.0001."""
    if p_value < 1e-4:
        return "p < 0.0001"
    return f"p = {p_value:.2g}" if p_value < 0.1 else f"p = {p_value:.2f}"
