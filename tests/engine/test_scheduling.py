"""Who goes first, and what becomes of requests that are late, cancelled, or left when the engine closes."""

import itertools
import threading
import time
from concurrent.futures import CancelledError, Future
from pathlib import Path
from typing import Any

import pytest
import torch

from engine import (
    CacheCorrupt,
    Capacity,
    CheckpointInvalid,
    Completion,
    ComputationFailed,
    ConfigInvalid,
    DeadlinePassed,
    DeviceUnavailable,
    Engine,
    EngineClosed,
    EngineConfig,
    OutOfMemory,
    Priority,
    Prompt,
    Sampling,
    Scores,
)
from engine.model import ErnieVL
from engine.serving.executor import device_errors
from engine.serving.jobs import ScoreJob
from engine.serving.requests import OutputPart
from tests.conftest import WaitUntil

CHOICES = ("good", "pit")
LONG = Sampling(max_tokens=2000, temperature=1.0)
QUESTION = Prompt(("Inspect the part.",))


class Gate:
    """A callback that lets the caller know that writing is under way, and holds it until opened."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.opened = threading.Event()
        self.calls = 0

    def __call__(self, part: OutputPart, text: str) -> None:
        """Called on the engine's thread with the first text."""
        self.calls += 1
        self.reached.set()
        assert self.opened.wait(30), f"nobody opened the gate at {part} {text!r}"


@pytest.fixture
def own_engine(tiny_checkpoint: Path) -> Engine:
    """An engine that the test may close; it has a thread and no other resource."""
    return Engine(EngineConfig(tiny_checkpoint, device="cpu"))


def _held(engine: Engine, sampling: Sampling = LONG) -> tuple[Future[Completion], Gate]:
    """A report whose writing has begun and waits for its gate."""
    gate = Gate()
    report = engine.generate(QUESTION, sampling, on_text=gate)
    assert gate.reached.wait(30)
    return report, gate


def test_a_verdict_does_not_wait_for_a_report(engine: Engine) -> None:
    """Submitted while a report is being written, it is there long before the report."""
    report, gate = _held(engine)
    verdict = engine.score(QUESTION, CHOICES)
    gate.opened.set()
    verdict.result(30)
    assert not report.done()
    report.cancel()


def test_verdicts_go_first(engine: Engine) -> None:
    """Two reports, then two verdicts, while the device is busy: both verdicts end before either report."""
    blocker, gate = _held(engine)
    ended: list[str] = []
    futures: dict[str, Future[Completion]] = {}
    for name, priority, tokens in (
        ("report 1", Priority.REPORT, 20),
        ("report 2", Priority.REPORT, 20),
        ("verdict 1", Priority.VERDICT, 3),
        ("verdict 2", Priority.VERDICT, 1),
    ):
        future = engine.generate(QUESTION, Sampling(max_tokens=tokens), priority=priority)
        future.add_done_callback(lambda _, name=name: ended.append(name))  # type: ignore[misc]
        futures[name] = future
    blocker.cancel()
    gate.opened.set()
    for future in futures.values():
        future.result(30)
    assert sorted(ended[:2]) == ["verdict 1", "verdict 2"]


def test_a_late_request_costs_no_work(engine: Engine) -> None:
    """Whether late on arrival or while it waited."""
    late = engine.score(QUESTION, CHOICES, deadline=time.monotonic() - 1).exception(30)
    assert isinstance(late, DeadlinePassed)
    assert "1.0" in late.detail
    report, gate = _held(engine)
    waiting = engine.score(QUESTION, CHOICES, deadline=time.monotonic() + 0.05)
    time.sleep(0.1)
    gate.opened.set()
    assert isinstance(waiting.exception(30), DeadlinePassed)
    report.cancel()


def test_a_deadline_that_is_kept_changes_nothing(engine: Engine) -> None:
    """It bounds when work begins, not when it ends."""
    assert engine.score(QUESTION, CHOICES, deadline=time.monotonic() + 60).result(30).prompt_tokens > 0


def test_a_cancelled_report_stops_at_the_next_step(engine: Engine, wait_until: WaitUntil) -> None:
    """Its caller has gone; hardly another token is written, of the 2000 it asked for."""
    report, gate = _held(engine)
    assert report.cancel()
    gate.opened.set()
    wait_until(lambda: engine.stats().reports.unfinished == 0)
    assert gate.calls <= 2
    with pytest.raises(CancelledError):
        report.result(30)


def test_closing_drains_what_was_taken(own_engine: Engine) -> None:
    """Everything accepted is answered; what comes later is refused."""
    futures = [own_engine.score(QUESTION, CHOICES) for _ in range(3)]
    report = own_engine.generate(QUESTION, Sampling(max_tokens=3))
    own_engine.close(drain=True)
    assert all(future.done() for future in futures)
    assert report.result().completion_tokens == 3
    assert isinstance(own_engine.score(QUESTION, CHOICES).exception(1), EngineClosed)


def test_closing_at_once_fails_what_is_left(own_engine: Engine) -> None:
    """The running report and what waits behind it end with EngineClosed, not in silence."""
    report, gate = _held(own_engine)
    waiting = own_engine.generate(QUESTION, Sampling(max_tokens=3))
    closer = threading.Thread(target=own_engine.close, kwargs={"drain": False})
    closer.start()
    gate.opened.set()
    closer.join(30)
    for future in (report, waiting):
        assert isinstance(future.exception(1), EngineClosed)
    assert own_engine.stats().reports.unfinished == 0
    own_engine.close()


def test_stats_count_what_was_done(own_engine: Engine) -> None:
    """Finished, failed, and tokens in and out; nothing is unfinished in the end."""
    own_engine.score(QUESTION, CHOICES).result(30)
    own_engine.generate(QUESTION, Sampling(max_tokens=3)).result(30)
    own_engine.close()
    verdicts, reports = own_engine.stats().verdicts, own_engine.stats().reports
    assert (verdicts.finished, reports.finished, reports.completion_tokens) == (1, 1, 3)
    assert verdicts.failed == reports.failed == verdicts.unfinished == reports.unfinished == 0
    assert verdicts.prompt_tokens > 3


def test_timings_add_up(engine: Engine) -> None:
    """Every part of a request's time is there, and none is negative."""
    began = time.monotonic()
    timings = engine.generate(QUESTION, Sampling(max_tokens=4)).result(30).timings
    parts = (timings.prepare, timings.wait, timings.prefill, timings.decode)
    assert min(parts) >= 0
    assert sum(parts) <= time.monotonic() - began


@pytest.fixture
def network(own_engine: Engine) -> ErnieVL:
    """The network inside `own_engine`, for tests that break it."""
    return own_engine._loop._executor._network


def test_a_frame_too_large_for_memory_fails_alone(
    own_engine: Engine, network: ErnieVL, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scores that do not fit together are computed one by one, and only the one that never fits is told."""
    hidden_states = network.hidden_states

    def small_memory(token_ids: torch.Tensor, *rest: object) -> torch.Tensor:
        if len(token_ids) > 60:
            torch.empty(1 << 60)
        return hidden_states(token_ids, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(network, "hidden_states", small_memory)
    report, gate = _held(own_engine)
    large = Prompt(("Inspect the part. " * 20,))
    futures = [own_engine.score(prompt, CHOICES) for prompt in (QUESTION, large, QUESTION)]
    report.cancel()
    gate.opened.set()
    faults = [type(future.exception(30)) for future in futures]
    assert faults == [type(None), OutOfMemory, type(None)]
    own_engine.close()


def test_memory_of_every_kind_is_the_same_error() -> None:
    """A GPU's, numpy's; any other fault is the request's as well, under another name."""
    for fault in (torch.OutOfMemoryError("no room"), MemoryError("no room")):
        with pytest.raises(OutOfMemory, match="no room"), device_errors():
            raise fault
    with pytest.raises(ComputationFailed, match="another"), device_errors():
        raise RuntimeError("another")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_unexplained_fault_ends_the_engine_loudly(
    own_engine: Engine, network: ErnieVL, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No caller waits for ever: each learns that the engine failed, and why."""

    def broken(*_: object) -> torch.Tensor:
        raise RuntimeError("the device is gone")

    monkeypatch.setattr(network, "hidden_states", broken)
    for future in (own_engine.score(QUESTION, CHOICES), own_engine.generate(QUESTION, LONG)):
        fault = future.exception(30)
        assert isinstance(fault, EngineClosed)
        assert "the device is gone" in fault.detail
    assert own_engine.stats().failure is not None
    assert "the device is gone" in str(own_engine.stats().failure)
    own_engine.close()


def test_a_fault_in_one_answer_is_nobody_elses(own_engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of three frames scored together the second meets a fault: the others have their scores."""
    conclude, calls = ScoreJob.conclude, itertools.count(1)

    def failing(job: ScoreJob, logits: torch.Tensor) -> Scores:
        if next(calls) == 2:
            raise RuntimeError("a defect")
        return conclude(job, logits)

    monkeypatch.setattr(ScoreJob, "conclude", failing)
    report, gate = _held(own_engine)
    futures = [own_engine.score(QUESTION, CHOICES) for _ in range(3)]
    gate.opened.set()
    faults = [type(future.exception(30)) for future in futures]
    assert faults == [type(None), ComputationFailed, type(None)]
    report.cancel()
    own_engine.close()
    assert own_engine.stats().verdicts.unfinished == own_engine.stats().reports.unfinished == 0


def test_the_device_is_found_or_refused(engine: Engine, tiny_checkpoint: Path) -> None:
    """What `auto` chose is said; what is not there is an error with a hint."""
    assert engine.info.device == "cpu"
    assert engine.info.dtype == "float32"
    missing = f"cuda:{torch.cuda.device_count()}"
    for device, said in ((missing, "torch sees"), ("tpu", "unknown"), ("cuda:x", "unknown")):
        with pytest.raises(DeviceUnavailable, match=said):
            Engine(EngineConfig(tiny_checkpoint, device=device))


def test_info_names_the_model(engine: Engine, tiny_checkpoint: Path) -> None:
    """Name, digest and size, as results carry them."""
    assert engine.info.model_name == tiny_checkpoint.name
    assert len(engine.info.checkpoint_digest) == 64
    assert engine.info.parameters > 100_000


def test_a_checkpoint_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    """Not a stack trace."""
    with pytest.raises(CheckpointInvalid, match="config.json is missing"):
        Engine(EngineConfig(tmp_path / "nowhere", device="cpu"))


def test_a_request_that_never_fits_is_refused_at_once(tiny_checkpoint: Path) -> None:
    """With the tokens it needs and those that fit, in tokens and in bytes; smaller ones are served."""
    with Engine(EngineConfig(tiny_checkpoint, device="cpu", cache_bytes=90_000)) as engine:
        fits = engine.info.max_model_len
        fault = engine.generate(QUESTION, Sampling(max_tokens=fits)).exception(30)
        assert isinstance(fault, OutOfMemory)
        assert str(fits) in fault.detail
        assert "bytes" in fault.detail
        assert engine.generate(QUESTION, Sampling(max_tokens=fits // 4)).result(30).completion_tokens > 0


@pytest.mark.parametrize("name", ["max_batch", "cache_bytes", "step_tokens", "max_model_len", "threads"])
def test_numbers_that_leave_nothing_to_compute_with_are_refused(tiny_checkpoint: Path, name: str) -> None:
    """Before anything is loaded; a cache that holds no block is refused as well."""
    settings: dict[str, Any] = {"checkpoint": tiny_checkpoint, name: 0}
    with pytest.raises(ConfigInvalid, match=f"{name} is 0"):
        EngineConfig(**settings)
    with pytest.raises(ConfigInvalid, match="a cache of 1000 bytes"):
        Engine(EngineConfig(tiny_checkpoint, device="cpu", cache_bytes=1000))


def test_room_shrinks_with_what_is_unfinished(own_engine: Engine) -> None:
    """Two batches fit; more are taken, and only wait."""
    empty = own_engine.capacity()
    report, gate = _held(own_engine)
    waiting = [own_engine.generate(QUESTION, Sampling(max_tokens=3)) for _ in range(empty.reports)]
    assert own_engine.capacity() == Capacity(verdicts=empty.verdicts, reports=0)
    for future in (report, *waiting):
        future.cancel()
    gate.opened.set()
    own_engine.close()
    assert own_engine.capacity() == empty


def test_the_accounts_of_the_cache_agree(own_engine: Engine) -> None:
    """While a report is written, and after all; a block that was lost is found and ends the engine."""
    report, gate = _held(own_engine)
    gate.opened.set()
    own_engine.check_integrity()
    report.cancel()
    own_engine.score(QUESTION, CHOICES).result(30)
    own_engine.check_integrity()
    assert own_engine.stats().cache_blocks_used == 0
    own_engine.close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_lost_block_ends_the_engine(own_engine: Engine) -> None:
    """Better no verdict than one from another frame's keys."""
    own_engine._loop._executor.blocks.take(1)
    with pytest.raises(CacheCorrupt):
        own_engine.check_integrity()
    own_engine.close()
    assert own_engine.stats().failure is not None
