"""`lynceus checkpoint`: what it accepts, what it shows, and what it says is missing."""

import json
import shutil
from pathlib import Path

import pytest
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

from engine import CheckpointInvalid
from engine.checkpoint import tokenizer as engine_tokenizer
from services.cli.checkpoint.golden_ids import IDS, golden_fault
from services.cli.places import CHECKPOINT
from tests.cli.conftest import Lynceus
from tests.engine.released import REVISIONS, Revision, released_model
from tests.engine.tiny import Shape

PART = "machined surface"


@pytest.fixture(scope="module", params=REVISIONS, ids=lambda revision: str(revision.name))
def revision(request: pytest.FixtureRequest) -> Revision:
    """Each released revision in turn."""
    return request.param  # type: ignore[no-any-return] # pytest does not know it


@pytest.fixture(scope="module")
def released(revision: Revision, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of the revision; tests must not change them."""
    directory = tmp_path_factory.mktemp(revision.name)
    shape = Shape(layers=2, hidden_size=128, head_dim=32, expert_sizes=(128, 128), experts=2, top_k=1)
    revision.write(released_model(shape, seed=2), directory)
    return directory


def test_every_released_revision_is_accepted(lynceus: Lynceus, released: Path, revision: Revision) -> None:
    """With the prompts of both modes, their ids, and the memory that each way of quantizing needs."""
    told = lynceus("checkpoint", str(released), "--json", "--side", "112")

    found = json.loads(told.output)
    assert told.exit_code == 0, found["checks"]
    assert (found["inspection_works"], found["report_works"]) == (True, True)
    verdict, report = found["samples"]
    assert verdict["text"].endswith(revision.verdict[-20:])
    assert report["text"].endswith(revision.report[-8:])
    assert verdict["tokens"] == len(verdict["ids"])
    assert len(found["memory"]) == 4
    quantized = {need["how"]: need["weight_bytes"] for need in found["memory"]}
    assert quantized["experts in 2 bits, --bits-elsewhere 4"] < quantized["as it is, bfloat16 on a GPU"]


def test_a_person_sees_prompt_sizes_and_memory(lynceus: Lynceus) -> None:
    """On the model that ships, which is quantized already."""
    told = lynceus("checkpoint", str(CHECKPOINT))

    assert told.exit_code == 0
    for words in (
        "our own layout",
        f"Inspect the {PART}",
        "Picture 1:",
        "inspection: would work",
        "of weights",
    ):
        assert words in told.output


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the model that ships, to damage."""
    return Path(shutil.copytree(CHECKPOINT, tmp_path / "copy"))


def test_everything_that_is_missing_is_told_at_once(lynceus: Lynceus, copy: Path) -> None:
    """Each with its hint, and exit code 1."""
    (copy / "tokenizer.json").unlink()
    (copy / "model.safetensors").unlink()
    settings = json.loads((copy / "tokenizer_config.json").read_text(encoding="utf-8"))
    del settings["chat_template"]
    (copy / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")

    told = lynceus("checkpoint", str(copy))

    assert told.exit_code == 1
    for words in (
        "model.safetensors is missing",
        "neither tokenizer.json nor tokenizer.model",
        "no chat template",
    ):
        assert words in told.output
    assert told.output.count("hint: ") >= 3
    assert "inspection: would not work" in told.output


def test_a_template_that_cannot_close_its_block_fails_the_verdict_alone(lynceus: Lynceus, copy: Path) -> None:
    """Reports would work, and the exit code still says no."""
    settings = json.loads((copy / "tokenizer_config.json").read_text(encoding="utf-8"))
    settings["chat_template"] = settings["chat_template"].replace("</think>", "")
    (copy / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")

    found = json.loads(lynceus("checkpoint", str(copy), "--json").output)

    assert (found["inspection_works"], found["report_works"]) == (False, True)
    failed = {check["name"]: check["found"] for check in found["checks"] if check["level"] == "fail"}
    assert "tokenizer_config.json leaves the thinking block open" in failed["verdict"]


WORDS = ("User", ":", "▁What", "▁kind", "▁of", "▁dog", "▁is", "▁this", "?", "Picture", "▁", "1", ":")
MARKS = {"<|begin_of_sentence|>": 100273, "<|IMAGE_START|>": 101304, "<|IMAGE_PLACEHOLDER|>": 100295}


def _released_vocabulary(directory: Path, **moved: int) -> engine_tokenizer.Tokenizer:
    """A vocabulary of the golden prompt's words alone, at their released ids."""
    vocabulary = dict(zip(WORDS, IDS[1:14], strict=True)) | MARKS | {"</s>": 2, "<unk>": 0} | moved
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("▁?[A-Za-z]+|."), "isolated")
    tokenizer.add_special_tokens([*MARKS, "</s>"])
    tokenizer.save(str(directory / "tokenizer.json"))
    (directory / "tokenizer_config.json").write_text('{"eos_token": "</s>"}', encoding="utf-8")
    return engine_tokenizer.Tokenizer(directory)


def test_a_released_vocabulary_must_give_the_known_ids(tmp_path: Path) -> None:
    """The ids of one prompt that are public."""
    assert "gives the known ids" in golden_fault(_released_vocabulary(tmp_path))
    with pytest.raises(CheckpointInvalid, match="cuts a known prompt"):
        golden_fault(_released_vocabulary(tmp_path, **{"1": 5}))


def test_another_vocabulary_is_not_compared() -> None:
    """The starter has its own."""
    assert "nothing to compare" in golden_fault(engine_tokenizer.Tokenizer(CHECKPOINT))
