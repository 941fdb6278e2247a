"""Promotion: a decision moves the champion alias; a rollback moves it back. Both are lines of the journal."""

from datetime import datetime
from typing import Any

from abtest.types import Decision
from experiments.config import CHAMPION
from experiments.journal import Event
from experiments.registry import CHALLENGER, Registry
from experiments.store import Definition


class NotPromotedError(Exception):
    """The promotion was refused; the text says why and what would change it. exit_code: no, but not wrongly used."""

    exit_code = 1


def promote(definition: Definition, decision: Decision | None, registry: Registry, *, at: datetime, by: str) -> Event:
    """Make the winner's version champion, with the decision as tags on it; refused unless the verdict is `ship`."""
    key, model = definition.experiment.key, definition.model
    if decision is None:
        raise NotPromotedError(f"experiment {key!r} has no decision yet; run `bakeoff decide {key}` first")
    if decision.verdict != "ship" or decision.winner is None:
        raise NotPromotedError(f"the verdict on {key!r} is {decision.verdict}, not ship: {' '.join(decision.reasons)}")
    registry.note_hand_made_moves(model, at)
    version = version_of(definition, decision.winner)
    champion = registry.slots(model).champion
    if champion == version:
        raise NotPromotedError(f"version {version} of {model!r} is champion already")
    tested_against = version_of(definition, definition.experiment.variants[0].name)
    if champion is not None and champion != tested_against:
        raise NotPromotedError(
            f"version {version} was tested against version {tested_against}, but the champion of {model!r} is now "
            f"version {champion}; run an experiment against it, or roll back first"
        )
    event = Event(
        at=at,
        model=model,
        change="promote",
        alias=CHAMPION,
        version=version,
        before=champion,
        experiment=key,
        verdict=decision.verdict,
        reasons=decision.reasons,
        by=by,
    )
    registry.tag(model, version, decision_tags(decision, at, by))
    registry.move(event)
    if registry.alias(model, CHALLENGER) == version:
        registry.move(_freed(event))
    return event


def rollback(model: str, registry: Registry, *, at: datetime, by: str, reason: str = "") -> Event:
    """Give the champion alias back to the version that had it before, as the same event reversed."""
    registry.note_hand_made_moves(registry.check(model), at)
    slots = registry.slots(model)
    if slots.champion is None:
        raise NotPromotedError(f"{model!r} has no champion, so there is nothing to roll back")
    if slots.previous is None:
        raise NotPromotedError(f"version {slots.champion} is the first champion of {model!r}: there is none before it")
    undone = slots.last
    event = Event(
        at=at,
        model=model,
        change="rollback",
        alias=CHAMPION,
        version=slots.previous,
        before=slots.champion,
        experiment=undone.experiment if undone else "",
        reasons=(reason,) if reason else (),
        by=by,
    )
    registry.move(event)
    registry.tag(model, slots.champion, {"bakeoff.rolled_back": at.isoformat(), "bakeoff.rolled_back_by": by})
    return event


def version_of(definition: Definition, variant: str) -> int:
    """The registered version that a variant of the experiment serves."""
    payload: dict[str, Any] = next(dict(v.payload) for v in definition.experiment.variants if v.name == variant)
    return int(payload["version"])


def decision_tags(decision: Decision, at: datetime, by: str) -> dict[str, str]:
    """The decision as tags that a reader of MLflow understands without us."""
    return {
        "bakeoff.experiment": decision.experiment,
        "bakeoff.verdict": decision.verdict,
        "bakeoff.reasons": "\n".join(decision.reasons),
        "bakeoff.promoted": at.isoformat(),
        "bakeoff.promoted_by": by,
    }


def _freed(promotion: Event) -> Event:
    """The challenger alias of a version that became champion is taken away."""
    return Event(
        at=promotion.at,
        model=promotion.model,
        change="promote",
        alias=CHALLENGER,
        version=None,
        before=promotion.version,
        experiment=promotion.experiment,
        by=promotion.by,
    )
