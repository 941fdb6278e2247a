"""The OpenFeature Remote Evaluation Protocol 0.3.0: a running experiment is a flag whose value is the variant's name.

A unit outside the experiment gets no value: the protocol's word for "use the default in your code".
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, get_args

import orjson

from abtest.service.ports import Limits, Snapshot
from abtest.types import Assignment, Reason

ErrorCode = Literal["PARSE_ERROR", "TARGETING_KEY_MISSING", "INVALID_CONTEXT", "FLAG_NOT_FOUND", "GENERAL"]
REASONS: dict[Reason, str] = {
    reason: {"split": "SPLIT", "override": "TARGETING_MATCH"}.get(reason, "DISABLED") for reason in get_args(Reason)
}


@dataclass(frozen=True, kw_only=True)
class Failure(Exception):  # noqa: N818 -- the protocol's word
    """A refusal in the protocol's form."""

    status: int
    code: ErrorCode
    details: str

    def body(self, key: str | None) -> dict[str, Any]:
        """The answer's JSON; of a bulk evaluation (key None) it names no flag."""
        named = {} if key is None else {"key": key}
        return {**named, "errorCode": self.code, "errorDetails": self.details}


def asked_of(body: bytes, limits: Limits) -> tuple[str, dict[str, Any]]:
    """The targeting key of a request's context, the unit that is assigned; and the context, its attributes."""
    try:
        tree = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Failure(status=400, code="PARSE_ERROR", details=f"the body is no JSON: {error}") from None
    if not isinstance(tree, dict):
        raise Failure(status=400, code="PARSE_ERROR", details="the body must be an object with a context")
    context = tree.get("context")
    if context is None:
        raise Failure(status=400, code="TARGETING_KEY_MISSING", details="context is missing; send its targetingKey")
    if not isinstance(context, dict):
        raise Failure(status=400, code="INVALID_CONTEXT", details="context must be an object")
    unit = context.get("targetingKey")
    if unit is None or unit == "":
        raise Failure(
            status=400, code="TARGETING_KEY_MISSING", details="context.targetingKey is missing; send the unit's id"
        )
    if not isinstance(unit, str) or unit.endswith("\0") or len(unit) > limits.text:
        raise Failure(
            status=400,
            code="INVALID_CONTEXT",
            details=f"context.targetingKey must be a text of at most {limits.text} characters that ends not with NUL",
        )
    return unit, context


def flag(snapshot: Snapshot, key: str, unit: str, at: datetime, context: Mapping[str, Any]) -> dict[str, Any]:
    """One flag; an unknown one is a Failure with the nearest name."""
    try:
        assignment = snapshot.assigner.assign(key, unit, at, context)
    except LookupError as error:
        raise Failure(status=404, code="FLAG_NOT_FOUND", details=str(error)) from None
    return _evaluated(assignment, snapshot)


def flags(snapshot: Snapshot, unit: str, at: datetime, context: Mapping[str, Any]) -> bytes:
    """All running experiments as JSON."""
    found = [_evaluated(snapshot.assigner.assign(key, unit, at, context), snapshot) for key in snapshot.running]
    return orjson.dumps({"flags": found, "metadata": {"revision": snapshot.revision}})


def etag(body: bytes) -> str:
    """The entity tag of an answer: of what it says, so that it changes exactly when that does."""
    return f'"{hashlib.sha256(body).hexdigest()[:32]}"'


def matches(tag: str, if_none_match: str) -> bool:
    """Whether a client has this answer already. Weak tags count (RFC 9110, 13.1.2)."""
    offered = [part.strip().removeprefix("W/") for part in if_none_match.split(",")]
    return "*" in offered or tag in offered or tag.strip('"') in offered


def _evaluated(assignment: Assignment, snapshot: Snapshot) -> dict[str, Any]:
    name = assignment.variant
    metadata: dict[str, Any] = {"bucket": assignment.bucket, "assignment": assignment.reason}
    answer = {"key": assignment.experiment, "reason": REASONS[assignment.reason], "variant": name or ""}
    if name is not None:
        payload = snapshot.variants[assignment.experiment, name].payload
        metadata |= {k: v for k, v in payload.items() if isinstance(v, bool | int | float | str)}
        answer["value"] = name
    return {**answer, "metadata": metadata}
