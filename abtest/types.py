"""The nouns of an experiment. Frozen, without behaviour; checked where they enter (abtest.assignment.plan)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Literal

Status = Literal["draft", "running", "stopped", "decided", "archived"]
MetricKind = Literal["mean", "proportion", "ratio", "quantile", "retention"]
Role = Literal["primary", "secondary", "guardrail", "diagnostic"]
Direction = Literal["increase", "decrease"]
Per = Literal["unit", "event"]
Verdict = Literal["ship", "stop", "continue", "invalid"]
Correction = Literal["none", "holm", "hochberg", "bh", "by", "dunnett"]
Sequential = Literal[
    "none", "confidence_sequence", "obrien_fleming", "pocock", "kim_demets_1", "kim_demets_2", "kim_demets_3"
]
Question = Literal["metrics", "arms", "segments"]
Reason = Literal["split", "traffic", "layer", "inactive", "audience", "holdout", "override"]


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One arm. `payload` is opaque here (the hinge puts a model version in it). The first variant is the control."""

    name: str
    weight: float
    payload: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Layer:
    """Experiments of one layer exclude each other: each owns a range of the layer's buckets, hashed by its salt."""

    name: str
    salt: str


@dataclass(frozen=True, kw_only=True)
class Stage:
    """What was given out before the weights were changed: so much traffic, by these weights, one per variant."""

    traffic: float
    weights: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Holdout:
    """A share in [0, 1] of all units that takes part in no experiment, hashed by a salt of its own.

    since: when it began, or last grew: who is held out now has been since then; baseline: what the held out are given
    meanwhile, opaque here.
    """

    share: float
    salt: str = "holdout"
    since: datetime | None = None
    baseline: Mapping[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, kw_only=True)
class AnalysisPlan:
    """How an experiment is read; written down before any data is seen, for choosing afterwards is a way of peeking.

    correction: of p-values and intervals, over the questions in `family`: metrics (primary and secondary), arms and
    segments; sequential: what makes looking early safe; looks: how many looks share the planned sample, None: one at
    the end of every day; cuped: whether covariates are used where metrics name them; segments: attributes of a unit
    by which effects are also shown ("context.device": of its first slate); stratify: the one of them over which the
    effects of the whole are post-stratified, where a metric has no covariate; bayesian: also posteriors, with a
    normal prior on the relative lift of mean prior_mean and standard deviation prior_sd (None: flat); shared_stock:
    the arms sell from one stock or show one another's content, so that treating one unit touches another.
    """

    correction: Correction = "holm"
    family: tuple[Question, ...] = ("metrics", "arms")
    sequential: Sequential = "confidence_sequence"
    looks: int | None = None
    cuped: bool = True
    segments: tuple[str, ...] = ()
    stratify: str | None = None
    bayesian: bool = False
    prior_mean: float = 0.0
    prior_sd: float | None = None
    shared_stock: bool = False


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """A comparison of variants on the traffic of a unit.

    salt: the seed of the variant hash (default: the key); traffic: the share in [0, 1] of eligible units that take
    part; layer_range: the [start, end) of the layer's [0, 1) that this experiment owns; starts, ends: UTC, end
    excluded; planned_units: the sample that was planned, None when it was not; analysis: how it will be read.

    audience: what the unit's attributes must be, by name: a value, a list of values, or {min, max, not}; a unit whose
    attribute is not known is outside. overrides: testers, unit -> variant; never counted. earlier: the stages before
    the weights were last changed; who was given a variant in one of them keeps it.
    """

    key: str
    variants: tuple[Variant, ...]
    metrics: tuple[str, ...] = ()
    salt: str = ""
    unit: str = "user"
    traffic: float = 1.0
    layer: Layer | None = None
    layer_range: tuple[float, float] = (0.0, 1.0)
    starts: datetime | None = None
    ends: datetime | None = None
    planned_units: int | None = None
    status: Status = "draft"
    analysis: AnalysisPlan = field(default_factory=AnalysisPlan)
    audience: Mapping[str, Any] = field(default_factory=dict, hash=False)
    overrides: Mapping[str, str] = field(default_factory=dict, hash=False)
    earlier: tuple[Stage, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A number per unit, aggregated over a variant.

    kind mean: the mean over units of `numerator`; proportion: the share of units with at least one `numerator`;
    ratio: the sum of `numerator` over the sum of `denominator`; quantile: the `quantile` of `numerator` over
    units, or over single events (per: event), whose variance is that of units with many events each;
    retention: the share of units with a `numerator` from `day` days after the first exposure on, for `window` days.

    Numerator and denominator name a measure of the unit: "exposures", "impressions" (items shown), "distinct_items"
    (different items shown), "context.<key>" (the sum of a number in the slates' context), "<kind>" (how many outcomes
    of the kind) or "<kind>.value" (the sum of their values). where: which of the numerator's events count, by column:
    a value, a list of values, or {min, max}; window: only what happens in so many days after the first exposure.
    cap: the numerator of one unit counts at most this much; cap_quantile: or at most this quantile over all units.

    margin: the relative loss a guardrail tolerates, 0.02 = 2%; mde: the lift one would not like to miss. covariate: a
    column of the unit's attributes known before its first exposure; covariate_days: the same measure over so many
    days before the first exposure; covariates: further columns; all of them take variance out of the effect (CUPED).
    """

    name: str
    kind: MetricKind
    numerator: str
    denominator: str | None = None
    direction: Direction = "increase"
    role: Role = "secondary"
    margin: float = 0.0
    cap: float | None = None
    unit: str = ""
    description: str = ""
    quantile: float | None = None
    per: Per = "unit"
    day: float | None = None
    window: float | None = None
    where: Mapping[str, Any] = field(default_factory=dict, hash=False)
    cap_quantile: float | None = None
    covariate: str | None = None
    covariate_denominator: str | None = None
    covariate_days: float | None = None
    covariates: tuple[str, ...] = ()
    mde: float | None = None


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """Where a unit stands in an experiment; variant None: not part of it, and `reason` says why.

    split: part of it by its hash; override: a tester's variant, not to be counted; traffic, layer, audience, holdout,
    inactive: what it is outside of.
    """

    unit: str
    experiment: str
    variant: str | None
    bucket: int
    reason: Reason = "split"


@dataclass(frozen=True, kw_only=True)
class Exposure:
    """A slate that a unit was shown. `id` is unique for ever: the log keeps the first of each.

    items: outside ids, best place first; scores: the model's, NaN where a fallback filled the place; propensities:
    the probability of each item in its place, empty when nothing was random; context: small JSON values.
    """

    id: str
    unit: str
    experiment: str
    variant: str
    at: datetime
    items: tuple[str, ...] = ()
    scores: tuple[float, ...] = ()
    propensities: tuple[float, ...] = ()
    context: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Something a unit did: a view, click, purchase ... with a value (money, seconds, 1), traced to an exposure."""

    id: str
    unit: str
    kind: str
    at: datetime
    value: float = 1.0
    item: str = ""
    exposure: str = ""


@dataclass(frozen=True, kw_only=True)
class Effect:
    """Treatment against control on one metric. What cannot be computed is NaN, and `reason` says why.

    control, treatment: the metric's value in each arm; absolute = treatment - control, with its standard error and
    interval; relative = absolute / |control|, 0.03 = +3%, with an interval that is (-inf, inf) where the control may
    be 0; level: the intervals' confidence, 0.95; method: how the interval and the p-value were found, in words.
    """

    control: float
    treatment: float
    absolute: float
    relative: float
    se: float
    ci: tuple[float, float]
    relative_ci: tuple[float, float]
    p_value: float
    method: str
    level: float
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Segment:
    """The units whose attribute `name` has this value."""

    name: str
    value: str


@dataclass(frozen=True, kw_only=True)
class Posterior:
    """What to believe of a comparison: the chance that treatment is better, and what choosing wrongly would cost.

    risk_treatment, risk_control: the expected relative loss of choosing that arm; relative: the lift's posterior mean;
    relative_ci: its credible interval.
    """

    chance_to_win: float
    risk_treatment: float
    risk_control: float
    relative: float
    relative_ci: tuple[float, float]
    prior: str
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One row of a readout: an effect and what it is the effect of. day None: the whole experiment.

    adjusted_p, adjusted_ci: after the plan's correction (the interval of the relative lift; of the difference where
    that is NaN), None where none was made; unadjusted, variance_saved: the effect without its covariate and the share
    of variance that the covariate saved; non_inferiority_p: of the guardrail's harm being as large as its margin;
    shrunken: a segment's relative lift, drawn towards the whole's by how sure it is; posterior: on request.
    """

    metric: Metric
    variant: str
    effect: Effect
    day: date | None = None
    segment: Segment | None = None
    adjusted_p: float | None = None
    adjusted_ci: tuple[float, float] | None = None
    unadjusted: Effect | None = None
    variance_saved: float | None = None
    non_inferiority_p: float | None = None
    shrunken: float | None = None
    posterior: Posterior | None = None


@dataclass(frozen=True, kw_only=True)
class Interaction:
    """Whether a metric's effect differs between the segments of an attribute, p-value corrected over all such tests."""

    metric: str
    variant: str
    segment: str
    p_value: float
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Check:
    """One check of an experiment's validity, in words. alarm: look closer; fatal: its effects must not be read."""

    name: str
    says: str
    alarm: bool = False
    fatal: bool = False
    p_value: float | None = None


@dataclass(frozen=True, kw_only=True)
class Sample:
    """What one arm has on one metric, reduced: columns ("numerator", ...), units, means (p), centred products (p, p).

    The sufficient statistics as plain numbers, so that a stored readout can be planned from and computed again.
    """

    metric: str
    variant: str
    columns: tuple[str, ...]
    units: int
    mean: tuple[float, ...]
    comoment: tuple[tuple[float, ...], ...]


@dataclass(frozen=True, kw_only=True)
class Arm:
    """What one variant got: exposed units (seen in this variant only), slates shown, its planned share."""

    variant: str
    share: float
    units: int
    exposures: int


@dataclass(frozen=True, kw_only=True)
class SampleRatio:
    """The check that traffic was split as planned: chi-square over the arms; `alarm` when p is below `alpha`.

    deviation: the largest relative gap between an arm's share and its planned share.
    """

    chi_square: float
    p_value: float
    deviation: float
    alpha: float
    alarm: bool
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Readout:
    """All that is known of an experiment at `as_of`: arms, validity, effects overall and cumulatively by day.

    multi_variant_units: units seen in more than one variant, counted and left out; first, last: the first exposure
    and the last event; daily: cumulative effects of the data up to the end of each day (UTC), with always-valid
    intervals, or with those of the planned looks; samples: the statistics behind `effects`; ends: when the experiment
    was planned to end, if it was; warnings: sentences; segments: the effects by segment, and interactions: whether they
    differ; checks: what was looked at to trust the numbers; analysis: how they were made.
    """

    experiment: str
    as_of: datetime
    control: str
    first: datetime | None
    last: datetime | None
    arms: tuple[Arm, ...]
    srm: SampleRatio
    effects: tuple[Comparison, ...]
    daily: tuple[Comparison, ...] = ()
    multi_variant_units: int = 0
    planned_units: int | None = None
    ends: datetime | None = None
    warnings: tuple[str, ...] = ()
    samples: tuple[Sample, ...] = ()
    segments: tuple[Comparison, ...] = ()
    interactions: tuple[Interaction, ...] = ()
    checks: tuple[Check, ...] = ()
    analysis: AnalysisPlan = field(default_factory=AnalysisPlan)


@dataclass(frozen=True, kw_only=True)
class DecisionRule:
    """When to say what. alpha: of the primary metrics' tests together; srm_alpha: of the sample-ratio alarm.

    Before min_days (calendar days with data, UTC) and min_units (over all arms) nothing is shipped. expected_loss:
    decide by the posterior: ship when the relative loss to expect from a wrong choice is below this on every primary
    metric (needs `bayesian` in the analysis plan); None: by tests. guardrails: "open" lets a guardrail pass that is
    not shown broken; "non_inferior" demands that it is shown to lose less than its margin.
    """

    alpha: float = 0.05
    srm_alpha: float = 0.001
    min_days: float = 7.0
    min_units: int = 100
    expected_loss: float | None = None
    guardrails: Literal["open", "non_inferior"] = "open"


@dataclass(frozen=True, kw_only=True)
class Decision:
    """A verdict with its reasons, in sentences a product manager can read."""

    experiment: str
    verdict: Verdict
    winner: str | None
    reasons: tuple[str, ...]
    rule: DecisionRule
    at: datetime
