"""Two paths, one answer: whoever else is served, in whatever chunks, each request gets what it gets alone."""

import time
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.serving.peer import write_plain
from engine import Completion, DeadlinePassed, Engine, EngineConfig, Priority, Scores
from engine.model.cache import BLOCK_TOKENS
from tests.engine.serving.traffic import PROMPTS, Alone, Ask, Stepped

STARTER = Path(__file__).resolve().parents[3] / "models" / "starter"

scores = st.builds(
    Ask,
    prompt=st.integers(0, len(PROMPTS) - 1),
    classes=st.integers(0, 1),
    priority=st.sampled_from(Priority),
)
texts = st.builds(
    Ask,
    prompt=st.integers(0, len(PROMPTS) - 1),
    tokens=st.sampled_from((1, 8, 40)),
    temperature=st.sampled_from((0.0, 1.0)),
    thinking=st.booleans(),
    bound=st.booleans(),
    priority=st.sampled_from(Priority),
)


@dataclass(frozen=True)
class Event:
    """A request, the steps before it arrives, and what befalls it: cancelled so many steps later, or late."""

    ask: Ask
    steps_before: int
    cancelled_after: int | None = None
    late: bool = False


events = st.builds(
    Event,
    ask=scores | texts,
    steps_before=st.integers(0, 3),
    cancelled_after=st.none() | st.integers(0, 4),
    late=st.sampled_from((False, False, False, True)),
)


@pytest.fixture(scope="session")
def plain_starter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The weights of the starter as plain fp32."""
    directory = tmp_path_factory.mktemp("starter-fp32")
    write_plain(STARTER, directory)
    return directory


@pytest.fixture(scope="module", params=["tiny", "starter in fp32", "starter"])
def checkpoint(request: pytest.FixtureRequest, tiny_checkpoint: Path, plain_starter: Path) -> Path:
    """A random network and the trained one, in fp32, and the compressed one that ships."""
    return {"tiny": tiny_checkpoint, "starter in fp32": plain_starter, "starter": STARTER}[request.param]


@pytest.fixture(scope="module")
def alone(checkpoint: Path) -> Alone:
    """Answers alone."""
    return Alone(checkpoint)


def _tight(checkpoint: Path) -> EngineConfig:
    """Small chunks, few at once, and blocks for little more than the longest request."""
    with Engine(EngineConfig(checkpoint, device="cpu", cache_bytes=1 << 24, step_tokens=64)) as engine:
        stats = engine.stats()
        block = stats.cache_bytes // (stats.cache_blocks + 1)
        longest = max(Ask(n, tokens=1).of(engine).result(60).prompt_tokens for n in range(len(PROMPTS)))
    blocks = -(-(longest + 40) // BLOCK_TOKENS) + 1
    return EngineConfig(
        checkpoint, device="cpu", max_batch=3, step_tokens=40, cache_bytes=int((blocks + 1) * block / 0.9) + 1
    )


@pytest.fixture(scope="module")
def tight(checkpoint: Path) -> Iterator[Stepped]:
    """An engine whose cache is too small for its work."""
    stepped = Stepped(Engine(_tight(checkpoint)))
    yield stepped
    stepped.engine._loop._step = lambda: None  # type: ignore[method-assign]
    stepped.engine.close(drain=False)


def _serve(stepped: Stepped, story: list[Event], alone: Alone) -> None:
    """Play a story, and compare every answer."""
    futures = []
    cancels: list[tuple[Future[Scores] | Future[Completion], int]] = []
    for event in story:
        stepped.go(event.steps_before)
        cancels = [(future, steps - event.steps_before) for future, steps in cancels]
        for future, _ in filter(lambda pair: pair[1] <= 0, cancels):
            future.cancel()
        deadline = time.monotonic() + (-1 if event.late else 60)
        future = event.ask.of(stepped.engine, deadline)
        futures.append(future)
        if event.cancelled_after is not None:
            cancels.append((future, event.cancelled_after))
    stepped.finish()
    for event, future in zip(story, futures, strict=True):
        if event.late:
            assert isinstance(future.exception(1), DeadlinePassed)
        elif future.cancelled():
            assert event.cancelled_after is not None
        else:
            alone.check(event.ask, future.result(1))


@settings(max_examples=30, suppress_health_check=list(HealthCheck))
@given(story=st.lists(events, min_size=1, max_size=8))
def test_any_traffic_is_answered_as_each_request_alone(
    tight: Stepped, alone: Alone, story: list[Event]
) -> None:
    """Arrivals at any step, cancels, late ones, a cache too small: the same texts, scores within 1e-4."""
    _serve(tight, story, alone)


def test_reports_that_were_preempted_say_the_same(tight: Stepped, alone: Alone) -> None:
    """Verdicts that share nothing with them take their blocks; each report goes on as if undisturbed."""
    before = tight.engine.stats().reports.preemptions
    reports = [Event(Ask(n, tokens=40, temperature=1.0, thinking=True), steps_before=1) for n in range(3)]
    verdicts = [Event(Ask(n, classes=0, priority=Priority.VERDICT), steps_before=3) for n in (5, 4, 5)]
    _serve(tight, [*reports, *verdicts], alone)
    assert tight.engine.stats().reports.preemptions > before


def test_a_prefix_that_is_there_is_not_computed_again(tight: Stepped, alone: Alone) -> None:
    """The second frame of a recipe pays for itself alone, and its answer is the same."""
    ask = Ask(1, classes=0, priority=Priority.VERDICT)
    for _ in range(2):
        before = tight.engine.stats().verdicts
        _serve(tight, [Event(Ask(0, classes=0, priority=Priority.VERDICT), 0), Event(ask, 9)], alone)
    after = tight.engine.stats().verdicts
    assert (after.reused_tokens - before.reused_tokens) / (after.prompt_tokens - before.prompt_tokens) > 0.5


def test_a_prefix_is_shared_within_one_step(checkpoint: Path, alone: Alone) -> None:
    """Frames of one recipe that come together compute its words and its golden image once."""
    stepped = Stepped(Engine(EngineConfig(checkpoint, device="cpu", step_tokens=4096)))
    asks = [Ask(n, classes=0, priority=Priority.VERDICT) for n in range(3)]
    futures = [ask.of(stepped.engine) for ask in asks]
    stepped.finish()
    for ask, future in zip(asks, futures, strict=True):
        alone.check(ask, future.result(1))
    stats = stepped.engine.stats()
    assert stats.steps == 1
    assert stats.images_seen == 4
    assert stats.verdicts.reused_tokens > 0


def test_reports_end_under_a_stream_of_verdicts(tight: Stepped, alone: Alone) -> None:
    """They wait at every step and want the blocks that reports hold; each report is written all the same."""
    asks = [Ask(n, tokens=4, temperature=1.0) for n in (4, 5)]
    reports = [ask.of(tight.engine) for ask in asks]
    verdicts: list[Future[Scores] | Future[Completion]] = []
    before = tight.engine.stats().reports.preemptions
    while not all(report.done() for report in reports):
        if tight.engine.stats().verdicts.unfinished < 2:
            verdicts += [Ask(n, classes=0, priority=Priority.VERDICT).of(tight.engine) for n in range(4)]
        tight.go(1)
    assert tight.engine.stats().reports.preemptions > before
    for verdict in verdicts:
        verdict.cancel()
    tight.finish()
    for ask, report in zip(asks, reports, strict=True):
        alone.check(ask, report.result(1))


def test_what_a_report_had_written_is_found_again(tiny_checkpoint: Path) -> None:
    """Preempted while nobody needs its blocks: it computes the rest of one block, and says the same."""
    stepped = Stepped(Engine(EngineConfig(tiny_checkpoint, device="cpu")))
    loop, ask = stepped.engine._loop, Ask(4, tokens=40, temperature=1.0)
    report = ask.of(stepped.engine)
    stepped.go(2 * BLOCK_TOKENS)
    loop._preempt(0)
    (waiting,) = loop._queues.state(loop._executor.blocks, loop._pace.limits).reports.waiting
    assert not waiting.begun
    assert waiting.tokens <= BLOCK_TOKENS
    stepped.finish()
    Alone(tiny_checkpoint).check(ask, report.result(1))
    stepped.engine.close()
