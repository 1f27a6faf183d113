"""Depths, orientations and pages of images."""

import io
import struct

import numpy as np
import pillow_heif
import pytest
from photo_files import png, png_chunk, tiff
from PIL import Image, TiffImagePlugin

from colorpipe.data import images
from colorpipe.runtime.errors import UserError

RAMP = np.array([[0, 2047, 4095]])


def test_12_bits_are_scaled_to_their_own_white(tmp_path):
    (tmp_path / "a.tif").write_bytes(tiff(RAMP, 12))
    photograph = images.read(tmp_path / "a.tif")
    assert photograph.rgb[0, :, 0].tolist() == [0, 127, 255]
    assert photograph.notes == ("12 bits reduced to 8",)


def test_16_bits_that_declare_a_lower_white_are_scaled_to_it(tmp_path):
    for bits in (10, 12, 14):
        white = 2**bits - 1
        values = np.array([[0, white // 2, white]])
        (tmp_path / "a.tif").write_bytes(tiff(values, 16, max_value=white))
        assert images.read(tmp_path / "a.tif").rgb[0, :, 0].tolist() == [0, 127, 255]
    (tmp_path / "a.tif").write_bytes(tiff(RAMP, 16))
    note = "its values use only 12 of 16 bits, so its brightness may be wrong"
    assert images.read(tmp_path / "a.tif").notes == ("16 bits reduced to 8", note)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("bits", "tags"),
    [(10, {}), (14, {}), (12, {"photometric": 0}), (16, {"sample_format": 3}), (24, {})],
)
def test_other_depths_are_refused_with_a_remedy(tmp_path, order, bits, tags):
    (tmp_path / "a.tif").write_bytes(tiff(RAMP, bits, order, **tags))
    with pytest.raises(UserError, match=r"a\.tif is a damaged TIFF, or a kind that Pillow cannot"):
        images.read(tmp_path / "a.tif")


def test_floats_are_refused_with_the_reason(tmp_path):
    bits = np.array([[0.0, 0.5, 1.0]], np.float32).view(np.uint32)
    (tmp_path / "a.tif").write_bytes(tiff(bits, 32, sample_format=3))
    with pytest.raises(UserError, match="32-bit or floating-point numbers: convert it to 8 or 16"):
        images.read(tmp_path / "a.tif")


def test_16_bits_are_inverted_if_0_is_white(tmp_path):
    (tmp_path / "a.tif").write_bytes(tiff(RAMP * 16, 16, photometric=0))
    assert images.read(tmp_path / "a.tif").rgb[0, :, 0].tolist() == [255, 128, 0]


@pytest.mark.parametrize(
    ("bits", "color", "row", "key"),
    [
        (2, 0, bytes([0b00011011]), 3),  # gray: 0, 1, 2, 3
        (4, 0, bytes([0x05, 0xAF]), 15),
        (8, 0, bytes([0, 1, 2, 255]), 255),
        (16, 0, struct.pack(">4H", 0, 256, 512, 65_535), 65_535),
        (16, 2, struct.pack(">12H", *[0] * 9, 65_280, 0, 65_280), (65_280, 0, 65_280)),
    ],
)
def test_the_transparent_color_of_a_png_becomes_alpha(tmp_path, bits, color, row, key):
    """Only the last pixel has this color."""
    path = tmp_path / "a.png"
    numbers = key if isinstance(key, tuple) else (key,)
    transparent = png_chunk(b"tRNS", struct.pack(f">{len(numbers)}H", *numbers))
    path.write_bytes(png(4, 1, bits, color, b"\0" + row, transparent))
    assert images.read(path).alpha.tolist() == [[255, 255, 255, 0]]


def heic(image: Image.Image, orientation: int, rotated: bool) -> bytes:
    """Return a HEIC file with an EXIF orientation, and a rotation box if `rotated`."""
    pillow_heif.register_heif_opener()
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    if rotated:
        image = image.copy()
        image.info["exif"] = exif.tobytes()
        image.save(buffer, "HEIF", quality=100)
    else:
        image.save(buffer, "HEIF", quality=100, exif=exif)
    assert (b"irot" in buffer.getvalue()) == rotated
    return buffer.getvalue()


@pytest.mark.parametrize("rotated", [False, True])
def test_heic_is_as_upright_as_its_jpeg_twin(tmp_path, rotated):
    pixels = np.zeros((40, 64, 3), np.uint8)
    pixels[:20, :32] = 200  # the upper left
    image, exif = Image.fromarray(pixels), Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "a.jpg", exif=exif)
    (tmp_path / "a.heic").write_bytes(heic(image, 6, rotated))
    jpeg, heif = (images.read(tmp_path / name) for name in ("a.jpg", "a.heic"))
    assert heif.rgb.shape == jpeg.rgb.shape == (64, 40, 3)
    assert np.abs(heif.rgb.astype(int) - jpeg.rgb).mean() < 5


def test_avif_is_read_upright(tmp_path):
    pixels = np.zeros((40, 64, 3), np.uint8)
    pixels[:20, :32] = 200
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(tmp_path / "a.avif", exif=exif, quality=90)
    photograph = images.read(tmp_path / "a.avif")
    assert photograph.rgb.shape == (64, 40, 3)
    assert np.abs(photograph.rgb.astype(int) - np.rot90(pixels, -1)).mean() < 5


def pages(*sizes: tuple[int, int, int]) -> bytes:
    """Return a TIFF with pages of these widths, heights and values of NewSubfileType."""
    first, *others = (Image.new("RGB", (width, height), "red") for width, height, _ in sizes)
    buffer = io.BytesIO()
    first.save(buffer, "TIFF", save_all=True, append_images=others)
    content = bytearray(buffer.getvalue())
    position = 4
    for *_, kind in sizes:  # the tag PlanarConfiguration becomes NewSubfileType
        (start,) = struct.unpack_from("<I", content, position)
        (count,) = struct.unpack_from("<H", content, start)
        for number in range(count):
            entry = start + 2 + 12 * number
            if struct.unpack_from("<H", content, entry)[0] == 284:
                struct.pack_into("<HHII", content, entry, 254, 4, 1, kind)
        position = start + 2 + 12 * count
    return bytes(content)


@pytest.mark.parametrize(
    ("sizes", "shape", "notes"),
    [
        ([(30, 20, 1), (300, 200, 0)], (200, 300), ()),
        ([(300, 200, 0), (30, 20, 1)], (200, 300), ()),
        ([(300, 200, 4), (30, 20, 1), (60, 40, 0)], (40, 60), ()),
        ([(30, 20, 0), (300, 200, 0)], (20, 30), ("only the first of its images is used",)),
        ([(30, 20, 1)], (20, 30), ("it holds only a reduced copy of the photograph",)),
    ],
)
def test_the_full_page_of_a_tiff_is_read(tmp_path, sizes, shape, notes):
    (tmp_path / "a.tif").write_bytes(pages(*sizes))
    photograph = images.read(tmp_path / "a.tif")
    assert photograph.rgb.shape[:2] == shape
    assert photograph.notes == notes
    assert images.count_pixels(tmp_path / "a.tif") == shape[0] * shape[1]


def test_the_preview_in_a_raw_file_is_not_used(tmp_path):
    """A DNG file is a TIFF with a preview as its page, and the raw image in its SubIFDs."""
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[254], tags[330] = 1, 8
    Image.new("RGB", (16, 12)).save(tmp_path / "a.dng", "TIFF", tiffinfo=tags)
    with pytest.raises(UserError, match=r"a\.dng cannot be read: it is a raw camera file: convert"):
        images.read(tmp_path / "a.dng")
