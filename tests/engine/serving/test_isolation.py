"""One bad request among good ones: it is told, the others are answered, and nobody reads what it left."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from engine import ComputationFailed, Engine, EngineConfig, EngineError, Priority
from engine.model import ErnieVL
from tests.engine.serving.traffic import PROMPTS, Alone, Ask, Stepped

BAD = 5
"""The prompt that breaks: the one with a system turn, which shares no prefix with the others."""

SCORES = [Ask(n, classes=0, priority=Priority.VERDICT) for n in range(len(PROMPTS))]


@pytest.fixture
def stepped(tiny_checkpoint: Path) -> Stepped:
    """An engine that the test may break."""
    return Stepped(Engine(EngineConfig(tiny_checkpoint, device="cpu", step_tokens=4096)))


@pytest.fixture(scope="module")
def alone(tiny_checkpoint: Path) -> Alone:
    """Answers of a sound network."""
    return Alone(tiny_checkpoint)


def _bad_token(stepped: Stepped) -> int:
    """A token that only the bad prompt has."""
    encode = stepped.engine._encoder.encode
    ids: list[set[int]] = [
        set(encode(p, thinking=False, answer_tokens=1).token_ids.tolist()) for p in PROMPTS
    ]
    return min(ids[BAD] - set().union(*(other for n, other in enumerate(ids) if n != BAD)))


def _break(stepped: Stepped, monkeypatch: pytest.MonkeyPatch, harm: Callable[[torch.Tensor], None]) -> None:
    """Have every pass that reads the bad token harmed."""
    network: ErnieVL = stepped.engine._loop._executor._network
    hidden_states, token = network.hidden_states, _bad_token(stepped)

    def harmed(token_ids: torch.Tensor, *rest: torch.Tensor) -> torch.Tensor:
        hidden = hidden_states(token_ids, *rest)  # type: ignore[arg-type]
        if (places := (token_ids == token).nonzero()[:, 0]).numel():
            harm(hidden[int(places[0]) :])
        return hidden

    monkeypatch.setattr(network, "hidden_states", harmed)


def _raise(_: torch.Tensor) -> None:
    raise RuntimeError("a kernel met its match")


@pytest.mark.parametrize("reports", [0, 2])
def test_what_one_request_raises_fails_it_alone(
    stepped: Stepped, alone: Alone, monkeypatch: pytest.MonkeyPatch, reports: int
) -> None:
    """Found by halving; reports that run beside it go on."""
    _break(stepped, monkeypatch, _raise)
    asks = [*(Ask(n, tokens=20) for n in range(reports)), *SCORES]
    futures = [ask.of(stepped.engine) for ask in asks]
    stepped.finish()
    for ask, future in zip(asks, futures, strict=True):
        if ask.prompt == BAD:
            fault = future.exception(1)
            assert isinstance(fault, ComputationFailed)
            assert "met its match" in fault.detail
        else:
            alone.check(ask, future.result(1))
    assert stepped.engine.stats().failure is None


def test_numbers_that_are_none_are_never_read_by_others(stepped: Stepped, alone: Alone) -> None:
    """Keys that are not finite are wiped with the request that left them; its blocks serve the next ones."""
    executor = stepped.engine._loop._executor
    embed, token = executor._network.decoder.embed_tokens, _bad_token(stepped)

    def poisoned(_: torch.nn.Module, inputs: tuple[torch.Tensor], out: torch.Tensor) -> None:
        out[inputs[0] == token] = torch.nan

    hook = embed.register_forward_hook(poisoned)
    futures = [ask.of(stepped.engine) for ask in SCORES]
    stepped.finish()
    hook.remove()
    assert isinstance(futures[BAD].exception(1), ComputationFailed)
    for ask, future in zip(SCORES, futures, strict=True):
        if ask.prompt != BAD:
            alone.check(ask, future.result(1))
    assert executor.pool.keys.isfinite().all()
    assert executor.pool.values.isfinite().all()
    again = SCORES[BAD].of(stepped.engine)
    stepped.finish()
    alone.check(SCORES[BAD], again.result(1))


def test_a_fault_of_a_report_leaves_the_others_writing(
    stepped: Stepped, alone: Alone, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pass over three reports raises whenever the second is in it."""
    network: ErnieVL = stepped.engine._loop._executor._network
    asks = [Ask(n, tokens=12) for n in range(3)]
    futures = [ask.of(stepped.engine) for ask in asks]
    stepped.go(2)
    jobs = stepped.engine._loop._queues[Priority.REPORT].jobs
    block, decode = jobs[1].blocks[-1], network.decode

    def harmed(token_ids: torch.Tensor, positions: torch.Tensor, layout: object) -> torch.Tensor:
        slots = layout.slots  # type: ignore[attr-defined]
        if (slots // 16 == block).any():
            raise RuntimeError("a kernel met its match")
        return decode(token_ids, positions, layout)  # type: ignore[arg-type]

    monkeypatch.setattr(network, "decode", harmed)
    stepped.finish()
    assert isinstance(futures[1].exception(1), EngineError)
    for n in (0, 2):
        alone.check(asks[n], futures[n].result(1))
