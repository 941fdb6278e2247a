"""Administration of experiments over HTTP: create, start, ramp, stop, archive, and the audit of all of it."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path
from pydantic import TypeAdapter, ValidationError

from abtest.analysis.metrics import load_metrics
from abtest.assignment.holdout import reading
from abtest.service.lifecycle import NotAllowedError
from abtest.service.ports import Action, Change, Draft, Experiments, Wanted
from abtest.service.problems import Problem, unknown
from abtest.service.schemas import (
    AuditOut,
    ChangeOut,
    DraftIn,
    ExperimentOut,
    ExperimentsOut,
    HoldoutIn,
    HoldoutOut,
    OverridesIn,
    ProblemAnswer,
    RampIn,
    ReweighIn,
    VariantOut,
    WhyIn,
)
from abtest.service.security import Caller, Needs
from abtest.service.telemetry import Telemetry, say
from abtest.types import AnalysisPlan, DecisionRule, Experiment, Layer, Variant

INFO = 20  # logging's level
Key = Annotated[str, Path(description="The experiment's key.", examples=["demo-v2-vs-v1"])]
REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": ProblemAnswer, "description": text}
    for status, text in {
        400: "The body is no JSON.",
        401: "No token, or an unknown one.",
        403: "The token's role is too low, or no tokens are set.",
        404: "No such experiment.",
        409: "The experiment's state forbids it.",
        413: "The body is too long.",
        422: "The plan cannot run; every problem is named.",
        503: "Not now; come again after `Retry-After` seconds.",
    }.items()
}


def router(experiments: Experiments, needs: Needs, telemetry: Telemetry) -> APIRouter:
    """The routes; `needs(role)` gives the dependency that admits a caller."""
    routes = APIRouter(prefix="/v1/experiments", tags=["experiments"], responses=REFUSALS)
    operator, admin = Depends(needs("operator")), Depends(needs("admin"))

    def change(key: str, action: Action, caller: Caller, why: str, to: Wanted | None = None) -> ExperimentOut:
        draft = _carried_out(lambda: experiments.change(key, action, by=caller.name, why=why, to=to))
        telemetry.changes.labels(action).inc()
        say(INFO, "experiment changed", experiment=key, action=action, by=caller.name, why=why)
        return shown(draft)

    @routes.get("", summary="All experiments")
    def listed(caller: Annotated[Caller, operator]) -> ExperimentsOut:
        return ExperimentsOut(experiments=[shown(draft) for draft in experiments.drafts()])

    @routes.post("", status_code=201, summary="Create a draft")
    def create(draft: DraftIn, caller: Annotated[Caller, admin]) -> ExperimentOut:
        made = _carried_out(lambda: experiments.create(proposed(draft), by=caller.name, why=draft.why))
        telemetry.changes.labels("create").inc()
        say(INFO, "experiment created", experiment=draft.key, by=caller.name, why=draft.why)
        return shown(made)

    @routes.get("/{key}", summary="One experiment")
    def one(key: Key, caller: Annotated[Caller, operator]) -> ExperimentOut:
        return shown(_carried_out(lambda: experiments.draft(key)))

    @routes.post("/{key}/start", summary="Start a draft, once the whole plan is checked and its models are loaded")
    def start(key: Key, body: WhyIn, caller: Annotated[Caller, operator]) -> ExperimentOut:
        return change(key, "start", caller, body.why)

    @routes.post("/{key}/ramp", summary="Give it more traffic; nobody changes the variant")
    def ramp(key: Key, body: RampIn, caller: Annotated[Caller, operator]) -> ExperimentOut:
        return change(key, "ramp", caller, body.why, Wanted(traffic=body.traffic))

    @routes.post("/{key}/reweigh", summary="New weights for the units that have no variant yet; nobody is moved")
    def reweigh(key: Key, body: ReweighIn, caller: Annotated[Caller, operator]) -> ExperimentOut:
        return change(key, "reweigh", caller, body.why, Wanted(weights=body.weights))

    @routes.post("/{key}/override", summary="Say which variant testers see")
    def override(key: Key, body: OverridesIn, caller: Annotated[Caller, operator]) -> ExperimentOut:
        return change(key, "override", caller, body.why, Wanted(overrides=body.overrides))

    @routes.post("/{key}/stop", summary="Stop it at once")
    def stop(key: Key, body: WhyIn, caller: Annotated[Caller, operator]) -> ExperimentOut:
        return change(key, "stop", caller, body.why)

    @routes.post("/{key}/resume", summary="Go on after a stop; everybody finds the variant of before")
    def resume(key: Key, body: WhyIn, caller: Annotated[Caller, operator]) -> ExperimentOut:
        return change(key, "resume", caller, body.why)

    @routes.post("/{key}/archive", summary="Put it away; its data stays")
    def archive(key: Key, body: WhyIn, caller: Annotated[Caller, admin]) -> ExperimentOut:
        return change(key, "archive", caller, body.why)

    @routes.get("/{key}/audit", summary="Who did what when and why")
    def audit(key: Key, caller: Annotated[Caller, operator]) -> AuditOut:
        return AuditOut(experiment=key, changes=_told(_carried_out(lambda: experiments.audit(key))))

    return routes


def holdout_router(experiments: Experiments, needs: Needs, telemetry: Telemetry) -> APIRouter:
    """The routes of the global holdout."""
    routes = APIRouter(prefix="/v1/holdout", tags=["experiments"], responses=REFUSALS)

    def answer() -> HoldoutOut:
        kept = experiments.holdout()
        return HoldoutOut(
            share=kept.share,
            salt=kept.salt,
            since=kept.since,
            baseline=dict(kept.baseline),
            compared=min(kept.share, 1 - kept.share),
            reading=reading(kept),
            changes=_told(experiments.holdout_audit()),
        )

    @routes.get("", summary="The share of units that takes part in nothing")
    def now(caller: Annotated[Caller, Depends(needs("operator"))]) -> HoldoutOut:
        return _carried_out(answer)  # type: ignore[no-any-return]

    @routes.post("", summary="Hold out a share of all units; while something runs, only less than before")
    def hold_out(body: HoldoutIn, caller: Annotated[Caller, Depends(needs("admin"))]) -> HoldoutOut:
        _carried_out(lambda: experiments.hold_out(body.share, by=caller.name, why=body.why))
        telemetry.changes.labels("holdout").inc()
        say(INFO, "holdout changed", share=body.share, by=caller.name, why=body.why)
        return _carried_out(answer)  # type: ignore[no-any-return]

    return routes


def proposed(body: DraftIn) -> Draft:
    """The draft that a request describes; what cannot be read of it is a Problem."""
    try:
        metrics = load_metrics({"metrics": body.metrics})
        rule = TypeAdapter(DecisionRule).validate_python(_known(body.decision, DecisionRule, "decision"))
        plan = TypeAdapter(AnalysisPlan).validate_python(_known(body.analysis, AnalysisPlan, "analysis"))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise _invalid(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    except (ValueError, LookupError) as error:
        raise _invalid(str(error)) from None
    experiment = Experiment(
        key=body.key,
        variants=tuple(Variant(name=v.name, weight=v.weight, payload=v.payload) for v in body.variants),
        metrics=tuple(metric.name for metric in metrics),
        salt=body.salt,
        traffic=body.traffic,
        layer=Layer(name=body.layer.name, salt=body.layer.salt) if body.layer else None,
        layer_range=body.layer_range,
        starts=body.starts,
        ends=body.ends,
        planned_units=body.planned_units,
        analysis=plan,
        audience=body.audience,
        overrides=body.overrides,
    )
    return Draft(experiment=experiment, metrics=metrics, rule=rule, title=body.title, hypothesis=body.hypothesis)


def shown(draft: Draft) -> ExperimentOut:
    """An experiment as an answer tells it."""
    e = draft.experiment
    return ExperimentOut(
        key=e.key,
        status=e.status,
        traffic=e.traffic,
        variants=[VariantOut(name=v.name, weight=v.weight, payload=dict(v.payload)) for v in e.variants],
        metrics=list(e.metrics),
        layer=e.layer.name if e.layer else None,
        layer_range=e.layer_range,
        starts=e.starts,
        ends=e.ends,
        audience=dict(e.audience),
        overrides=dict(e.overrides),
        title=draft.title,
        hypothesis=draft.hypothesis,
    )


def _told(changes: Sequence[Change]) -> list[ChangeOut]:
    return [
        ChangeOut(at=c.at, by=c.by, action=c.action, before=dict(c.before), after=dict(c.after), why=c.why)
        for c in changes
    ]


def _carried_out(work: Callable[[], Any]) -> Any:
    """What the work gives; its refusals as Problems."""
    try:
        return work()
    except LookupError as error:
        raise unknown(error) from None
    except NotAllowedError as error:
        raise Problem(409, "not_allowed", str(error), "GET /v1/experiments/{key} tells its state") from None
    except ValueError as error:
        raise _invalid(str(error)) from None
    except OSError as error:
        raise Problem(503, "unavailable", f"it cannot be kept: {error}", "try again", {"retry-after": "5"}) from None


def _known(tree: dict[str, Any], kind: type[Any], what: str) -> dict[str, Any]:
    unknown_keys = set(tree) - set(kind.__dataclass_fields__)
    if unknown_keys:
        raise ValueError(f"{what} has no key {min(unknown_keys)!r}; known: {', '.join(kind.__dataclass_fields__)}")
    return tree


def _invalid(detail: str) -> Problem:
    return Problem(422, "cannot_run", detail, "mend what is named and send it again")
