"""Metadata of a photograph, as it is read and as each format holds it: EXIF, XMP, IPTC and dpi."""

import re
import struct
from dataclasses import dataclass, field
from typing import Any

from PIL import Image
from PIL.ExifTags import IFD, Base
from PIL.PngImagePlugin import PngInfo

# Tags of the main directory that describe the photograph and not the file.
KEPT_TAGS = {
    Base.ImageDescription, Base.Make, Base.Model, Base.Software, Base.DateTime, Base.Artist,
    Base.HostComputer, Base.Copyright, Base.Rating, Base.RatingPercent, Base.XPTitle,
    Base.XPComment, Base.XPAuthor, Base.XPKeywords, Base.XPSubject, Base.XResolution,
    Base.YResolution, Base.ResolutionUnit,
}  # fmt: skip
# Tags of the Exif directory that no longer apply to the written file.
DROPPED_EXIF_TAGS: set[int] = {IFD.Interop, Base.ExifImageWidth, Base.ExifImageHeight}
SRGB = 1  # value of ColorSpace
XMP_TAG, IPTC_TAG = 700, 33723  # of TIFF
IPTC_RESOURCE = 0x0404  # number among Photoshop's resources in a JPEG
MAX_SEGMENT = 65_000  # bytes in a segment of a JPEG, with some room for its header
MAX_DPI = 2**16  # limit of JFIF
ORIENTATION = re.compile(rb"""(tiff:Orientation\s*(?:=\s*["']|>\s*))\d""")


@dataclass(frozen=True)
class Metadata:
    """Metadata of an upright image.

    Attributes:
        directories: EXIF tags by the number of their directory, 0 for the main one.
        xmp: The XMP packet, or None.
        iptc: IPTC records, or None.
        dpi: Horizontal and vertical resolution in dots per inch, or None.
    """

    directories: dict[int, dict[int, Any]] = field(default_factory=dict)
    xmp: bytes | None = None
    iptc: bytes | None = None
    dpi: tuple[float, float] | None = None


def read_metadata(image: Image.Image) -> tuple[Metadata, list[str]]:
    """Return the metadata of a loaded image, and notes. It describes an upright sRGB image.

    The orientation is reset. The thumbnail, and the tags that describe the file, are left out.
    """
    xmp = image.info.get("xmp")
    xmp = ORIENTATION.sub(rb"\g<1>1", xmp) if isinstance(xmp, bytes) else None
    iptc, dpi = _read_iptc(image), _read_dpi(image)
    try:
        exif = image.getexif()
        exif_tags, gps_tags = (exif.get_ifd(number) for number in (IFD.Exif, IFD.GPSInfo))
        directories = {
            0: _copy_tags({tag: value for tag, value in exif.items() if tag in KEPT_TAGS}),
            int(IFD.Exif): _copy_tags(exif_tags, without=DROPPED_EXIF_TAGS),
            int(IFD.GPSInfo): _copy_tags(gps_tags),
        }
        if Base.ColorSpace in exif_tags:
            directories[int(IFD.Exif)][Base.ColorSpace] = SRGB
        directories = {key: tags for key, tags in directories.items() if tags}
        metadata = Metadata(directories, xmp, iptc, dpi)
        _build_exif(metadata).tobytes()
    except Exception:  # damaged EXIF can raise anything
        return Metadata({}, xmp, iptc, dpi), ["its EXIF data is damaged and is left out"]
    return metadata, []


def save_options(metadata: Metadata, name: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return Pillow's options to save metadata in a format, and notes on what it cannot hold.

    Args:
        metadata: The metadata.
        name: Pillow's name of the format: JPEG, PNG, WEBP or TIFF.
    """
    exif, notes = _build_exif(metadata), []
    options: dict[str, Any] = {"dpi": metadata.dpi} if metadata.dpi and name != "WEBP" else {}
    if name == "TIFF":
        # With compression, Pillow writes neither the date nor the place.
        for tag, content in ((XMP_TAG, metadata.xmp), (IPTC_TAG, metadata.iptc)):
            if content:
                exif[tag] = content
        return options | ({"exif": exif, "compression": None} if len(exif) else {}), ()
    parts = {"EXIF": exif.tobytes() if len(exif) else None, "XMP": metadata.xmp}
    parts["IPTC"] = metadata.iptc
    if name == "JPEG":
        for part, content in parts.items():
            if content and len(content) > MAX_SEGMENT:
                notes.append(f"its {part} data is dropped: it is too long for JPEG")
                parts[part] = None
    elif metadata.iptc:
        notes.append(f"its IPTC data is dropped: {name} has none")
    if parts["EXIF"]:
        options["exif"] = parts["EXIF"]
    if name == "PNG" and parts["XMP"]:
        options["pnginfo"] = PngInfo()
        options["pnginfo"].add_itxt("XML:com.adobe.xmp", parts["XMP"].decode("utf-8", "replace"))
    elif parts["XMP"]:
        options["xmp"] = parts["XMP"]
    if name == "JPEG" and parts["IPTC"]:
        options["extra"] = _make_iptc_segment(parts["IPTC"])
    return options, tuple(notes)


def _copy_tags(tags: dict[int, Any], without: set[int] | None = None) -> dict[int, Any]:
    """Copy tags. Pillow reads text as Latin-1 and can write only ASCII, so other text is bytes."""
    return {
        tag: value.encode("latin-1", "replace")
        if isinstance(value, str) and not value.isascii()
        else value
        for tag, value in tags.items()
        if tag not in (without or ())
    }


def _build_exif(metadata: Metadata) -> Image.Exif:
    exif = Image.Exif()
    for number, tags in metadata.directories.items():
        if number:
            exif.get_ifd(number).update(tags)
            exif[number] = 0  # Pillow replaces it by the directory's position
        else:
            exif.update(tags)
    return exif


def _read_iptc(image: Image.Image) -> bytes | None:
    resources = image.info.get("photoshop")
    if isinstance(resources, dict):
        records = resources.get(IPTC_RESOURCE)
    else:
        records = getattr(image, "tag_v2", {}).get(IPTC_TAG)
        if isinstance(records, tuple) and all(isinstance(number, int) for number in records):
            order = "<" if image.tag_v2.prefix == b"II" else ">"  # type: ignore[attr-defined]
            records = struct.pack(f"{order}{len(records)}I", *records)  # written as numbers
    return records if isinstance(records, bytes) and records else None


def _read_dpi(image: Image.Image) -> tuple[float, float] | None:
    """Return the resolution if it is plausible. Pillow reads it from JFIF, pHYs, TIFF or EXIF."""
    try:
        x, y = map(float, image.info["dpi"])
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None
    return (x, y) if all(1 < value < MAX_DPI for value in (x, y)) else None  # not NaN


def _make_iptc_segment(records: bytes) -> bytes:
    """Return the segment of a JPEG that holds IPTC records, as Photoshop writes it."""
    size = struct.pack(">I", len(records))
    padding = b"\0" * (len(records) % 2)
    content = b"Photoshop 3.0\0" + b"8BIM\x04\x04\0\0" + size + records + padding
    return b"\xff\xed" + struct.pack(">H", len(content) + 2) + content
