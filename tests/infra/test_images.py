"""The door for pixels: what a camera may send comes in as RGB, everything else is refused by name."""

import io
import struct
import zlib
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from services.infra.intake import encode_picture, read_picture
from services.infra.intake.images import Rgb, decode, encode_png, from_bgr
from services.infra.process.errors import (
    FrameInvalid,
    FrameTooLarge,
    FrameTruncated,
    LynceusError,
    UnsupportedImage,
)

MOMENT = datetime(2026, 3, 4, tzinfo=UTC)
RED, GREEN = (200, 20, 30), (10, 180, 40)


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    """The image as a file of the kind."""
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)
    return buffer.getvalue()


def picture(width: int = 40, height: int = 30) -> Image.Image:
    """Red, with a green upper left quarter, so that every turn and mirror shows."""
    image = Image.new("RGB", (width, height), RED)
    image.paste(GREEN, (0, 0, width // 2, height // 2))
    return image


def noise(width: int = 64, height: int = 64) -> Image.Image:
    """A picture that does not compress, so that cutting its file cuts pixels."""
    pixels = np.random.default_rng(7).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def header_only_png(width: int, height: int, rows: int = 0) -> bytes:
    """A PNG whose header promises the size; `rows` empty rows follow, compressed very small."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    data = zlib.compress(bytes((width + 1) * rows), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("kind", "media_type"),
    [
        ("PNG", "image/png"),
        ("JPEG", "image/jpeg"),
        ("BMP", "image/bmp"),
        ("TIFF", "image/tiff"),
        ("WEBP", "image/webp"),
    ],
)
def test_each_kind_that_is_taken_comes_in_as_rgb(kind: str, media_type: str) -> None:
    """The job is told type and size, and red stays red."""
    data = encoded(picture(), kind)
    seen = read_picture(data)
    frame, rgb = seen.frame(MOMENT), seen.rgb
    assert (frame.media_type, frame.width, frame.height, frame.size_bytes) == (media_type, 40, 30, len(data))
    assert rgb.shape == (30, 40, 3)
    assert rgb.dtype == np.uint8
    assert rgb.flags.c_contiguous
    assert np.abs(rgb[28, 38].astype(int) - RED).max() < 12


def test_the_digest_is_that_of_the_bytes() -> None:
    """Two files of the same picture are told apart, the same file is not."""
    png = encoded(picture())
    assert read_picture(png).digest == read_picture(bytes(bytearray(png))).digest
    assert read_picture(png).digest != read_picture(encoded(picture(), "BMP")).digest


def test_a_cameras_picture_is_the_one_that_its_file_holds() -> None:
    """Pixels that are encoded here need not be decoded again: the file says the same."""
    made = encode_picture(np.asarray(noise()))
    read = read_picture(made.data)
    assert made.frame(MOMENT) == read.frame(MOMENT)
    assert np.array_equal(made.rgb, read.rgb)
    assert np.array_equal(made.grey, read.grey)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "YCbCr"])
def test_other_pixel_types_become_rgb(mode: str) -> None:
    """Grey, alpha, palette, CMYK, two-level and YCbCr pictures come in as three channels."""
    kind = {"CMYK": "TIFF", "YCbCr": "TIFF"}.get(mode, "PNG")
    image = picture().convert(mode)
    rgb = decode(encoded(image, kind))
    expected = np.asarray(image.convert("RGB"))
    assert rgb.shape == (30, 40, 3)
    assert np.abs(rgb.astype(int) - expected).max() <= 2


def test_a_cmyk_jpeg_keeps_its_colours() -> None:
    """Red from a printing workflow is still red."""
    rgb = decode(encoded(picture().convert("CMYK"), "JPEG", quality=95))
    assert np.abs(rgb[28, 38].astype(int) - RED).max() < 12


def test_alpha_is_dropped_and_the_recorded_colour_kept() -> None:
    """A transparent pixel shows what the sensor recorded there."""
    image = picture().convert("RGBA")
    image.putalpha(0)
    assert tuple(decode(encoded(image))[28, 38]) == RED


def test_a_palette_with_transparency_comes_in() -> None:
    """Transparency per palette entry does not disturb the colours."""
    image = picture().convert("P", palette=Image.Palette.ADAPTIVE, colors=4)
    data = encoded(image, transparency=bytes([0, 128, 255, 255]))
    assert np.abs(decode(data)[28, 38].astype(int) - RED).max() < 6


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bit_grey_is_scaled_over_its_whole_range(kind: str) -> None:
    """0 stays black, 65535 white, and the middle the middle; a plain cast would clip or wrap."""
    wide = np.array([[0, 128, 257, 32896], [65535, 65406, 255, 1000]], dtype=np.uint16)
    rgb = decode(encoded(Image.fromarray(wide), kind))
    expected = np.round(wide / 257).astype(np.uint8)
    assert (rgb == expected[:, :, np.newaxis]).all()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_exif_rotation_is_applied(kind: str, orientation: int) -> None:
    """Whatever way the camera was held, the picture is upright."""
    back = {
        1: None,
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]
    stored = picture() if back is None else picture().transpose(back)
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(stored, kind, exif=exif)
    rgb = decode(data)
    assert rgb.shape[:2] == (30, 40)
    assert np.abs(rgb[4, 4].astype(int) - GREEN).max() < 25
    assert np.abs(rgb[25, 35].astype(int) - RED).max() < 25
    assert np.abs(rgb[4, 35].astype(int) - RED).max() < 25


def test_a_huge_picture_is_refused_from_its_header() -> None:
    """30,000 x 30,000 pixels in 100 kB would decode to gigabytes; the header alone tells."""
    data = header_only_png(30_000, 30_000, rows=3_000)
    assert 80_000 < len(data) < 120_000
    with pytest.raises(FrameTooLarge, match="900000000 pixels") as caught:
        decode(data)
    assert caught.value.status == 413


@pytest.mark.parametrize(("width", "height"), [(8193, 10), (10, 8193), (5001, 5000), (12_000, 12_000)])
def test_a_picture_beyond_the_caps_is_refused(width: int, height: int) -> None:
    """A side over 8192 or more than 25 megapixels does not come in."""
    with pytest.raises(FrameTooLarge):
        decode(header_only_png(width, height))


@pytest.mark.parametrize(("width", "height"), [(8192, 3051), (5000, 5000)])
def test_a_picture_at_the_caps_comes_in(width: int, height: int) -> None:
    """The caps themselves are allowed: what is missing here is the pixels."""
    with pytest.raises(FrameTruncated):
        decode(header_only_png(width, height))


def test_no_bytes_are_refused() -> None:
    """An empty upload says that it is empty."""
    with pytest.raises(FrameTruncated, match="0 bytes"):
        decode(b"")


@pytest.mark.parametrize(
    "data",
    [
        b"hello",
        b"GIF89a" + bytes(40),
        b"%PDF-1.7",
        b"\x00\x00\x00\x1cftypheic",
        b"RIFF\x00\x00\x00\x00WAVE",
        b"<svg/>",
    ],
)
def test_what_is_not_an_image_of_ours_is_refused(data: bytes) -> None:
    """Text, GIF, PDF, HEIC, sound and SVG are named as unsupported, with what is taken."""
    with pytest.raises(UnsupportedImage) as caught:
        decode(data)
    assert "PNG" in str(caught.value.hint)
    assert caught.value.status == 415


def test_a_wrong_name_does_not_matter_but_wrong_magic_does() -> None:
    """PNG magic before JPEG bytes is refused as a PNG that cannot be decoded."""
    with pytest.raises(FrameInvalid):
        decode(b"\x89PNG\r\n\x1a\n" + encoded(picture(), "JPEG"))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "TIFF", "WEBP"])
@pytest.mark.parametrize("kept", [0.5, 0.9])
def test_a_truncated_file_is_refused(kind: str, kept: float) -> None:
    """A file whose end is missing never comes in with grey where the rest should be."""
    data = encoded(noise(), kind)
    with pytest.raises(FrameInvalid):
        decode(data[: int(len(data) * kept)])


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP"])
def test_a_truncated_file_says_that_it_is_truncated(kind: str) -> None:
    """The message is the one that helps: send it again once it is complete."""
    data = encoded(noise(), kind)
    with pytest.raises(FrameTruncated):
        decode(data[: len(data) // 2])


def test_a_header_without_its_end_is_refused() -> None:
    """Twenty bytes of a PNG are no picture."""
    with pytest.raises(FrameInvalid):
        decode(encoded(picture())[:20])


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_several_pictures_in_one_file_are_refused(kind: str) -> None:
    """An animation or a many-page TIFF is not one frame."""
    frames = [picture(), Image.new("RGB", (40, 30), "blue")]
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
    with pytest.raises(UnsupportedImage, match="several"):
        decode(data)


@pytest.mark.parametrize("mode", ["I", "F"])
def test_pixels_of_32_bits_are_refused(mode: str) -> None:
    """Where black and white lie in 32-bit data nobody can tell."""
    data = encoded(picture().convert("L").convert(mode), "TIFF")
    with pytest.raises(UnsupportedImage, match="pixel type"):
        decode(data)


def pixels_or_error(data: bytes) -> Rgb | LynceusError:
    """What the door makes of the bytes; any other exception fails the test."""
    try:
        return decode(data)
    except LynceusError as error:
        return error


# Pillow warns of odd metadata and reads on; whether the picture is good is what is asked here.
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@settings(max_examples=300)
@given(st.binary(max_size=200), st.sampled_from(["PNG", "JPEG", "BMP", "TIFF", "WEBP"]), st.data())
def test_broken_bytes_raise_typed_errors_only(junk: bytes, kind: str, data: st.DataObject) -> None:
    """Whatever is overwritten in a file, the answer is a picture or one of our errors."""
    original = encoded(picture(), kind)
    at = data.draw(st.integers(0, len(original) - 1))
    broken = original[:at] + junk + original[at + len(junk) :]
    answered = pixels_or_error(broken)
    assert isinstance(answered, np.ndarray) or answered.hint


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_png_encoding_is_lossless(height: int, width: int, seed: int) -> None:
    """What is encoded comes back bit for bit."""
    rgb: Rgb = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    assert (decode(encode_png(rgb)) == rgb).all()


def test_blue_first_pixels_become_red_first() -> None:
    """The one place where OpenCV's order is turned."""
    bgr = np.zeros((2, 2, 3), dtype=np.uint8)
    bgr[:, :, 0] = 255
    rgb = from_bgr(bgr)
    assert tuple(rgb[0, 0]) == (0, 0, 255)
    assert rgb.flags.c_contiguous


@pytest.mark.parametrize("pixels", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8)])
def test_only_three_channels_are_encoded(pixels: Rgb) -> None:
    """Another shape is the caller's mistake."""
    with pytest.raises(ValueError, match="height"):
        encode_png(pixels)
