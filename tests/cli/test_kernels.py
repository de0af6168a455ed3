"""`lynceus kernels build`: kernels for cards that are not here."""

from pathlib import Path

from tests.cli.conftest import Lynceus


def test_an_unknown_architecture_is_told_with_the_known_ones(lynceus: Lynceus, tmp_path: Path) -> None:
    """In words, with exit code 1."""
    told = lynceus("kernels", "build", "--arch", "sm_12", "--into", str(tmp_path / "kernels"))

    assert told.exit_code == 1
    assert "knows no sm_12" in told.messages
    assert "sm_90" in told.messages


def test_a_checkpoint_that_is_not_there_is_named(lynceus: Lynceus, tmp_path: Path) -> None:
    """Its experts are read from config.json."""
    told = lynceus("kernels", "build", "--checkpoint", str(tmp_path), "--into", str(tmp_path))

    assert told.exit_code == 1
    assert "config.json is missing" in told.messages
