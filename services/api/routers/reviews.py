"""/v1/results/{result_id}/reviews: what people decided on a part, beside its verdict."""

from typing import Annotated

from fastapi import APIRouter, Depends

from services.api.identifiers import ResultId
from services.api.json_body import body_of, posted
from services.api.ports import PortsOf
from services.infra.stores.results import Review, ReviewDraft

router = APIRouter(prefix="/v1/results/{result_id}/reviews", tags=["results"])


@router.get("", summary="What people decided on a part")
def reviews(result_id: ResultId, ports: PortsOf) -> tuple[Review, ...]:
    """Every decision, first one first; the last one holds."""
    return ports.results.reviews.of(result_id)


@router.post("", openapi_extra={"requestBody": body_of(ReviewDraft)}, summary="Decide on a part")
def review(
    result_id: ResultId, draft: Annotated[ReviewDraft, Depends(posted(ReviewDraft))], ports: PortsOf
) -> Review:
    """The decision as it is kept; 409 when somebody decided after the `follows` reviews the caller has seen.

    The API asks for no login: the name is what the caller says it is.
    """
    return ports.results.reviews.add(result_id, draft, f"api:{draft.reviewer}")
