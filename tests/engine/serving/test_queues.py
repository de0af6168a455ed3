"""The queues, as the scheduler sees them."""

from pathlib import Path

from engine import Priority, Prompt
from engine.checkpoint.config import ModelConfig
from engine.checkpoint.files import read_json
from engine.serving.blocks import Blocks
from engine.serving.choices import ChoiceTrie
from engine.serving.jobs import ScoreJob
from engine.serving.prompts import PromptEncoder
from engine.serving.queues import RequestQueue
from engine.serving.scheduler import Limits

LIMITS = Limits(batch=2, verdict_tokens=100, report_tokens=25)


def test_who_was_sent_away_comes_back_to_its_place(tiny_checkpoint: Path) -> None:
    """The scheduler sees the first of those that wait, and whoever has begun, wherever they stand."""
    config = ModelConfig.from_json(read_json(tiny_checkpoint / "config.json"))
    prompt = PromptEncoder(tiny_checkpoint, config, 4096).encode(Prompt(("?",)), False, 1)
    trie = ChoiceTrie.of([(5, 2), (6, 2)])
    jobs = [ScoreJob(prompt, Priority.REPORT, None, 0.0, number=number, trie=trie) for number in range(5)]
    queue, blocks = RequestQueue(), Blocks(9)
    for job in jobs[1:]:
        queue.add(job)
    jobs[4].blocks = blocks.take(1)
    queue.add(jobs[0])
    seen = [(job.number, job.begun) for job in queue.view(blocks, LIMITS).waiting]
    assert sorted(seen) == [(0, False), (1, False), (4, True)]
