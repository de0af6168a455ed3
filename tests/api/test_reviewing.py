"""Decisions of people over REST: kept beside the verdict, refused when they come too late."""

from fastapi.testclient import TestClient

from tests.api.conftest import Submit
from tests.api.line import Line


def test_a_decision_is_kept_once_and_the_next_must_have_seen_it(
    submit: Submit, client: TestClient, line: Line
) -> None:
    """The first stands with its moment; a second that did not see it is 409; a contradiction is 422."""
    url = f"/v1/results/{submit().json()['result_id']}/reviews"
    line.decide(0.93)
    line.store()
    draft = {"reviewer": "ada", "verification": "DefectConfirmed", "remark": "<script>"}
    kept = client.post(url, json=draft)

    assert kept.status_code == 200
    assert kept.json()["before"]["verification"] == "NotVerifiedYet"
    assert client.post(url, json=draft).json()["code"] == "already-reviewed"
    assert client.post(url, json=draft | {"verification": "NotVerifiedYet"}).status_code == 422
    assert client.post(url, content="x").status_code == 415
    assert client.get(url).json() == [kept.json()]
    assert client.get("/v1/results/nothing/reviews").status_code == 404
