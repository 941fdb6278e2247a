"""What of a readout may be read now, and whether its verdict still holds."""

from collections.abc import Sequence
from dataclasses import replace

from abtest.analysis.decide import complete, evidence
from abtest.analysis.looks import SPENDING
from abtest.types import Comparison, Decision, Readout
from dashboards.numbers import label, percent
from experiments.store import Record

ROLES = ("primary", "secondary", "guardrail", "diagnostic")


def withheld(readout: Readout, decision: Decision | None) -> str:
    """Why the effects must not be read; empty when they may."""
    if readout.srm.alarm:
        return "the traffic was not split as planned, so the variants' users cannot be compared."
    fatal = [check.says for check in readout.checks if check.fatal]
    if fatal:
        return f"a check of validity failed. {' '.join(fatal)}"
    if decision is not None and decision.verdict == "invalid":
        return "the experiment was judged invalid; the reasons stand under the verdict."
    return ""


def overruled(readout: Readout, decision: Decision) -> bool:
    """Whether a check of validity failed after a verdict that did not know it."""
    return invalid(readout) and decision.verdict != "invalid"


def invalid(readout: Readout) -> bool:
    """Whether the data itself forbids reading the effects."""
    return readout.srm.alarm or any(check.fatal for check in readout.checks)


def outdated(readout: Readout, decision: Decision) -> bool:
    """Whether the decision was made on an earlier readout."""
    return decision.at < readout.as_of


def readable(readout: Readout) -> tuple[Comparison, ...]:
    """The comparisons that may be acted on now, primary metrics first and guardrails last."""
    return tuple(sorted(evidence(readout), key=lambda comparison: ROLES.index(comparison.metric.role)))


def without_covariates(comparisons: Sequence[Comparison]) -> tuple[Comparison, ...]:
    """The same comparisons as they would be without CUPED; those that used none stay as they are."""
    return tuple(
        one if one.unadjusted is None else replace(one, effect=one.unadjusted, adjusted_p=None, adjusted_ci=None)
        for one in comparisons
    )


def by_segment(readout: Readout) -> dict[str, tuple[Comparison, ...]]:
    """The effects by segment, one group per metric and attribute, named for people; primary metrics first."""
    groups: dict[str, list[Comparison]] = {}
    for one in sorted(readout.segments, key=lambda comparison: ROLES.index(comparison.metric.role)):
        assert one.segment is not None, "segments hold comparisons by segment"
        attribute = one.segment.name.removeprefix("context.").replace("_", " ")
        groups.setdefault(f"{label(one.metric.name)} by {attribute}", []).append(one)
    return {name: tuple(found) for name, found in groups.items()}


def intervals(readout: Readout) -> str:
    """Which intervals `readable` has, in a sentence."""
    if not readout.effects:
        return ""
    level = percent(readout.effects[0].effect.level, 0)
    early = bool(readout.daily) and not complete(readout)
    if readout.analysis.sequential in SPENDING and readout.daily:
        return f"{level} intervals of the latest planned look; they hold over all planned looks together."
    if early and readout.analysis.sequential == "none":
        return f"{level} intervals of a test that is to be read once, at its planned end: do not stop on them."
    if early:
        return f"{level} always-valid intervals: they may be looked at every day until the planned sample is in."
    return f"{level} intervals of the whole sample."


def legend(comparisons: Sequence[Comparison]) -> str:
    """What is drawn beside the intervals, in sentences after the one of `intervals`; empty where nothing is."""
    thin = " Thin lines: corrected for all questions asked." if any(c.adjusted_ci for c in comparisons) else ""
    guarded = any(c.metric.role == "guardrail" for c in comparisons)
    return f"{thin} A grey tick marks a guardrail's margin." if guarded else thin


def undecided(record: Record) -> str:
    """Why an experiment has no verdict, in a sentence."""
    if record.decision is not None:
        return "The verdict given earlier no longer holds."
    stopped = record.definition.experiment.status == "stopped"
    return "Stopped before a verdict." if stopped else "Not decided yet."
