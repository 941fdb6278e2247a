"""What comes in and goes out as JSON, with examples: the OpenAPI document is made of these, and so are the checks."""

from datetime import datetime
from typing import Annotated, Any, Literal

import orjson
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, JsonValue, TypeAdapter

from abtest.service.ports import Action
from abtest.types import Reason


def _id(text: str) -> str:
    if text.endswith("\0"):
        raise ValueError("an id must not end with NUL")
    return text


def _plain(tree: dict[str, JsonValue]) -> dict[str, JsonValue]:
    try:
        orjson.dumps(tree)
    except TypeError as error:  # a whole number beyond 64 bits, a tree too deep: half of the world's parsers lose it
        raise ValueError(f"not every JSON reader could read this back: {error}") from None
    return tree


Id = Annotated[str, Field(min_length=1), AfterValidator(_id)]
Overrides = Annotated[dict[Id, Id], Field(max_length=1_000)]
Context = Annotated[dict[str, JsonValue], AfterValidator(_plain)]


class _In(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class _Administration(BaseModel):
    # not strict: FastAPI hands over parsed JSON, in which a time is a text and a pair a list
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class _Out(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class AssignRequest(_In):
    """Who is to be assigned; without an experiment, in all that run. context: the attributes for their audiences.

    The experiment "holdout" tells which arm of the global holdout a unit is in, for callers that log exposures of
    their own: "held out", "everybody else", or none of them.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [{"unit": "u0001", "experiment": "demo-v2-vs-v1"}]})
    unit: Id
    experiment: Id | None = None
    context: Context = Field(default_factory=dict)


class AssignmentAnswer(_Out):
    """Where the unit stands; variant null: not part of the experiment, and `reason` says why.

    reason "override": a tester's variant, whose slates are not to be counted.
    """

    experiment: str
    variant: str | None
    bucket: int = Field(description="Of the variant hash, 0 to 9999; -1 where it was not asked.")
    reason: Reason
    payload: dict[str, Any] = Field(description="What the variant names, such as a model version.")


class AssignAnswer(_Out):
    """One assignment per experiment asked for."""

    unit: str
    assignments: list[AssignmentAnswer]


class RecommendRequest(_In):
    """Whom to fill a slate for.

    Without an experiment, the oldest running one that takes the unit decides which model fills it; a unit in none is
    given the champion's, one that is held out from all of them what was champion when the holdout began. expose: log
    the slate as shown now; false when it may be shown later, or never, and the exposure is sent to /v1/events. Where
    the service explores, the last place of some slates that it logs is given to an item that ranks below them.
    variant: what this variant of the experiment would show, for testers; never logged, as little as what an
    experiment's `overrides` show. context: logged with the slate, and the attributes by which an audience is chosen.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [{"unit": "u0001", "k": 5, "context": {"page": "home"}}]})
    unit: Id
    k: int = Field(default=10, ge=1)
    experiment: Id | None = None
    variant: Id | None = None
    context: Context = Field(default_factory=dict)
    reasons: bool = False
    expose: bool = True


class Place(_Out):
    """One item of a slate; score null where the model had none; reason "" where none was asked for."""

    item: str
    title: str
    score: float | None
    reason: str


class RecommendAnswer(_Out):
    """A slate and who filled it.

    exposure: the id under which the slate is in the log, to be named by outcomes; null when it is in none (not part of
    an experiment, not exposed, or the log could not take it: `logged` false). experiment "holdout": the unit is in no
    experiment, and in one of the two arms by which the global holdout is measured. fallback, why: who stood in for
    the model, and what was wrong with it.
    """

    request_id: str
    unit: str
    experiment: str | None
    variant: str | None
    model: str
    version: int | None
    exposure: str | None
    logged: bool
    fallback: Literal["", "champion", "popularity"]
    why: Literal["", "error", "deadline", "busy", "missing"]
    cached: bool
    items: list[Place]


class OutcomeLine(_In):
    """Something a unit did. at: when, with a zone; without, when it arrived here."""

    type: Literal["outcome"]
    id: Id
    unit: Id
    kind: Id
    at: AwareDatetime | None = None
    value: float = 1.0
    item: str = ""
    exposure: str = ""


class ExposureLine(_In):
    """A slate that a unit was shown. score null: the model had none; propensities: each above 0 and at most 1."""

    type: Literal["exposure"]
    id: Id
    unit: Id
    experiment: Id
    variant: Id
    at: AwareDatetime | None = None
    items: list[str] = Field(default_factory=list)
    scores: list[float | None] = Field(default_factory=list)
    propensities: list[float] = Field(default_factory=list)
    context: Context = Field(default_factory=dict)


Line = Annotated[OutcomeLine | ExposureLine, Field(discriminator="type")]


class EventsRequest(_In):
    """A batch of events. Each is judged alone: one that is refused does not keep the others out."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "events": [
                        {
                            "type": "outcome",
                            "id": "o1",
                            "unit": "u0001",
                            "kind": "click",
                            "item": "i7",
                            "exposure": "x1",
                        }
                    ]
                }
            ]
        }
    )
    events: list[Line]


class Fate(_Out):
    """What became of one line. kept: durable now; duplicate: its id was kept before; refused: `detail` says why."""

    id: str
    fate: Literal["kept", "duplicate", "refused"]
    detail: str


class EventsAnswer(_Out):
    """The fate of each line, in the order sent. ahead: lines whose time lies in the future of this clock."""

    kept: int
    duplicates: int
    refused: int
    ahead: int
    fates: list[Fate]


class ProblemAnswer(_Out):
    """Why a request was refused, and what to do about it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "error": "not_found",
                    "detail": "unknown experiment 'dmo'; did you mean 'demo'? known: demo",
                    "cure": "GET /v1/experiments lists them",
                    "request_id": "c0ffee-1",
                }
            ]
        }
    )
    error: str
    detail: str
    cure: str
    request_id: str


class HealthAnswer(_Out):
    """The process answers."""

    status: Literal["ok"]


class ReadyAnswer(_Out):
    """Whether requests are answered as they should; `problems` in sentences."""

    ready: bool
    problems: list[str]
    model: str
    champion: int | None
    versions: list[int]


class VariantIn(_Administration):
    """One arm; payload: what it serves, such as {"version": 2}."""

    name: Id
    weight: float = Field(ge=0)
    payload: Context = Field(default_factory=dict)


class LayerIn(_Administration):
    """A layer of experiments that exclude each other."""

    name: Id
    salt: Id


class DraftIn(_Administration):
    """A new experiment. metrics, decision, analysis: as in the YAML of a bake-off. why: kept in the audit.

    audience: attribute -> a value, a list of values or {min, max, not}, of the context that requests bring;
    overrides: testers, unit -> variant.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "key": "ease-vs-knn",
                    "variants": [
                        {"name": "knn", "weight": 0.5, "payload": {"version": 1}},
                        {"name": "ease", "weight": 0.5, "payload": {"version": 2}},
                    ],
                    "metrics": {"clicks_per_user": {"kind": "mean", "numerator": "click", "role": "primary"}},
                    "traffic": 0.01,
                    "why": "EASE leads the leaderboard",
                }
            ]
        }
    )
    key: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
    variants: list[VariantIn] = Field(min_length=2, max_length=127)
    metrics: dict[str, Context] = Field(min_length=1)
    decision: Context = Field(default_factory=dict)
    analysis: Context = Field(default_factory=dict)
    traffic: float = Field(default=1.0, gt=0, le=1)
    salt: str = ""
    layer: LayerIn | None = None
    layer_range: tuple[float, float] = (0.0, 1.0)
    starts: AwareDatetime | None = None
    ends: AwareDatetime | None = None
    planned_units: int | None = Field(default=None, ge=2)
    audience: Context = Field(default_factory=dict)
    overrides: Overrides = Field(default_factory=dict)
    title: str = ""
    hypothesis: str = ""
    why: Annotated[str, Field(min_length=1)]


class WhyIn(_Administration):
    """Why it is done; kept in the audit."""

    why: Annotated[str, Field(min_length=1, examples=["two days without an alarm"])]


class RampIn(WhyIn):
    """The share of units that take part from now on; only more than before."""

    traffic: float = Field(gt=0, le=1)


class ReweighIn(WhyIn):
    """The shares of the variants for the units that have none yet; whoever takes part stays."""

    weights: dict[Id, Annotated[float, Field(ge=0)]] = Field(examples=[{"knn": 0.2, "ease": 0.8}])


class OverridesIn(WhyIn):
    """All testers, unit -> variant, instead of those before; none of what they see is counted."""

    overrides: Overrides = Field(examples=[{"ada": "ease"}])


class HoldoutIn(WhyIn):
    """The share of all units that takes part in no experiment."""

    share: float = Field(ge=0, lt=1)


class HoldoutOut(_Out):
    """The units that take part in nothing, and who changed that.

    since: when it began or last grew; baseline: model -> the version that the held out are given meanwhile; compared:
    the share of units that they are compared with; reading: how to read what came of it.
    """

    share: float
    salt: str
    since: datetime | None
    baseline: dict[str, Any]
    compared: float
    reading: str
    changes: list["ChangeOut"]


class VariantOut(_Out):
    """One arm."""

    name: str
    weight: float
    payload: dict[str, Any]


class ExperimentOut(_Out):
    """An experiment as it stands."""

    key: str
    status: Literal["draft", "running", "stopped", "decided", "archived"]
    traffic: float
    variants: list[VariantOut]
    metrics: list[str]
    layer: str | None
    layer_range: tuple[float, float]
    starts: datetime | None
    ends: datetime | None
    audience: dict[str, Any]
    overrides: dict[str, str]
    title: str
    hypothesis: str


class ExperimentsOut(_Out):
    """Every experiment that is kept, newest first."""

    experiments: list[ExperimentOut]


class ChangeOut(_Out):
    """Who did what when, from what to what, and why."""

    at: datetime
    by: str
    action: Action
    before: dict[str, Any]
    after: dict[str, Any]
    why: str


class AuditOut(_Out):
    """The audit of one experiment, oldest first."""

    experiment: str
    changes: list[ChangeOut]


ASSIGN = TypeAdapter(AssignRequest)
RECOMMEND = TypeAdapter(RecommendRequest)
EVENTS = TypeAdapter(EventsRequest)
LINE: TypeAdapter[OutcomeLine | ExposureLine] = TypeAdapter(Line)
