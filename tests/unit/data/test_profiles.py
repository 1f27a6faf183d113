"""Color profiles are applied by their content, not by their names."""

import struct

import numpy as np
import pytest
from photo_files import icc_profile, png_with
from PIL import Image, ImageCms

from colorpipe.data import images

LINEAR = {space: icc_profile(space, 1.0, "a linear profile") for space in ("RGB", "GRAY")}
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def read_saved(path, image: Image.Image, **options) -> images.Photograph:
    image.save(path, **options)
    return images.read(path)


@pytest.mark.parametrize("name", ["sRGB IEC61966-2.1 Linear", "sRGB-elle-V2-g10.icc"])
def test_a_linear_profile_with_srgb_in_its_name_is_applied(tmp_path, name):
    image = Image.new("RGB", (4, 4), (55, 55, 55))
    photograph = read_saved(tmp_path / "a.png", image, icc_profile=icc_profile("RGB", 1.0, name))
    assert (photograph.rgb == 128).all()
    assert photograph.notes == ()


def test_an_srgb_profile_changes_nothing(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (20, 20, 3), dtype=np.uint8)
    for profile in (SRGB, SRGB.replace("sRGB".encode("utf-16-be"), "abcd".encode("utf-16-be"))):
        photograph = read_saved(tmp_path / "a.png", Image.fromarray(pixels), icc_profile=profile)
        assert np.array_equal(photograph.rgb, pixels)


GRAY = Image.new("L", (4, 4), 55)
MODES = {
    "L": GRAY,
    "LA": GRAY.convert("LA"),
    "L with a transparent value": GRAY,
    "I;16": Image.fromarray(np.full((4, 4), 55 * 257, np.uint16)),
    "P": GRAY.convert("RGB").quantize(4),
    "RGB": GRAY.convert("RGB"),
    "RGBA": GRAY.convert("RGBA"),
}


@pytest.mark.parametrize("space", ["RGB", "GRAY"])
@pytest.mark.parametrize("mode", MODES)
def test_a_profile_is_applied_in_every_mode(tmp_path, mode, space):
    options = {"transparency": 7} if "transparent" in mode else {}
    plain = read_saved(tmp_path / "plain.png", MODES[mode], **options)
    assert (plain.rgb == 55).all()
    photograph = read_saved(tmp_path / "a.png", MODES[mode], icc_profile=LINEAR[space], **options)
    assert (photograph.rgb == 128).all()
    assert (
        (photograph.alpha is None) == (plain.alpha is None) == (mode in ("L", "I;16", "P", "RGB"))
    )
    assert not [note for note in photograph.notes if "ICC" in note]


@pytest.mark.parametrize(("mode", "space"), [("RGB", "GRAY"), ("CMYK", "RGB"), ("CMYK", "GRAY")])
def test_a_profile_of_another_space_is_ignored_with_a_note(tmp_path, mode, space):
    image = Image.new("RGB", (4, 4), (200, 60, 10)).convert(mode)
    photograph = read_saved(tmp_path / "a.tif", image, icc_profile=LINEAR[space])
    assert photograph.notes == ("its ICC profile does not fit and is ignored",)
    assert np.abs(photograph.rgb.astype(int) - (200, 60, 10)).max() <= 1


def test_one_bit_images_stay_black_and_white(tmp_path):
    image = Image.fromarray(np.eye(4) > 0)
    photograph = read_saved(tmp_path / "a.png", image, icc_profile=LINEAR["GRAY"])
    assert np.array_equal(photograph.rgb[..., 0], 255 * np.eye(4))
    assert photograph.notes == ()


def test_a_gamma_is_applied_with_a_note(tmp_path):
    image = Image.new("RGB", (4, 4), (55, 55, 55))
    path = tmp_path / "a.png"
    for gamma, level in ((100_000, 128), (45_455, 55)):
        path.write_bytes(png_with(image, b"gAMA", struct.pack(">I", gamma)))
        photograph = images.read(path)
        assert (photograph.rgb == level).all()
        notes = ("converted from gamma 1 (gAMA) to sRGB",) if level == 128 else ()
        assert photograph.notes == notes
    deep = Image.fromarray(np.full((4, 4), 55 * 257, np.uint16))
    path.write_bytes(png_with(deep, b"gAMA", struct.pack(">I", 100_000)))
    assert (images.read(path).rgb == 128).all()
    path.write_bytes(png_with(image, b"gAMA", struct.pack(">I", 45_455), icc_profile=LINEAR["RGB"]))
    assert (images.read(path).rgb == 128).all()  # the profile takes precedence


def test_an_unsupported_cicp_color_space_is_noted(tmp_path):
    image = Image.new("RGB", (4, 4), (55, 55, 55))
    path = tmp_path / "a.png"
    path.write_bytes(png_with(image, b"cICP", bytes((9, 16, 0, 1))))
    note = "its color space (cICP) is not supported, so it is read as sRGB"
    assert images.read(path).notes == (note,)
    path.write_bytes(png_with(image, b"cICP", bytes((1, 13, 0, 1))))
    assert images.read(path).notes == ()
    assert (images.read(path).rgb == 55).all()
