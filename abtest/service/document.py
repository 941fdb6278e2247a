"""The OpenAPI document: the hot routes as FastAPI knows them, and the limits that a service was given."""

from typing import Annotated, Any

from fastapi import Depends, FastAPI
from fastapi.openapi.utils import get_openapi

from abtest.service.admin import REFUSALS
from abtest.service.ports import Limits
from abtest.service.schemas import (
    AssignAnswer,
    AssignRequest,
    EventsAnswer,
    EventsRequest,
    RecommendAnswer,
    RecommendRequest,
)
from abtest.service.security import Caller, Needs

ELSEWHERE = "abtest.service.hot answers this path before FastAPI is asked"


def add_hot_routes(app: FastAPI, needs: Needs) -> None:
    """Declare the routes that `abtest.service.hot` answers, so that the document has them."""
    client = Depends(needs("client"))
    refused: dict[int | str, dict[str, Any]] = {code: REFUSALS[code] for code in (400, 401, 403, 404, 413, 422, 503)}

    @app.post("/v1/assign", tags=["traffic"], summary="Which variants a unit belongs to", responses=refused)
    async def assign(body: AssignRequest, caller: Annotated[Caller, client]) -> AssignAnswer:
        raise AssertionError(ELSEWHERE)

    @app.post("/v1/recommend", tags=["traffic"], summary="A slate for a unit, logged as shown", responses=refused)
    async def recommend(body: RecommendRequest, caller: Annotated[Caller, client]) -> RecommendAnswer:
        raise AssertionError(ELSEWHERE)

    @app.post("/v1/events", tags=["traffic"], summary="Keep events; answered when they are durable", responses=refused)
    async def events(body: EventsRequest, caller: Annotated[Caller, client]) -> EventsAnswer:
        raise AssertionError(ELSEWHERE)


def finish(app: FastAPI, limits: Limits) -> None:
    """Make the document, once, with the limits in it."""
    text = {"maxLength": limits.text}
    bounds: dict[tuple[str, str], dict[str, Any]] = {
        ("RecommendRequest", "k"): {"maximum": limits.k},
        ("EventsRequest", "events"): {"maxItems": limits.batch},
        ("ExposureLine", "items"): {"maxItems": limits.k},
        **{(kind, "unit"): text for kind in ("AssignRequest", "RecommendRequest", "OutcomeLine", "ExposureLine")},
        **{("OutcomeLine", name): text for name in ("id", "kind", "item", "exposure")},
        **{("ExposureLine", name): text for name in ("id", "experiment", "variant")},
    }

    def made() -> dict[str, Any]:
        if app.openapi_schema is None:
            tree = get_openapi(title=app.title, version=app.version, summary=app.summary, routes=app.routes)
            kinds = tree["components"]["schemas"]
            for (kind, name), bound in bounds.items():
                kinds[kind]["properties"][name].update(bound)
            app.openapi_schema = tree
        return app.openapi_schema

    app.openapi = made  # type: ignore[method-assign]
