"""Reading and writing image files of every kind."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from limits import no_file_larger_than
from photo_files import png
from PIL import Image, ImageCms

from colorpipe.data import images
from colorpipe.runtime.errors import UserError, printable_path

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (6, 9, 3), dtype=np.uint8)
COLORS = Image.fromarray(PIXELS)


def read_saved(path: Path, image: Image.Image, **options) -> images.Photograph:
    image.save(path, **options)
    return images.read(path)


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif"])
def test_lossless_formats_keep_the_pixels(tmp_path, suffix):
    photograph = read_saved(tmp_path / f"a{suffix}", COLORS, lossless=True)
    assert np.array_equal(photograph.rgb, PIXELS)
    assert photograph.alpha is None
    assert photograph.notes == ()


def test_gray_palette_one_bit_cmyk_and_transparency_are_read(tmp_path):
    gray = COLORS.convert("L")
    assert np.array_equal(
        read_saved(tmp_path / "l.png", gray).rgb, np.repeat(np.asarray(gray)[..., None], 3, axis=2)
    )
    palette = COLORS.quantize(16)
    assert np.array_equal(
        read_saved(tmp_path / "p.png", palette).rgb, np.asarray(palette.convert("RGB"))
    )
    assert set(np.unique(read_saved(tmp_path / "1.png", COLORS.convert("1")).rgb)) <= {0, 255}
    cmyk = read_saved(tmp_path / "c.tif", COLORS.convert("CMYK"))
    assert np.abs(cmyk.rgb.astype(int) - PIXELS).max() <= 1
    alpha = Image.fromarray(RNG.integers(0, 256, (6, 9), dtype=np.uint8))
    with_alpha = COLORS.copy()
    with_alpha.putalpha(alpha)
    for name, image in (("rgba", with_alpha), ("la", with_alpha.convert("LA"))):
        photograph = read_saved(tmp_path / f"{name}.png", image)
        assert np.array_equal(photograph.alpha, np.asarray(alpha)), name
    transparent = read_saved(tmp_path / "t.png", palette, transparency=3)
    assert np.array_equal(transparent.alpha == 0, np.asarray(palette) == 3)


def test_16_bits_are_rounded_to_8_with_a_note(tmp_path):
    deep = np.array([[0, 128, 257 * 77 + 100, 65535]], dtype=np.uint16)
    for suffix in (".png", ".tif"):
        photograph = read_saved(tmp_path / f"deep{suffix}", Image.fromarray(deep))
        assert photograph.rgb[0, :, 1].tolist() == [0, 0, 77, 255]
        assert photograph.notes == ("16 bits reduced to 8",)
    row = b"\0" + np.full((3, 3), 40_000, ">u2").tobytes()
    (tmp_path / "rgb16.png").write_bytes(png(3, 2, 16, 2, 2 * row))
    color = images.read(tmp_path / "rgb16.png")
    assert np.abs(color.rgb.astype(int) - 40_000 / 257).max() <= 1
    assert color.notes == ("16 bits reduced to 8",)


def turn(pixels: np.ndarray, orientation: int) -> np.ndarray:
    return {
        1: pixels,
        2: pixels[:, ::-1],
        3: pixels[::-1, ::-1],
        4: pixels[::-1],
        5: pixels.transpose(1, 0, 2),
        6: pixels[::-1].transpose(1, 0, 2),
        7: pixels[::-1, ::-1].transpose(1, 0, 2),
        8: pixels[:, ::-1].transpose(1, 0, 2),
    }[orientation]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path, orientation):
    upright = turn(PIXELS, orientation)
    exif = Image.Exif()
    exif[0x0112] = orientation
    for suffix in (".png", ".webp"):
        assert np.array_equal(
            read_saved(tmp_path / f"a{suffix}", COLORS, exif=exif, lossless=True).rgb, upright
        )
    for mode in ("L", "RGB", "RGBA", "CMYK"):
        image = COLORS.convert(mode)
        plain = read_saved(tmp_path / "a.tif", image).rgb
        rotated = read_saved(tmp_path / "b.tif", image, exif=exif).rgb
        assert np.array_equal(rotated, turn(plain, orientation))


def test_a_profile_is_applied(tmp_path):
    # In a profile whose red and blue are swapped, red pixels are blue.
    swapped = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    red, blue = swapped.index(b"rXYZ"), swapped.index(b"bXYZ")
    swapped[red : red + 4], swapped[blue : blue + 4] = b"bXYZ", b"rXYZ"
    swapped = swapped.replace("sRGB".encode("utf-16-be"), "Swap".encode("utf-16-be"))
    image = Image.new("RGB", (4, 4), (255, 0, 0))
    photograph = read_saved(tmp_path / "a.png", image, icc_profile=bytes(swapped))
    assert photograph.notes == ()
    assert photograph.rgb[0, 0].tolist() == [0, 0, 255]
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert np.array_equal(read_saved(tmp_path / "b.png", COLORS, icc_profile=srgb).rgb, PIXELS)


def test_only_the_first_of_several_images_is_read(tmp_path):
    photograph = read_saved(
        tmp_path / "a.webp",
        COLORS,
        save_all=True,
        append_images=[Image.new("RGB", (9, 6))],
        lossless=True,
    )
    assert np.array_equal(photograph.rgb, PIXELS)
    assert photograph.notes == ("only the first of its images is used",)


def test_a_file_that_is_not_an_image_is_named_in_one_line(tmp_path):
    big = io.BytesIO()
    COLORS.resize((300, 300)).save(big, "JPEG")
    gif = io.BytesIO()
    COLORS.save(gif, "GIF")
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as content:
        content.writestr("a.png", gif.getvalue())
    wrong = {
        "empty.jpg": (b"", "is not a readable JPEG, PNG, WebP, TIFF, HEIC or AVIF"),
        "text.png": (b"hello", "is not a readable JPEG"),
        "a.zip": (archive.getvalue(), "is a ZIP archive: unzip it first"),
        "a.docx": (archive.getvalue(), "is not a readable JPEG"),  # a ZIP archive too
        "a.gif": (gif.getvalue(), "is not a readable JPEG"),
        "cut.jpg": (big.getvalue()[:2000], "cannot be read: "),
        "bomb.png": (png(60_000, 60_000, 8, 2, b""), "too large"),
        "new\nline.jpg": (b"", r"new\nline.jpg is not a readable JPEG"),
    }
    for name, (content, message) in wrong.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError) as caught:
            images.read(tmp_path / name)
        assert message in str(caught.value), name
        assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="is missing"):
        images.read(tmp_path / "none.jpg")
    with pytest.raises(UserError, match="is a folder"):
        images.read(tmp_path)
    with pytest.raises(UserError, match=r"^[^']*\.jpg cannot be read: File name too long$"):
        images.read(tmp_path / f"{300 * 'a'}.jpg")


def test_names_that_are_not_valid_text_are_shown():
    assert printable_path(Path("a\udcffb\tc.jpg")) == r"a\xffb\tc.jpg"


@pytest.mark.parametrize("suffix", images.WRITERS)
def test_a_written_image_can_be_read(tmp_path, suffix):
    alpha = RNG.integers(0, 256, (6, 9), dtype=np.uint8)
    path = tmp_path / "new" / f"a{suffix}"
    notes = images.write(path, PIXELS, alpha)
    photograph = images.read(path)
    assert [file.name for file in path.parent.iterdir()] == [path.name]  # nothing temporary is left
    if suffix in (".jpg", ".jpeg"):
        assert notes == ("its transparency is dropped: JPEG has none",)
        assert np.abs(photograph.rgb.astype(int) - PIXELS).mean() < 8
    else:
        assert notes == ()
        assert np.array_equal(photograph.rgb, PIXELS)
        assert np.array_equal(photograph.alpha, alpha)


@pytest.mark.parametrize("suffix", images.WRITERS)
@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_full_disk_leaves_the_old_file(tmp_path, suffix, share):
    path = tmp_path / f"a{suffix}"
    pixels = RNG.integers(0, 256, (99, 99, 3), dtype=np.uint8)
    images.write(path, pixels, None)
    before = path.read_bytes()
    with (
        no_file_larger_than(int(share * len(before))),
        pytest.raises(UserError, match=rf"a\{suffix} cannot be written: File too large"),
    ):
        images.write(path, pixels, None)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_sides_that_a_format_does_not_allow_are_named(tmp_path):
    for suffix, message in ((".jpg", "a JPEG has at most 65500 pixels per side"), (".webp", "")):
        text = rf"a\{suffix} cannot be written: {message}.*: use another format, such as png$"
        with pytest.raises(UserError, match=text):
            images.write(tmp_path / f"a{suffix}", np.zeros((1, 70_000, 3), np.uint8), None)
    assert not any(tmp_path.iterdir())
