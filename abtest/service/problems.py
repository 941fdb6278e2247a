"""Problem: an answer that says what is wrong and how to mend it. Every refusal of the service is one."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError


class Problem(Exception):  # noqa: N818 -- it is the answer, not a failure
    """A refusal as an HTTP answer. error: a word for machines; detail: what and what was got; cure: what to do."""

    def __init__(
        self, status: int, error: str, detail: str, cure: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.error = error
        self.detail = detail
        self.cure = cure
        self.headers = dict(headers or {})

    def body(self, request_id: str) -> dict[str, str]:
        """The answer's JSON."""
        return {"error": self.error, "detail": self.detail, "cure": self.cure, "request_id": request_id}


def unavailable(detail: str, cure: str, retry_after: int = 1) -> Problem:
    """503: not now; the sender should come again after so many seconds."""
    return Problem(503, "unavailable", detail, cure, {"retry-after": str(retry_after)})


def unknown(error: LookupError) -> Problem:
    """404, with the nearest name in the text."""
    return Problem(404, "not_found", str(error), "GET /v1/experiments lists them")


def invalid(error: ValidationError) -> Problem:
    """400 for what is no JSON, 422 for what is not as the schema says; the first fault is told."""
    first = error.errors(include_url=False, include_context=False)[0]
    place = ".".join(map(str, first["loc"])) or "the body"
    if first["type"] == "json_invalid":
        return Problem(400, "no_json", f"{place}: {first['msg']}", "send a JSON object; /docs shows an example")
    return Problem(
        422, "invalid", f"{place}: {first['msg']}, got {shown(first['input'])}", "see the schema in /openapi.json"
    )


def shown(value: Any, most: int = 80) -> str:
    """A value from outside, cut to what fits into a sentence."""
    text = repr(value)
    return text if len(text) <= most else text[: most - 3] + "..."
