"""`make bench`: what this machine cannot run is named and passed over, and only a failed script fails it."""

import sys
from pathlib import Path

import pytest

from bench import __main__ as bench
from tests.repository import ROOT, module_name, python_files


def run(monkeypatch: pytest.MonkeyPatch, scripts: tuple[bench.Script, ...], *arguments: str) -> None:
    """`python -m bench` with these scripts only."""
    monkeypatch.setattr(bench, "SCRIPTS", scripts)
    monkeypatch.setattr(sys, "argv", ["bench", *arguments])
    bench.main()


def test_every_script_is_run_or_named() -> None:
    """A new file with a command line of its own says in the list what it needs."""
    scripts = {
        module_name(path).removesuffix(".__main__").removeprefix("bench.")
        for path in python_files("bench")
        if '__name__ == "__main__"' in (ROOT / path).read_text(encoding="utf-8")
    }
    listed = [script.name for script in bench.SCRIPTS] + list(bench.HELPERS)
    assert sorted(listed) == sorted(scripts - {"bench"})


def test_what_cannot_run_here_is_named_and_the_rest_goes_on(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A folder or a device that is not there is no failure; with the folder given, its script is run."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    scripts = (
        bench.Script("nowhere", needs=bench.GPU),
        bench.Script("host", writes="stores"),
        bench.Script("host"),
    )
    run(monkeypatch, scripts)
    lines = capfd.readouterr().out.splitlines()
    assert lines == [
        "== nowhere: left out, it needs a GPU",
        "== host: left out, it needs --work FOLDER",
        "== host",
    ]
    run(monkeypatch, scripts, "--work", str(tmp_path / "work"))
    assert capfd.readouterr().out.splitlines()[1:] == ["== host", "== host"]


def test_a_script_that_fails_does_not_stop_the_others_and_is_named_at_the_end(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The exit is not zero, and says which."""
    with pytest.raises(SystemExit, match="failed: not_there"):
        run(monkeypatch, (bench.Script("not_there"), bench.Script("host")))
    assert "== host" in capfd.readouterr().out
