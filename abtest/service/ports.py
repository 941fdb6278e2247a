"""What the service is handed, as types: limits, clock, experiments, recommender. It knows nobody who fills them."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol

from abtest.assignment import holdout as apart
from abtest.assignment.assigner import NO_ATTRIBUTES, Assigner
from abtest.assignment.plan import Plan, window
from abtest.types import Assignment, DecisionRule, Experiment, Exposure, Holdout, Metric, Outcome, Variant

Fallback = Literal["", "champion", "popularity"]
Why = Literal["", "error", "deadline", "busy", "missing"]
Action = Literal["create", "start", "ramp", "reweigh", "override", "stop", "resume", "archive", "holdout"]
Observe = Callable[[Sequence[Exposure | Outcome]], Awaitable[None]]
Serves = Callable[[Experiment], bool]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one request may ask for; more is answered with 4xx and the cure.

    body_bytes: of a request; batch: events in one; k: items of a slate; text: characters of an id; context_bytes: of
    a context as JSON; waiting: events that wait for the disk before further ones are sent away; acknowledge_seconds:
    how long a sender waits for the disk; ahead_seconds: how far a sender's clock may be ahead before its event is
    refused, behind which it is only reported.
    """

    body_bytes: int = 1_000_000
    batch: int = 1_000
    k: int = 100
    text: int = 256
    context_bytes: int = 8_192
    waiting: int = 20_000
    acknowledge_seconds: float = 5.0
    ahead_seconds: float = 86_400.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value > 0:
                raise ValueError(f"limits.{name} must be above 0, got {value}")


@dataclass(frozen=True, kw_only=True)
class Clock:
    """now: the time of day, with a zone; ticks: seconds that only grow, for durations."""

    now: Callable[[], datetime]
    ticks: Callable[[], float]


@dataclass(frozen=True, kw_only=True)
class Slate:
    """What is shown to a unit. items: outside ids, best first; scores: NaN where the model had none.

    version: of the model that filled it; fallback: who stood in for the model that was asked, and why; cached:
    whether it was kept from before; explored: the item in the last place, where it was put there to be tried.
    """

    items: tuple[str, ...]
    scores: tuple[float, ...]
    model: str
    version: int | None
    titles: tuple[str, ...] = ()
    propensities: tuple[float, ...] = ()
    fallback: Fallback = ""
    why: Why = ""
    cached: bool = False
    explored: str = ""


class Recommend(Protocol):
    """Fills a slate of k items for a unit by the model that the variant names; variant None: by the champion.

    context: what the request tells of itself. It never fails because a model does. With no model at all it raises
    `abtest.service.problems.Problem` (503).
    """

    def __call__(self, unit: str, k: int, variant: Variant | None, context: Mapping[str, Any]) -> Awaitable[Slate]:
        """The slate."""


class Reasons(Protocol):
    """Why each item may be in a unit's list, one sentence each."""

    def __call__(self, unit: str, slate: Slate, context: Mapping[str, Any]) -> Awaitable[Sequence[str]]:
        """The sentences, one per item."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Snapshot:
    """The experiments at one moment, ready to assign. revision: changes whenever an answer may.

    running: keys of the running ones, oldest start first; serving: those whose variants the recommender can fill;
    variants: (experiment, variant) -> the variant, those of the holdout included; groups: assigns the holdout's own two
    arms, None where nobody is held out; problem: why the newest definitions are not used, "" when they are.
    """

    assigner: Assigner
    revision: str
    running: tuple[str, ...]
    serving: tuple[str, ...]
    variants: Mapping[tuple[str, str], Variant]
    groups: Assigner | None = None
    problem: str = ""

    @classmethod
    def of(
        cls,
        experiments: Sequence[Experiment],
        revision: str,
        *,
        serves: Callable[[Experiment], bool],
        holdout: Holdout | None = None,
        baseline: Mapping[str, Any] | None = None,
        problem: str = "",
    ) -> "Snapshot":
        """The experiments checked together; a ValueError names every problem. baseline: payload of who is held out."""
        plan = Plan(experiments, holdout)
        held = apart.as_experiment(holdout, baseline)
        known = [*plan, held] if held is not None else [*plan]
        running = sorted((e for e in plan if e.status == "running"), key=lambda e: (window(e)[0], e.key))
        return cls(
            assigner=Assigner(plan),
            revision=revision,
            running=tuple(e.key for e in running),
            serving=tuple(e.key for e in running if serves(e)),
            variants={(e.key, v.name): v for e in known for v in e.variants},
            groups=None if held is None else Assigner(Plan([held])),
            problem=problem,
        )

    def assign(
        self, experiment: str, unit: str, at: datetime, attributes: Mapping[str, Any] = NO_ATTRIBUTES
    ) -> Assignment:
        """Where a unit stands in an experiment, or in the holdout by its own key."""
        if experiment == apart.KEY and self.groups is not None:
            return self.groups.assign(experiment, unit, at)
        return self.assigner.assign(experiment, unit, at, attributes)

    def arm_of(self, unit: str, at: datetime) -> str | None:
        """The arm of the holdout that a unit belongs to, None for neither."""
        return None if self.groups is None else self.groups.assign(apart.KEY, unit, at).variant


@dataclass(frozen=True, kw_only=True)
class Draft:
    """An experiment as somebody proposes it: with its metrics, the rule that will decide it, and what it is for."""

    experiment: Experiment
    metrics: tuple[Metric, ...]
    rule: DecisionRule = field(default_factory=DecisionRule)
    title: str = ""
    hypothesis: str = ""


@dataclass(frozen=True, kw_only=True)
class Change:
    """One line of an experiment's audit: who did what when and why. before, after: the fields that changed.

    experiment "": of what belongs to no single one, the holdout.
    """

    at: datetime
    by: str
    experiment: str
    action: Action
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    why: str


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What an action is to change. traffic: of a ramp; weights: variant -> share; overrides: tester -> variant."""

    traffic: float | None = None
    weights: Mapping[str, float] | None = None
    overrides: Mapping[str, str] | None = None


class Experiments(Protocol):
    """Keeps the experiments. Changes are on disk, audited, and in the next snapshot when a method returns.

    An unknown key is a LookupError, a definition that cannot run a ValueError, a move that the state forbids a
    `abtest.service.lifecycle.NotAllowedError`. Methods may block; any thread may call them.
    """

    @property
    def snapshot(self) -> Snapshot:
        """The experiments now; cheap, asked for every request."""

    def drafts(self) -> Sequence[Draft]:
        """Every experiment that is kept, newest first."""

    def draft(self, key: str) -> Draft:
        """One experiment."""

    def create(self, draft: Draft, *, by: str, why: str) -> Draft:
        """Keep a new experiment as a draft."""

    def change(self, key: str, action: Action, *, by: str, why: str, to: "Wanted | None" = None) -> Draft:
        """Start, ramp, reweigh, override, stop, resume or archive an experiment."""

    def audit(self, key: str) -> Sequence[Change]:
        """Everything that was done to it, oldest first."""

    def holdout(self) -> Holdout:
        """The units that take part in nothing; share 0: all may."""

    def hold_out(self, share: float, *, by: str, why: str) -> Holdout:
        """Hold out a share of all units. While something runs it may only become less: that throws nobody out."""

    def holdout_audit(self) -> Sequence[Change]:
        """Everything that was done to the holdout, oldest first."""


@dataclass(frozen=True, kw_only=True)
class Readiness:
    """Whether requests can be answered as they should. problems: in sentences; ready may be true with some."""

    ready: bool
    problems: tuple[str, ...] = ()
    model: str = ""
    champion: int | None = None
    versions: tuple[int, ...] = ()
