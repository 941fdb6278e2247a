"""The answers of the hot routes: assign, recommend, events. From the bytes of a request to the tree of its answer."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import isnan
from typing import Any, TypeVar

import orjson
from pydantic import TypeAdapter, ValidationError

from abtest.assignment.holdout import HELD_OUT, KEY, companion
from abtest.service.exploring import Explore, marked
from abtest.service.ingest import Ingest
from abtest.service.lines import AGREE, Judged, judge
from abtest.service.ports import Clock, Experiments, Limits, Reasons, Recommend, Slate, Snapshot
from abtest.service.problems import Problem, invalid, shown, unknown
from abtest.service.schemas import ASSIGN, RECOMMEND, AssignRequest, RecommendRequest
from abtest.service.tallies import Tally, Timing
from abtest.service.telemetry import Telemetry
from abtest.types import Assignment, Exposure, Outcome
from bakeoff.catalogue import check_name

T = TypeVar("T")


@dataclass(kw_only=True, eq=False)
class Answers:
    """What the hot routes stand on. new_id gives an id that is unique for ever; reasons: None where none are told.

    explore: None where nothing is left to chance. It is asked for slates that are logged by this service only: the
    others' propensities would be lost; and not for who is held out.
    """

    experiments: Experiments
    recommender: Recommend
    reasons: Reasons | None
    ingest: Ingest
    clock: Clock
    limits: Limits
    new_id: Callable[[], str]
    telemetry: Telemetry
    explore: Explore | None = None
    _counted: dict[tuple[str, str, bool], tuple[Tally, Timing, Tally]] = field(default_factory=dict)

    async def assign(self, body: bytes, request_id: str) -> dict[str, Any]:
        """POST /v1/assign."""
        asked = _parsed(ASSIGN, body)
        self._check(asked)
        snapshot, now = self.experiments.snapshot, self.clock.now()
        keys = snapshot.running if asked.experiment is None else (asked.experiment,)
        try:
            found = [snapshot.assign(key, asked.unit, now, asked.context) for key in keys]
        except LookupError as error:
            raise unknown(error) from None
        return {"unit": asked.unit, "assignments": [described(one, snapshot) for one in found]}

    async def recommend(self, body: bytes, request_id: str) -> dict[str, Any]:
        """POST /v1/recommend: assign, fill the slate by the variant's model, log the exposure, answer."""
        asked = _parsed(RECOMMEND, body)
        self._check(asked)
        if asked.k > self.limits.k:
            raise Problem(
                422, "k_too_large", f"k must be at most {self.limits.k}, got {asked.k}", "ask for fewer items"
            )
        started = self.clock.ticks()
        snapshot = self.experiments.snapshot
        place = self._place(snapshot, asked)
        arm = snapshot.arm_of(asked.unit, self.clock.now())
        key, name = (place.experiment, place.variant) if place else (KEY, arm) if arm else (None, None)
        tester = asked.variant is not None or (place is not None and place.reason == "override")
        if asked.variant is not None:
            key, name = asked.experiment, self._preview(snapshot, asked)
        variant = None if key is None or name is None else snapshot.variants[key, name]
        if key == KEY and variant is not None and not variant.payload:
            variant = None  # an arm of the holdout that names no version is given the champion's
        counted = asked.expose and not tester and key is not None
        explore = self.explore if counted and (key, name) != (KEY, HELD_OUT) else None
        if explore is None:
            slate = await self.recommender(asked.unit, asked.k, variant, asked.context)
        else:
            longer = await self.recommender(asked.unit, asked.k + explore.beyond, variant, asked.context)
            slate = explore(longer, asked.k, f"{asked.unit} {request_id}")
        self._count(slate, key or "", name or "", self.clock.ticks() - started)
        exposure, logged = None, False
        if counted and key is not None and name is not None:
            exposure = marked(self.new_id(), slate.explored) if slate.explored else self.new_id()
            logged = await self._expose(exposure, asked, key, name, slate, request_id, arm)
        why = await self.reasons(asked.unit, slate, asked.context) if asked.reasons and self.reasons is not None else ()
        return {
            "request_id": request_id,
            "unit": asked.unit,
            "experiment": key,
            "variant": name,
            "model": slate.model,
            "version": slate.version,
            "exposure": exposure if logged else None,
            "logged": logged,
            "fallback": slate.fallback,
            "why": slate.why,
            "cached": slate.cached,
            "items": places(slate, why) if why else orjson.Fragment(written(slate)),
        }

    async def events(self, body: bytes, request_id: str) -> dict[str, Any]:
        """POST /v1/events: each line's fate, once everything that was kept is durable."""
        judged = judge(body, self.clock.now(), self.limits)
        good = [line.event for line in judged if line.event is not None]
        new = iter(await self.ingest.keep([*good, *self._companions(good)]))
        fates = [_fate(line, new) for line in judged]
        counts = Counter(fate["fate"] for fate in fates)
        ahead = 0
        for line in judged:
            if line.lag is not None and line.event is not None:
                self.telemetry.lag.observe(max(line.lag, 0.0))
                ahead += line.lag < -AGREE
        for word, n in counts.items():
            self.telemetry.events.labels(word).inc(n)
        if ahead:
            self.telemetry.ahead.inc(ahead)
        return {
            "kept": counts["kept"],
            "duplicates": counts["duplicate"],
            "refused": counts["refused"],
            "ahead": ahead,
            "fates": fates,
        }

    def _companions(self, events: Sequence[Exposure | Outcome]) -> list[Exposure]:
        """The second rows of slates that came late, where their units belong to the holdout.

        An exposure without items is no slate: who only assigns logs the holdout's own, as of any experiment.
        """
        snapshot = self.experiments.snapshot
        if snapshot.groups is None:
            return []
        slates = [e for e in events if isinstance(e, Exposure) and e.items and e.experiment != KEY]
        arms = [snapshot.arm_of(shown.unit, shown.at) for shown in slates]
        return [companion(shown, arm) for shown, arm in zip(slates, arms, strict=True) if arm is not None]

    def _check(self, asked: AssignRequest | RecommendRequest) -> None:
        most = self.limits.text
        if len(asked.unit) > most or (asked.experiment is not None and len(asked.experiment) > most):
            name, text = ("unit", asked.unit) if len(asked.unit) > most else ("experiment", asked.experiment or "")
            raise Problem(
                422, "too_long", f"{name} has {len(text)} characters, at most {most}: {shown(text)}",
                "send the id that the events carry",
            )  # fmt: skip
        if asked.context and len(orjson.dumps(asked.context)) > self.limits.context_bytes:
            raise Problem(
                422, "too_long", f"context is longer than {self.limits.context_bytes} bytes of JSON", "send less of it"
            )

    def _place(self, snapshot: Snapshot, asked: RecommendRequest) -> Assignment | None:
        """The experiment that decides, and where the unit stands in it; None where it takes part in none."""
        now = self.clock.now()
        if asked.experiment is not None:
            try:
                found = snapshot.assign(asked.experiment, asked.unit, now, asked.context)
            except LookupError as error:
                raise unknown(error) from None
            return found if found.variant is not None else None
        for key in snapshot.serving:
            found = snapshot.assigner.assign(key, asked.unit, now, asked.context)
            if found.variant is not None:
                return found
        return None

    def _preview(self, snapshot: Snapshot, asked: RecommendRequest) -> str:
        """The variant that a tester wants to see, whatever the unit is assigned to."""
        if asked.experiment is None:
            raise Problem(422, "no_experiment", "variant is given without its experiment", "name the experiment, too")
        names = {name: name for key, name in snapshot.variants if key == asked.experiment}
        try:
            return check_name(names, asked.variant or "", "variant")
        except LookupError as error:
            raise unknown(error) from None

    async def _expose(
        self, id: str, asked: RecommendRequest, key: str, name: str, slate: Slate, request_id: str, arm: str | None
    ) -> bool:
        """Log the slate; false when the log cannot take it: whoever asked for items gets them all the same.

        arm: of the holdout, under which the slate is logged as well.
        """
        context = {
            **asked.context,
            "request_id": request_id,
            "model_version": slate.version,
            "fallback": slate.fallback != "" or any(map(isnan, slate.scores)),
        }
        if slate.explored:
            context["explored"] = slate.explored
        if slate.fallback:
            context |= {"fallback_to": slate.fallback, "fallback_why": slate.why}
        shown = Exposure(
            id=id,
            unit=asked.unit,
            experiment=key,
            variant=name,
            at=self.clock.now(),
            items=slate.items,
            scores=slate.scores,
            propensities=slate.propensities,
            context=context,
        )
        try:
            await self.ingest.keep([shown] if arm is None or key == KEY else [shown, companion(shown, arm)])
        except Problem:  # the log itself tells why, once
            self.telemetry.unlogged.inc()
            return False
        return True

    def _count(self, slate: Slate, experiment: str, variant: str, seconds: float) -> None:
        counters = self._counted.get((experiment, variant, slate.cached))
        if counters is None:
            measured, arm = self.telemetry, (experiment, variant)
            cache = measured.cache.labels("hit" if slate.cached else "miss")
            counters = measured.slates.labels(*arm), measured.slate_seconds.labels(*arm), cache
            self._counted[experiment, variant, slate.cached] = counters
        counters[0].inc()
        counters[1].observe(seconds)
        counters[2].inc()
        if slate.explored:
            self.telemetry.explored.inc()
        if slate.fallback:
            self.telemetry.fallbacks.labels(slate.fallback, slate.why).inc()


def described(assignment: Assignment, snapshot: Snapshot) -> dict[str, Any]:
    """An assignment as an answer tells it."""
    name = assignment.variant
    return {
        "experiment": assignment.experiment,
        "variant": name,
        "bucket": assignment.bucket,
        "reason": assignment.reason,
        "payload": {} if name is None else snapshot.variants[assignment.experiment, name].payload,
    }


def _parsed(kind: TypeAdapter[T], body: bytes) -> T:
    try:
        return kind.validate_json(body)
    except ValidationError as error:
        raise invalid(error) from None


def places(slate: Slate, why: Sequence[str]) -> list[dict[str, Any]]:
    """The items of a slate as an answer tells them; orjson writes a NaN score as null."""
    titles, scores = slate.titles or slate.items, slate.scores or (None,) * len(slate.items)
    told = why or ("",) * len(slate.items)
    return [
        {"item": item, "title": title, "score": score, "reason": reason}
        for item, title, score, reason in zip(slate.items, titles, scores, told, strict=True)
    ]


def written(slate: Slate) -> bytes:
    """The same as JSON, without reasons. A slate that is kept is written once: that is a tenth of its answer."""
    kept: dict[str, bytes] = slate.__dict__  # frozen, not closed: what follows from its fields may lie beside them
    if "_written" not in kept:
        kept["_written"] = orjson.dumps(places(slate, ()))
    return kept["_written"]


def _fate(line: Judged, new: Any) -> dict[str, str]:
    if line.event is None:
        return {"id": line.id, "fate": "refused", "detail": line.detail}
    return {"id": line.id, "fate": "kept" if next(new) else "duplicate", "detail": ""}
