"""Which frames cannot be judged, and that their parts are recorded all the same."""

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from schemas.recipe import FrameLimits
from services.gateway.health import FrameOutcome
from services.infra.intake import encode_picture
from services.infra.intake.images import encode_png
from services.infra.intake.quality import unusable_reason
from tests.gateway.plant import Plant, folder_config, frame, pixels, png


def _blurred() -> NDArray[np.uint8]:
    picture = Image.fromarray(pixels()).filter(ImageFilter.GaussianBlur(8))
    return np.asarray(picture)


@pytest.mark.parametrize(
    ("picture", "word"),
    [
        (pixels() // 40, "dark"),
        (_blurred(), "blurred"),
        (pixels(height=40), "wrong size"),
        (pixels(width=30), "wrong size"),
    ],
)
def test_a_frame_that_cannot_be_judged_says_why(picture: NDArray[np.uint8], word: str) -> None:
    """The reason begins with the kind of fault and names the figure and the limit."""
    reason = unusable_reason(encode_picture(np.ascontiguousarray(picture)), FrameLimits())
    assert reason is not None
    assert reason.startswith(f"{word}: ")
    assert "needed" in reason


def test_a_sharp_bright_frame_of_the_right_size_is_usable() -> None:
    """Noise is as sharp as a picture gets."""
    assert unusable_reason(encode_picture(pixels()), FrameLimits()) is None


def test_the_limits_are_the_recipes(plant: Plant) -> None:
    """A recipe for a dark scene lets a dark frame through."""
    dark = pixels() // 40
    assert unusable_reason(encode_picture(dark), FrameLimits(min_brightness=0.5, min_sharpness=0.0)) is None
    assert plant.recipes.get("surface").frame_limits == FrameLimits()


def test_a_dark_frame_is_a_job_that_says_so(plant: Plant, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The part is not lost: it will be NOT_INSPECTED, with the reason."""
    camera = folder_config(tmp_path_factory.mktemp("camera"))
    job = plant.intake.accept(frame("SN-1", encode_png(pixels() // 40)), camera)
    assert job.unusable_reason is not None
    assert plant.jobs() == [job]
    assert plant.health.total(FrameOutcome.UNUSABLE, "cam-1") == 1


def test_the_picture_of_another_part_is_a_frozen_camera(
    plant: Plant, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The same bytes under another serial: judging them would judge the wrong part."""
    camera = folder_config(tmp_path_factory.mktemp("camera"))
    assert plant.intake.accept(frame("SN-1", png()), camera).unusable_reason is None
    frozen = plant.intake.accept(frame("SN-2", png()), camera)
    assert frozen.unusable_reason == "frozen: the frame of part SN-1 was sent again"
    assert plant.intake.accept(frame("SN-3", png(3)), camera).unusable_reason is None


def test_a_picture_that_was_only_encoded_again_is_frozen(
    plant: Plant, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Other bytes and a flicker of one grey level are still the same exposure."""
    camera = folder_config(tmp_path_factory.mktemp("camera"))
    plant.intake.accept(frame("SN-1", png()), camera)
    flicker = np.clip(pixels().astype(np.int16) + 1, 0, 255).astype(np.uint8)
    reason = plant.intake.accept(frame("SN-2", encode_png(flicker)), camera).unusable_reason
    assert reason is not None
    assert reason.startswith("frozen: no pixel differs")


def test_a_small_defect_is_not_a_frozen_camera(
    plant: Plant, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Two binary pictures that differ in a few pixels, as good and bad boards do, are two parts."""
    camera = folder_config(tmp_path_factory.mktemp("camera"))
    board = np.where(pixels() > 127, 255, 0).astype(np.uint8)
    bitten = board.copy()
    bitten[40:43, 50:53] = 255 - bitten[40:43, 50:53]
    plant.intake.accept(frame("SN-1", encode_png(board)), camera)
    assert plant.intake.accept(frame("SN-2", encode_png(bitten)), camera).unusable_reason is None


def test_a_second_delivery_is_not_a_frozen_camera(
    plant: Plant, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The same file again is the same job, not a repeated picture."""
    camera = folder_config(tmp_path_factory.mktemp("camera"))
    first = plant.intake.accept(frame("SN-1", png()), camera)
    again = plant.intake.accept(frame("SN-1", png()), camera)
    assert (again.result_id, again.unusable_reason) == (first.result_id, None)
    assert plant.parts() == ["SN-1"]


def test_two_cameras_may_send_the_same_picture(
    plant: Plant, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Each camera is compared with itself only."""
    camera = folder_config(tmp_path_factory.mktemp("camera"))
    other = camera.model_copy(update={"camera_id": "cam-2"})
    plant.intake.accept(frame("SN-1", png()), camera)
    assert plant.intake.accept(frame("SN-1", png()), other).unusable_reason is None
    assert len(plant.jobs()) == 2


def test_jpeg_pictures_of_one_scene_taken_twice_are_told_apart(
    plant: Plant, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Sensor noise of a few grey levels makes the second exposure another frame."""
    camera = folder_config(tmp_path_factory.mktemp("camera"))
    scene = pixels().astype(np.int16) // 2 + 60
    reasons = []
    for seed in (1, 2):
        noise = np.random.default_rng(seed).normal(0, 2, scene.shape)
        exposure = np.clip(scene + noise, 0, 255).astype(np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(exposure).save(buffer, format="JPEG", quality=90)
        reasons.append(plant.intake.accept(frame(f"SN-{seed}", buffer.getvalue()), camera).unusable_reason)
    assert reasons == [None, None]
