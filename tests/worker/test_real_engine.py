"""The work loop with the real engine on a tiny random checkpoint: the faces fit, and nothing is lost."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from engine import Engine, EngineConfig
from schemas.verdict import Decision
from services.infra.process.names import Queue
from services.infra.stores.ledger import Stage
from tests.worker.fake_engine import FakeEngine
from tests.worker.plant import DENT, GOOD, Plant
from worker import diagnosis


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_work_loop_on_the_real_engine(
    plant: Plant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Random weights judge and write nonsense, but every part ends with a verdict or a typed failure."""
    from tests.engine.tiny import Shape, write_checkpoint

    monkeypatch.setattr(diagnosis, "REPORT_TOKENS", 64)
    config = EngineConfig(write_checkpoint(tmp_path / "tiny", Shape(), seed=0), device="cpu", threads=1)
    with Engine(config) as engine:
        real = replace(plant, engine=cast(FakeEngine, engine))
        for number in range(3):
            real.submit(f"part-{number}", (GOOD, DENT)[number % 2], seconds_left=3600.0)
        real.submit("late", seconds_left=-1.0)
        real.work_until_empty(300.0)
    assert {queue: plant.ledger.jobs.waiting(queue) for queue in Queue} == dict.fromkeys(Queue, 0)
    assert plant.reason("late").code == "deadline-passed"
    for number in range(3):
        _check(plant, f"part-{number}", engine.info)


def _check(plant: Plant, result_id: str, info: Any) -> None:  # noqa: ANN401
    verdict = plant.verdict(result_id)
    assert verdict.decision is not Decision.NOT_INSPECTED
    assert math.fsum(score.probability for score in verdict.scores) == pytest.approx(1.0)
    assert verdict.versions.model_digest == info.checkpoint_digest
    state = plant.state(result_id)
    if state.stage is Stage.DEAD:
        assert state.problem is not None
        assert state.problem.code == "deliveries-exhausted"
    elif verdict.decision is not Decision.ACCEPT:
        assert state.report is not None
