"""/v1/results: what was decided, filtered and in pages."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from services.api.ports import PortsOf
from services.api.representations import ListedResult, ResultPage, links_of
from services.infra.stores.results import ResultFilters, StoredResult

router = APIRouter(prefix="/v1/results", tags=["results"])

DEFAULT_PAGE = 50
LARGEST_PAGE = 200


class ResultQuery(ResultFilters):
    """The filters of the results store, and which page of them."""

    cursor: Annotated[str | None, Field(max_length=512, description="From `next` of the page before.")] = None
    limit: Annotated[int, Field(ge=1, le=LARGEST_PAGE, description="Results on a page.")] = DEFAULT_PAGE

    @property
    def filters(self) -> ResultFilters:
        """The filters alone."""
        return ResultFilters.model_validate(self.model_dump(exclude={"cursor", "limit"}))


@router.get("", summary="Results, newest first")
def results(
    query: Annotated[ResultQuery, Query()], request: Request, response: Response, ports: PortsOf
) -> ResultPage:
    """A page of results, newest first; `since` is included and `until` is not."""
    page = ports.results.page(query.filters, query.cursor, query.limit)
    following = None
    if page.next_cursor is not None:
        url = request.url.include_query_params(cursor=page.next_cursor)
        following = f"{url.path}?{url.query}"
        response.headers["Link"] = f'<{following}>; rel="next"'
    return ResultPage(results=tuple(row_of(result) for result in page.results), next=following)


def row_of(stored: StoredResult) -> ListedResult:
    """A stored result as it stands in a list."""
    return ListedResult(
        verdict=stored.verdict,
        problem=stored.problem,
        is_signed=stored.signature is not None,
        links=links_of(stored.verdict.result_id, has_report=stored.report is not None),
    )
