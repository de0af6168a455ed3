"""What is held back is thought through and written up."""

from schemas import Decision, ReportState
from services.infra.stores.ledger import Stage
from tests.fundamentals.conftest import Line


def test_a_rejected_part_gets_a_written_report(line: Line) -> None:
    """It names the defect, where it is, causes with their likelihood, and what to do; it is a DRAFT."""
    result_id = line.submit("surface/SF-002.png")

    line.work()

    state = line.state(result_id)
    assert state.stage is Stage.REPORTED
    assert state.report is not None
    assert state.report.state is ReportState.DRAFT
    assert state.report.diagnosis.defect == "dent"
    assert state.report.diagnosis.probable_causes[0].likelihood in {"low", "medium", "high", "cannot tell"}
    assert "dent" in state.report.reasoning


def test_an_accepted_part_gets_none(line: Line) -> None:
    """The recipe escalates REVIEW and REJECT only."""
    result_id = line.submit("surface/SF-003.png")

    line.work()

    state = line.state(result_id)
    assert state.verdict is not None
    assert state.verdict.decision is Decision.ACCEPT
    assert (state.stage, state.report) == (Stage.DECIDED, None)
