"""The sources file: what a person may write, and how a mistake is told."""

from pathlib import Path

import pytest

from schemas.problem import FieldError
from services.gateway.sources.config import FolderConfig, RtspConfig, UsbConfig, VideoFileConfig, load_sources
from services.infra.process.errors import SourcesInvalid
from tests.gateway.plant import ROOT

EVERY_KIND = """
sources:
  - {kind: folder, camera_id: cam-1, recipe_id: surface, path: in}
  - {kind: video, camera_id: cam-2, recipe_id: surface, path: line.mp4, loop: true, is_simulated: true}
  - {kind: rtsp, camera_id: cam-3, recipe_id: board, url: "rtsp://user:secret@camera/1", interval_ms: 500}
  - {kind: usb, camera_id: cam-4, recipe_id: board, device: 0, lot_id: LOT-1, job_id: ORDER-1}
"""


def _errors(tmp_path: Path, text: str) -> list[FieldError]:
    path = tmp_path / "sources.yaml"
    path.write_text(text)
    with pytest.raises(SourcesInvalid) as caught:
        load_sources(path)
    return list(caught.value.errors)


def test_every_kind_of_source_can_be_written(tmp_path: Path) -> None:
    """One line each, told apart by `kind`."""
    path = tmp_path / "sources.yaml"
    path.write_text(EVERY_KIND)
    kinds = [type(source) for source in load_sources(path)]
    assert kinds == [FolderConfig, VideoFileConfig, RtspConfig, UsbConfig]


def test_the_example_of_the_documentation_is_a_sources_file(tmp_path: Path) -> None:
    """What docs/sources.md shows can be copied and used."""
    text = (ROOT / "docs" / "sources.md").read_text()
    path = tmp_path / "sources.yaml"
    path.write_text(text.partition("```yaml\n")[2].partition("```")[0])
    assert {source.kind for source in load_sources(path)} == {"folder", "video", "rtsp", "usb"}


def test_a_camera_password_is_not_printed(tmp_path: Path) -> None:
    """A source can be logged without giving the address away."""
    path = tmp_path / "sources.yaml"
    path.write_text(EVERY_KIND)
    assert "secret" not in repr(load_sources(path))


def test_every_mistake_is_named_with_its_line_and_hint(tmp_path: Path) -> None:
    """A misspelt field, a missing one and a wrong value are told at once."""
    text = "sources:\n  - kind: rtsp\n    camera_id: cam 1\n    recipe_id: surface\n    intervall_ms: 5\n"
    found = {error.field: (error.line, error.value, error.hint) for error in _errors(tmp_path, text)}
    assert set(found) == {"sources.0.url", "sources.0.camera_id", "sources.0.intervall_ms"}
    assert found["sources.0.camera_id"][:2] == (3, "cam 1")
    assert found["sources.0.intervall_ms"] == (5, "5", "write 'interval_ms', or remove the line")


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("sources: []\n", "at least one"),
        ("sources:\n  - {kind: foldr, camera_id: a, recipe_id: r, path: p}\n", "'folder'"),
        ("sources:\n" + 2 * "  - {kind: usb, camera_id: a, recipe_id: r, device: 0}\n", "more than once: a"),
        ("sources:\n\t- kind: usb\n", "cannot start any token"),
        ("", "name: value"),
    ],
)
def test_a_file_that_makes_no_gateway_is_refused(tmp_path: Path, text: str, word: str) -> None:
    """Nothing to do, an unknown kind, one camera twice, a tab, an empty file."""
    errors = _errors(tmp_path, text)
    assert any(word in error.detail for error in errors)
    assert all(error.file and error.hint for error in errors)


def test_a_missing_file_is_a_typed_error(tmp_path: Path) -> None:
    """The error names the file."""
    with pytest.raises(SourcesInvalid, match="sources.yaml"):
        load_sources(tmp_path / "sources.yaml")
