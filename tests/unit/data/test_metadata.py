"""EXIF, XMP and IPTC metadata survive in the formats that can store them."""

import io
import struct

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from colorpipe.data import images

DETAILS, PLACE = 0x8769, 0x8825  # EXIF directories
XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6" '
    b'dc:title="K\xc3\xbche"/></x:xmpmeta>'
)
IPTC = b"\x1c\x02\x78\x00\x05K\xc3\xbche"  # record 2:120, the caption
PIXELS = np.random.default_rng(0).integers(0, 256, (24, 36, 3), dtype=np.uint8)


def make_exif() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[270] = "Kühe auf der Alm".encode()
    exif[33432] = "(c) 1998 A. B."
    exif[256] = 36  # the width of the file
    exif.get_ifd(DETAILS).update({36867: "1998:12:24 18:30:00", 40961: 2, 40962: 36, 40963: 24})
    exif.get_ifd(PLACE).update({1: "N", 2: (47.0, 30.0, 1.5)})
    return exif


def iptc_segment() -> bytes:
    content = b"Photoshop 3.0\0" + b"8BIM\x04\x04\0\0" + struct.pack(">I", len(IPTC)) + IPTC
    return b"\xff\xed" + struct.pack(">H", len(content) + 2) + content


@pytest.fixture(params=["JPEG", "TIFF"])
def photograph(request, tmp_path) -> images.Photograph:
    path, image = tmp_path / f"original.{request.param.lower()}", Image.fromarray(PIXELS)
    if request.param == "JPEG":
        image.save(path, exif=make_exif(), xmp=XMP, extra=iptc_segment())
    else:
        exif = make_exif()
        exif[700], exif[33723], exif[DETAILS], exif[PLACE] = XMP, IPTC, 0, 0
        image.save(path, exif=exif)
    return images.read(path)


@pytest.mark.parametrize("suffix", images.WRITERS)
def test_metadata_survives(photograph, tmp_path, suffix):
    assert photograph.rgb.shape == (36, 24, 3)  # upright
    path = tmp_path / f"colored{suffix}"
    notes = images.write(path, photograph.rgb, None, photograph.metadata)
    with Image.open(path) as image:
        image.load()
        exif, details = image.getexif(), image.getexif().get_ifd(DETAILS)
        xmp, size = image.info["xmp"], image.size
        assert image.size == (24, 36)
    assert exif.get(0x0112, 1) == 1
    assert exif[270].encode("latin-1").decode() == "Kühe auf der Alm"
    assert exif[33432] == "(c) 1998 A. B."
    assert details[36867] == "1998:12:24 18:30:00"
    assert details[40961] == 1  # the pixels are sRGB now
    assert 40962 not in details
    assert exif.get_ifd(PLACE) == {1: "N", 2: (47.0, 30.0, 1.5)}
    assert b'Orientation="6"' not in xmp
    assert 'dc:title="Kühe"'.encode() in xmp
    again = images.read(path)
    assert again.rgb.shape[:2] == size[::-1]
    if suffix in (".png", ".webp"):
        assert notes == (f"its IPTC data is dropped: {suffix[1:].upper()} has none",)
    else:
        assert notes == ()
        assert again.metadata.iptc == IPTC


def test_a_photograph_without_metadata_gets_none(tmp_path):
    Image.fromarray(PIXELS).save(tmp_path / "a.png")
    metadata = images.read(tmp_path / "a.png").metadata
    assert (metadata.directories, metadata.xmp, metadata.iptc) == ({}, None, None)
    images.write(tmp_path / "b.tif", PIXELS, None, metadata)
    with Image.open(tmp_path / "b.tif") as image:
        assert image.info["compression"] == "tiff_adobe_deflate"


@pytest.mark.parametrize("before", [b"tiff:Orientation = '", b"<tiff:Orientation>\n"])
def test_the_orientation_of_xmp_is_reset_in_all_notations(tmp_path, before):
    Image.fromarray(PIXELS).save(tmp_path / "a.jpg", xmp=b"<x:xmpmeta>" + before + b"6</x:xmpmeta>")
    assert before + b"1" in images.read(tmp_path / "a.jpg").metadata.xmp


@pytest.mark.parametrize("suffix", images.WRITERS)
@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif"])
def test_the_resolution_is_kept(tmp_path, suffix, orientation, name):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(PIXELS).save(tmp_path / name, dpi=(600, 300), exif=exif)
    photograph = images.read(tmp_path / name)
    path = tmp_path / f"b{suffix}"
    images.write(path, photograph.rgb, None, photograph.metadata)
    with Image.open(path) as image:
        dpi = image.info.get("dpi")
    expected = (600, 300) if orientation == 1 else (300, 600)
    assert dpi is None if suffix == ".webp" else np.allclose(dpi, expected, atol=0.01)


@pytest.mark.parametrize("dpi", [(0, 0), (1, 1), (70_000, 70_000)])
def test_an_implausible_resolution_is_not_kept(tmp_path, dpi):
    Image.fromarray(PIXELS).save(tmp_path / "a.png", dpi=dpi)
    assert images.read(tmp_path / "a.png").metadata.dpi is None


def test_a_damaged_resolution_is_not_kept(tmp_path):
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[282], tags[283] = 300.0, TiffImagePlugin.IFDRational(0, 0)
    Image.fromarray(PIXELS).save(tmp_path / "a.tif", tiffinfo=tags)
    assert images.read(tmp_path / "a.tif").metadata.dpi is None


def test_metadata_too_long_for_jpeg_is_dropped_with_a_note(tmp_path):
    exif = Image.Exif()
    exif[270] = "x" * 70_000
    Image.fromarray(PIXELS).save(tmp_path / "a.png", exif=exif)
    photograph = images.read(tmp_path / "a.png")
    notes = images.write(tmp_path / "b.jpg", photograph.rgb, None, photograph.metadata)
    assert notes == ("its EXIF data is dropped: it is too long for JPEG",)
    assert images.write(tmp_path / "b.webp", photograph.rgb, None, photograph.metadata) == ()


def test_the_thumbnail_of_the_gray_photograph_is_left_out(tmp_path):
    thumbnail = io.BytesIO()
    Image.new("L", (8, 8)).save(thumbnail, "JPEG")
    exif = make_exif()
    exif.get_ifd(1).update({513: 0, 514: len(thumbnail.getvalue())})
    Image.fromarray(PIXELS).save(tmp_path / "a.jpg", exif=exif.tobytes())
    metadata = images.read(tmp_path / "a.jpg").metadata
    assert set(metadata.directories) == {0, DETAILS, PLACE}


def test_damaged_exif_is_left_out_with_a_note(tmp_path):
    exif = bytearray(make_exif().tobytes())
    exif[203] = 0  # the type of a tag
    Image.fromarray(PIXELS).save(tmp_path / "a.jpg", exif=bytes(exif), xmp=XMP)
    photograph = images.read(tmp_path / "a.jpg")
    assert "its EXIF data is damaged and is left out" in photograph.notes
    assert photograph.metadata.directories == {}
    assert photograph.metadata.xmp
