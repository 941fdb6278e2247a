"""From event lines as they were sent to events for the log: each judged alone, so that a bad one keeps no other out."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from pydantic import ValidationError

from abtest.events.rows import rows_of
from abtest.service.ports import Limits
from abtest.service.problems import Problem, invalid, shown
from abtest.service.schemas import EVENTS, LINE, ExposureLine, OutcomeLine
from abtest.types import Exposure, Outcome

AGREE = 0.5
"""Seconds by which a clock may be ahead without being told of it."""


@dataclass(frozen=True, kw_only=True)
class Judged:
    """One line: the event, or why it was refused; lag: seconds from its own time to its arrival, negative: ahead."""

    id: str
    event: Exposure | Outcome | None
    lag: float | None
    detail: str = ""


def judge(body: bytes, now: datetime, limits: Limits) -> list[Judged]:
    """Each line of a request; what is no batch at all is a Problem."""
    try:
        # all at once, in one pass of the parser: the common case
        lines: Sequence[Any] = EVENTS.validate_json(body).events
    except ValidationError as error:
        lines = _lines_alone(body, error)
    if len(lines) > limits.batch:
        raise Problem(
            413, "batch_too_large", f"events has {len(lines)} lines, at most {limits.batch} may come at once",
            "send it in parts: ids make repeating safe",
        )  # fmt: skip
    return [_judged(line, now, limits) for line in lines]


def _lines_alone(body: bytes, whole: ValidationError) -> list[Any]:
    """The lines one by one, where the batch as a whole did not pass: a model, or the text of what is wrong with it."""
    try:
        tree = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise invalid(whole) from None
    if not (isinstance(tree, dict) and set(tree) == {"events"} and isinstance(tree["events"], list)):
        raise invalid(whole)
    return [_line(value) for value in tree["events"]]


def _line(value: Any) -> OutcomeLine | ExposureLine | Judged:
    try:
        return LINE.validate_json(orjson.dumps(value))
    except ValidationError as error:
        id = value.get("id") if isinstance(value, dict) else None
        return Judged(id=id if isinstance(id, str) else "", event=None, lag=None, detail=invalid(error).detail)


def _judged(line: OutcomeLine | ExposureLine | Judged, now: datetime, limits: Limits) -> Judged:
    if isinstance(line, Judged):
        return line
    lag = None if line.at is None else (now - line.at).total_seconds()
    detail = _too_much(line, limits)
    if lag is not None and -lag > limits.ahead_seconds:
        detail = f"at is {-lag:,.0f} seconds in the future of this server, got {line.at}: set the sender's clock"
    event = _event(line, now)
    if not detail:
        try:
            rows_of([event])
        except ValueError as error:
            detail = str(error)
    return Judged(id=line.id, event=None if detail else event, lag=lag, detail=detail)


def _event(line: OutcomeLine | ExposureLine, now: datetime) -> Exposure | Outcome:
    at = line.at or now
    if isinstance(line, OutcomeLine):
        return Outcome(
            id=line.id, unit=line.unit, kind=line.kind, at=at, value=line.value, item=line.item, exposure=line.exposure
        )
    return Exposure(
        id=line.id,
        unit=line.unit,
        experiment=line.experiment,
        variant=line.variant,
        at=at,
        items=tuple(line.items),
        scores=tuple(math.nan if score is None else score for score in line.scores),
        propensities=tuple(line.propensities),
        context=line.context,
    )


def _too_much(line: OutcomeLine | ExposureLine, limits: Limits) -> str:
    """What is longer than it may be, in words."""
    texts = {"id": line.id, "unit": line.unit}
    if isinstance(line, OutcomeLine):
        texts |= {"kind": line.kind, "item": line.item, "exposure": line.exposure}
        items: Sequence[str] = ()
    else:
        texts |= {"experiment": line.experiment, "variant": line.variant}
        items = line.items
        if len(items) > limits.k:
            return f"items has {len(items)} items, at most {limits.k}"
        if line.context and len(orjson.dumps(line.context)) > limits.context_bytes:
            return f"context is longer than {limits.context_bytes} bytes of JSON"
    for name, text in [*texts.items(), *(("items", item) for item in items)]:
        if len(text) > limits.text:
            return f"{name} has {len(text)} characters, at most {limits.text}: {shown(text)}"
    return ""
