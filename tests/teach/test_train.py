"""A folder becomes a measured recipe that the book loads; older parts stay to go back to."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.tuning import load_part
from schemas.evidence import Standing
from schemas.recipe import Region, Regions
from services.cli.places import RECIPES, SAMPLES
from services.infra.intake import RecipeBook, load_recipe
from services.teach.calibration import Aims
from services.teach.data import CheckOptions, checked
from services.teach.data.check import with_findings
from services.teach.data.page import check_page
from services.teach.errors import AimUnreachable, ArtefactInvalid, TeachingError, TooFewPictures
from services.teach.evaluation import Outcome, Outcomes
from services.teach.taught.artefact import Artefact, open_artefact
from services.teach.taught.calibrate import JudgedFolder, calibrated_recipe, evaluated
from services.teach.taught.judging import judge_samples
from services.teach.taught.lesson import named_for, samples_of
from services.teach.taught.maps import map_auroc
from services.teach.taught.names import class_name, class_names, wording
from services.teach.taught.odd import odd_ones
from services.teach.taught.recipe_file import find_recipe, roll_back, taught_versions
from services.teach.taught.train import Trained, TrainOptions, calibrated, train

COMMENT = "# Ask M. Keller before changing the takt.\n"


def few_cookies(root: Path, train_each: int, test_each: int) -> Path:
    """The first cookies of each class and split."""
    for split, count in (("train", train_each), ("test", test_each)):
        for label in ("good", "cracked"):
            (root / split / label).mkdir(parents=True)
            for path in sorted((SAMPLES / "cookies" / split / label).iterdir())[:count]:
                shutil.copy(path, root / split / label)
    return root


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with twelve cookies to teach, six to test, and the recipes that ship beside it."""
    folder = tmp_path_factory.mktemp("plant")
    few_cookies(folder / "cookies", 6, 3)
    shutil.copytree(RECIPES, folder / "recipes")
    return folder


@pytest.fixture(scope="module")
def trained(home: Path) -> Trained:
    """The part taught from them, without a learning curve."""
    told: list[float] = []
    options = TrainOptions("cookies", home / "recipes", "a person", part="biscuit", seconds=1.0)
    result = train(home / "cookies", options, lambda share, _what: told.append(share))
    assert told == sorted(told)
    assert told[-1] == 1.0
    return result


def judged(home: Path, folder: Path) -> JudgedFolder:
    """What the taught part says of a folder."""
    found = find_recipe(home / "recipes", "cookies")
    assert found is not None
    file, recipe = found
    samples = samples_of(checked(folder, CheckOptions()))
    said = judge_samples(open_artefact(home / "recipes", recipe), samples, folder)
    return JudgedFolder(folder, file, recipe, said)


def test_the_recipe_book_loads_what_was_written(home: Path, trained: Trained) -> None:
    """Beside the recipes that ship, with its classes, its artefact by digest and its evidence."""
    recipe = RecipeBook(home / "recipes").get("cookies")

    assert recipe == trained.recipe
    assert (recipe.version, recipe.station_id, recipe.part) == (1, "station-cookies", "biscuit")
    assert [(each.name, each.acceptable) for each in recipe.classes] == [("good", True), ("cracked", False)]
    assert recipe.taught is not None
    assert recipe.evidence is not None
    assert recipe.evidence.taught_digest == recipe.taught.digest
    assert (recipe.evidence.good_parts, recipe.evidence.bad_parts) == (6, 6)
    assert load_part(home / "recipes" / recipe.taught.path).classes == ("good", "cracked")


def test_six_bad_parts_bound_too_little_to_accept_anything(trained: Trained) -> None:
    """Six without an escape bound the rate by 39 %: the recipe is still learning, and the advice says why."""
    assert trained.recipe.standing is Standing.LEARNING
    assert trained.calibration.escapes.bound == pytest.approx(0.393, abs=1e-3)
    assert any("59 bad parts" in sentence for sentence in trained.advice)


def test_left_out_and_test_pictures_are_both_measured(trained: Trained) -> None:
    """Twelve judged by parts taught without them, six by the whole."""
    assert (trained.out_of_fold.scores, trained.out_of_fold.pictures) == ("out-of-fold", 12)
    assert trained.test is not None
    assert (trained.test.scores, trained.test.pictures) == ("held-out", 6)
    assert trained.test.balanced_accuracy >= 0.8


def test_pictures_that_were_taught_count_by_what_was_said_without_them(home: Path, trained: Trained) -> None:
    """Evaluating on the training folder proves no more than the left-out scores do."""
    found = judged(home, home / "cookies")

    assert found.judged.taught == 12
    result = evaluated(found)
    assert result.scores == "out-of-fold and held-out"
    assert result.pictures == 18
    again = {each.path.name: each.probabilities for each in found.judged.outcomes.items}
    artefact = open_artefact(home / "recipes", trained.recipe)
    for index, picture in enumerate(artefact.pictures):
        assert again[Path(picture.file).name] == artefact.part.held_out[index].probabilities


def test_maps_are_measured_where_masks_are_given(home: Path, trained: Trained, tmp_path: Path) -> None:
    """A mask over the left half of a cracked biscuit: a figure between 0 and 1; none without masks."""
    assert trained.recipe.taught is not None
    picture = next((SAMPLES / "cookies" / "test" / "cracked").iterdir())
    (tmp_path / "test" / "cracked").mkdir(parents=True)
    (tmp_path / "masks" / "cracked").mkdir(parents=True)
    shutil.copy(picture, tmp_path / "test" / "cracked")
    mask = np.zeros((512, 384), np.uint8)
    mask[:, :192] = 255
    Image.fromarray(mask).save(tmp_path / "masks" / "cracked" / f"{picture.stem}.png")
    part = open_artefact(home / "recipes", trained.recipe).part

    with_mask = map_auroc(part, samples_of(checked(tmp_path, CheckOptions())))

    assert with_mask is not None
    assert 0 < with_mask < 1
    assert map_auroc(part, samples_of(checked(home / "cookies", CheckOptions()))) is None


def test_calibrating_writes_the_next_version_and_keeps_a_persons_comments(
    home: Path, trained: Trained
) -> None:
    """Thresholds and evidence are exchanged; the comment and the takt stay."""
    text = trained.file.read_text().replace("deadline_ms: 5000", COMMENT + "deadline_ms: 800")
    trained.file.write_text(text)

    result = calibrated_recipe(judged(home, home / "cookies"), Aims(max_escape=0.3), "another", write=True)

    recipe = load_recipe(trained.file)
    assert recipe == result.recipe
    assert (recipe.version, recipe.deadline_ms) == (2, 800)
    assert recipe.evidence is not None
    assert (recipe.evidence.by, recipe.evidence.bad_parts, recipe.evidence.max_escape) == ("another", 9, 0.3)
    assert COMMENT in trained.file.read_text()


def test_an_aim_out_of_reach_leaves_the_recipe_as_it_is(home: Path, trained: Trained) -> None:
    """Nine bad parts do not carry 1 %."""
    before = trained.file.read_bytes()
    with pytest.raises(AimUnreachable, match="9 bad parts"):
        calibrated_recipe(judged(home, home / "cookies"), Aims(max_escape=0.01), "a person", write=True)
    assert trained.file.read_bytes() == before


def test_an_older_part_is_named_again_by_its_digest(home: Path, trained: Trained) -> None:
    """With good parts alone another part is taught; the way back brings classes and evidence along."""
    shutil.copytree(home / "cookies" / "train" / "good", home / "good-only" / "good")
    first = trained.recipe.taught
    assert first is not None
    options = TrainOptions("cookies", home / "recipes", "a person", seconds=1.0)

    second = train(home / "good-only", options)

    assert [each.name for each in second.recipe.classes] == ["good", "anomaly"]
    assert second.recipe.standing is Standing.LEARNING
    assert any("escapes cannot" in sentence for sentence in second.advice)
    back = roll_back(home / "recipes", "cookies", first.digest[:10])
    assert back.taught == first
    assert back.version == second.recipe.version + 1
    assert [each.name for each in back.classes] == ["good", "cracked"]
    assert len(taught_versions(home / "recipes", "cookies")) == 2
    with pytest.raises(TeachingError, match="DIGEST"):
        roll_back(home / "recipes", "cookies", "zz")


def test_a_changed_artefact_is_refused(home: Path, trained: Trained, tmp_path: Path) -> None:
    """A file that was touched, and a folder that is gone."""
    assert trained.recipe.taught is not None
    copied = tmp_path / "part"
    shutil.copytree(home / "recipes" / trained.recipe.taught.path, copied)
    facts = copied / "part.json"
    facts.write_text(facts.read_text().replace('"good": "good"', '"good": "cracked"'))

    with pytest.raises(ArtefactInvalid, match="digest"):
        Artefact(copied)
    with pytest.raises(ArtefactInvalid):
        Artefact(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("recipe", "station", "field"), [("other", "station-surface", "--station"), ("my part", None, "--recipe")]
)
def test_a_recipe_that_could_not_be_written_is_refused_before_anything_is_taught(
    tmp_path: Path, recipe: str, station: str | None, field: str
) -> None:
    """A station that another recipe is for, and a name with a space."""
    few_cookies(tmp_path / "cookies", 5, 0)
    shutil.copytree(RECIPES, tmp_path / "recipes")
    options = TrainOptions(recipe, tmp_path / "recipes", "me", station_id=station)

    with pytest.raises(TeachingError, match=field):
        train(tmp_path / "cookies", options)

    assert not (tmp_path / "recipes" / "taught").exists()


@pytest.mark.parametrize(
    ("good", "lowest", "highest"), [(0.1, 0.35, 0.35), (0.5, 0.5, 0.9)], ids=["below the usual", "above it"]
)
def test_without_an_aim_review_is_not_narrowed_unless_it_would_hold_every_good_part(
    good: float, lowest: float, highest: float
) -> None:
    """Good parts at 10 % pass below the usual 35 %; good parts at 50 % pass where the bound allows it."""
    scores = [*((good, "good") for _ in range(30)), *((0.9, "crack") for _ in range(30))]
    items = [
        Outcome(Path(f"{number}.png"), truth, {"good": 1 - p, "crack": p})
        for number, (p, truth) in enumerate(scores)
    ]

    found = calibrated(Outcomes(("good", "crack"), frozenset({"good"}), tuple(items)), None, 0.35, 0.65)

    assert lowest <= found.accept_below <= highest
    assert found.accepted_good == 1.0
    assert (found.max_escape, found.escapes.count) == (None, 0)


def test_too_few_good_pictures_are_refused(tmp_path: Path) -> None:
    """Before any time is spent."""
    few_cookies(tmp_path / "cookies", 3, 0)
    (tmp_path / "recipes").mkdir()
    with pytest.raises(TooFewPictures, match="3 good pictures"):
        train(tmp_path / "cookies", TrainOptions("cookies", tmp_path / "recipes", "me"))


def test_a_defect_among_the_good_is_found(tmp_path: Path) -> None:
    """A cracked cookie that was filed under good is the oddest, and the page shows it."""
    (tmp_path / "good").mkdir()
    for path in sorted((SAMPLES / "cookies" / "train" / "good").iterdir())[:12]:
        shutil.copy(path, tmp_path / "good")
    shutil.copy(SAMPLES / "cookies" / "train" / "cracked" / "anomaly-3.jpg", tmp_path / "good" / "hidden.jpg")
    found = checked(tmp_path, CheckOptions())

    odd = odd_ones(found)

    assert [each.file.name for each in odd if each.file] == ["hidden.jpg"]
    page = check_page(with_findings(found.report, tmp_path, odd))
    assert page.count("data:image/jpeg") == 1


def test_what_a_recipe_calls_otherwise_is_still_good_or_bad(home: Path, tmp_path: Path) -> None:
    """OK and broken, for a recipe with good and cracked: its one good and its one bad class."""
    shutil.copytree(home / "cookies" / "test" / "good", tmp_path / "OK")
    shutil.copytree(home / "cookies" / "test" / "cracked", tmp_path / "broken")
    samples = samples_of(checked(tmp_path, CheckOptions()))

    found, unknown = named_for(samples, ("good", "cracked"), {"good"})
    left, other = named_for(samples, ("good", "cracked", "burnt"), {"good"})

    assert ([each.name for each in found].count("cracked"), len(found), unknown) == (3, 6, ())
    assert ({each.name for each in left}, other) == ({"good"}, ("broken",))


@pytest.mark.parametrize(
    ("label", "name"),
    [("Kratzer, tief", "kratzer-tief"), ("Größe", "grosse"), ("good", "good"), ("裂纹", "class-e8a382e7")],
)
def test_a_label_becomes_a_name_that_recipes_carry(label: str, name: str) -> None:
    """Spaces, commas, umlauts and other scripts."""
    assert class_name(label) == name


def test_labels_that_would_share_a_name_are_told_apart() -> None:
    """`pin hole` and `pin-hole` are two classes."""
    assert class_names(["pin hole", "pin-hole"]) == {"pin hole": "pin-hole", "pin-hole": "pin-hole-2"}
    assert wording("pin_hole, deep") == "pin hole deep"


def test_a_recipes_regions_are_what_is_taught_and_judged(home: Path) -> None:
    """The inspected quarter is cut out, as a worker does with frames."""
    quarter = Regions(inspect=Region(x=0.5, y=0.5, width=0.5, height=0.5))
    found = checked(home / "cookies", CheckOptions())

    whole, cut = samples_of(found)[0], samples_of(found, quarter)[0]

    height, width = whole.pixels().shape[:2]
    assert cut.pixels().shape == (height // 2, width // 2, 3)
    assert (cut.labelled().pixels() == whole.pixels()[height // 2 :, width // 2 :]).all()
