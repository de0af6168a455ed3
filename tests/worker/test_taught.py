"""What a recipe was taught judges its parts; what was not measured accepts nothing."""

import shutil
from pathlib import Path

import pytest

from engine import Opinion, TeachOptions, save_part, teach
from schemas.job import DiagnosisJob
from schemas.recipe import Recipe
from schemas.report import CANNOT_TELL
from schemas.verdict import Decision
from services.infra.intake import images
from services.infra.process.errors import FrameUnfit, RecipeInvalid
from services.infra.process.names import Queue
from services.infra.stores.ledger import Stage
from tests.engine.tuning.parts import pictures, plate
from tests.worker.plant import DENT, GOOD, RECIPE, Plant, make_job, write_recipe
from tests.worker.test_verdicts import recipe_of
from worker.diagnosis import Place, crop, oddest_place, schema_of
from worker.taught import TaughtParts
from worker.verdicts import judge_opinion

PLATE = RECIPE.replace("scratch", "spot").replace("  - {name: dent, wording: dent, severity: major}\n", "")
UNTAUGHT = RECIPE[: RECIPE.index("evidence:")]


@pytest.fixture(scope="module")
def artefact(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder and the digest of a part that was taught with twelve plates."""
    folder = tmp_path_factory.mktemp("taught")
    part = teach(pictures({"good": 6, "spot": 6}), TeachOptions(orientations=False))
    return folder, save_part(part, folder)


@pytest.fixture
def taught_plant(plant: Plant, artefact: tuple[Path, str]) -> Plant:
    """A plant whose recipe names that part."""
    folder, digest = artefact
    shutil.copytree(folder, plant.recipes.directory / "taught")
    named = f"taught: {{digest: {digest}, path: taught}}\n"
    measured = PLATE.replace("  by: the tests\n", f"  by: the tests\n  taught_digest: {digest}\n")
    write_recipe(plant.recipes.directory, measured + named)
    plant.recipes.reload_if_changed()
    return plant


def show(plant: Plant, result_id: str, seed: int, label: str) -> None:
    """Accepts a plate of one kind."""
    data = images.encode_png(plate(seed, label))
    job = make_job(result_id, data)
    plant.frames.put(result_id, data)
    plant.ledger.jobs.add(job, job.frame.digest)


def test_a_taught_recipe_judges_with_what_it_was_taught(taught_plant: Plant) -> None:
    """A plate that nobody showed before is judged, and the map is hottest at its spot."""
    show(taught_plant, "spotted", 400, "spot")
    taught_plant.work_loop(queues=(Queue.INSPECT,)).run(Queue.INSPECT)
    verdict = taught_plant.verdict("spotted")
    assert verdict.decision in {Decision.REVIEW, Decision.REJECT}
    assert verdict.defect_class == "spot"
    assert verdict.anomaly_map is not None
    assert verdict.anomaly_map.png.startswith(b"\x89PNG")
    box = verdict.anomaly_map.hottest
    assert box is not None
    hottest = plate(400, "spot")[box.y : box.y + box.height, box.x : box.x + box.width]
    assert (hottest == plate(400, "spot").min()).any()


def test_an_artefact_that_was_changed_judges_nothing(taught_plant: Plant) -> None:
    """Its digest is not the one that the recipe names, so the part is NOT_INSPECTED and a person looks."""
    changed = next((taught_plant.recipes.directory / "taught").glob("*.safetensors"))
    changed.write_bytes(changed.read_bytes() + b"\0")
    show(taught_plant, "plate", 500, "good")
    taught_plant.work_loop(queues=(Queue.INSPECT,)).run(Queue.INSPECT)
    assert taught_plant.verdict("plate").decision is Decision.NOT_INSPECTED
    assert taught_plant.reason("plate").code == "recipe-invalid"
    assert taught_plant.state("plate").stage is Stage.DEAD


def test_another_artefact_than_the_one_named_judges_nothing(taught_plant: Plant) -> None:
    """It is whole, and still not what was measured."""
    file = taught_plant.recipes.directory / "surface.yaml"
    named = taught_plant.recipes.get("surface").taught
    assert named is not None
    file.write_text(file.read_text().replace(named.digest, "a" * 64))
    taught_plant.recipes.reload_if_changed()
    show(taught_plant, "plate", 500, "good")
    taught_plant.work_loop(queues=(Queue.INSPECT,)).run(Queue.INSPECT)
    assert taught_plant.verdict("plate").decision is Decision.NOT_INSPECTED
    assert "names aaaaaaaaaaaa" in taught_plant.reason("plate").detail


@pytest.mark.parametrize("index", [GOOD, DENT])
def test_an_untaught_recipe_decides_nothing(plant: Plant, index: int) -> None:
    """However sure the model is, a person looks, and the verdict says why."""
    write_recipe(plant.recipes.directory, UNTAUGHT)
    plant.recipes.reload_if_changed()
    plant.submit("part", index)
    plant.work()
    verdict = plant.verdict("part")
    assert verdict.decision is Decision.REVIEW
    assert any("untaught" in remark for remark in verdict.remarks)


def test_a_recipe_without_an_escape_bound_accepts_nothing(plant: Plant) -> None:
    """What was measured on three bad parts bounds nothing; a defect is rejected all the same."""
    loose = RECIPE.replace("bad_parts: 400", "bad_parts: 3").replace(
        "escape_bound: 0.01", "escape_bound: 0.63"
    )
    write_recipe(plant.recipes.directory, loose)
    plant.recipes.reload_if_changed()
    plant.submit("good", GOOD)
    plant.submit("dented", DENT)
    plant.work()
    assert plant.verdict("good").decision is Decision.REVIEW
    assert plant.verdict("dented").decision is Decision.REJECT


def opinion(good: float, **changes: object) -> Opinion:
    """An opinion that is so sure of a good part."""
    probabilities = {"good": good, "scratch": (1 - good) / 2, "dent": (1 - good) / 2}
    fields = {
        "probabilities": probabilities,
        "anomaly": 0.0,
        "anomaly_map": plate(0)[..., 0].astype("float32") / 255,
        "box": None,
        "disagreement": 0.0,
        "is_doubtful": False,
        "not_judged": None,
        "said": {},
    }
    return Opinion(**(fields | changes))  # type: ignore[arg-type]


def measured_recipe() -> Recipe:
    """A recipe that may accept."""
    from tests.schemas.test_standing import evidence

    found = evidence(taught_digest=None, accept_below=0.35, reject_from=0.65)
    return recipe_of().model_copy(update={"evidence": found})


def test_opinions_that_contradict_each_other_accept_nothing() -> None:
    """Where they differ as on no good part before, a person settles it."""
    assert judge_opinion(opinion(0.99), measured_recipe()).decision is Decision.ACCEPT
    doubted = judge_opinion(opinion(0.99, disagreement=0.95, is_doubtful=True), measured_recipe())
    assert doubted.decision is Decision.REVIEW
    assert "differ by 0.95" in doubted.remarks[0]


def test_a_picture_that_cannot_be_judged_is_no_verdict() -> None:
    """The reason is the frame's, not the part's."""
    with pytest.raises(FrameUnfit, match="dark"):
        judge_opinion(opinion(0.99, not_judged="the picture is dark"), measured_recipe())


def test_an_anomaly_without_a_name_counts_as_a_defect() -> None:
    """Where only good parts were taught, what is odd is shared among the recipe's defects."""
    odd = opinion(0.1, probabilities={"good": 0.1, "anomaly": 0.9})
    judgement = judge_opinion(odd, measured_recipe())
    assert judgement.decision is Decision.REJECT
    assert judgement.defect_probability == pytest.approx(0.9)


@pytest.mark.parametrize(
    ("place", "words"),
    [
        (Place(0.0, 0.0, 0.2, 0.2), "upper left"),
        (Place(0.4, 0.4, 0.6, 0.6), "centre"),
        (Place(0.4, 0.8, 0.6, 1.0), "lower middle"),
        (Place(0.9, 0.4, 1.0, 0.6), "middle right"),
    ],
)
def test_a_place_is_named_as_a_person_says_it(place: Place, words: str) -> None:
    """By the ninth of the picture in which its centre lies."""
    assert place.in_words() == words


def test_a_report_is_told_where_the_part_looks_odd(taught_plant: Plant) -> None:
    """The place was measured, so the model does not guess it; it sees the region once more."""
    show(taught_plant, "spotted", 400, "spot")
    taught_plant.work_loop(queues=(Queue.INSPECT,)).run(Queue.INSPECT)
    job = taught_plant.ledger.jobs.read(Queue.DIAGNOSE, "looker", 1)[0].job
    assert isinstance(job, DiagnosisJob)
    recipe = taught_plant.recipes.get("surface")
    oddest = oddest_place(job)
    assert oddest is not None
    properties = schema_of(recipe, oddest)["properties"]
    assert properties["defect"] == {"enum": ["spot", CANNOT_TELL]}
    frame = plate(400, "spot")
    assert properties["where"] == {"const": oddest.in_words()}
    closer = crop(oddest, frame)
    assert closer is not None
    assert closer.min() == frame.min()


def test_what_a_recipe_was_taught_is_there_before_its_first_part(
    taught_plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker reads it when it starts and when recipes change, not while a part waits."""
    parts = TaughtParts(taught_plant.recipes)
    parts.prepare().result()
    monkeypatch.setattr("worker.taught.load_part", lambda _: pytest.fail("read while a part waited"))
    assert (
        parts.ask(taught_plant.recipes.get("surface"), plate(400, "spot")).result().probabilities["spot"]
        > 0.5
    )


def test_one_artefact_that_is_broken_stops_no_worker(taught_plant: Plant) -> None:
    """Its parts say so; the worker starts all the same."""
    shutil.rmtree(taught_plant.recipes.directory / "taught")
    parts = TaughtParts(taught_plant.recipes)
    parts.prepare().result()
    with pytest.raises(RecipeInvalid):
        parts.ask(taught_plant.recipes.get("surface"), plate(400)).result()
