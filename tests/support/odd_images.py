"""Common, odd and hostile image files, for `colorize` and the folder data set."""

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pillow_heif
from photo_files import icc_profile, png, png_with, tiff
from PIL import Image, ImageOps

pillow_heif.register_heif_opener()
PIXELS = np.random.default_rng(0).integers(0, 256, (24, 30, 3), dtype=np.uint8)
COLORS = Image.fromarray(PIXELS)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def damaged(content: bytes, seed: int) -> bytes:
    """Return the content with twenty bytes changed after the header."""
    rng = np.random.default_rng(seed)
    changed = bytearray(content)
    for position in rng.integers(30, len(content), 20):
        changed[position] = rng.integers(0, 256)
    return bytes(changed)


JPEG, PNG, WEBP, TIFF = (encoded(COLORS, kind) for kind in ("JPEG", "PNG", "WEBP", "TIFF"))
FRAMES = {"save_all": True, "append_images": [Image.new("RGB", (30, 24))]}
# Each row of a PNG begins with a byte for its filter, so it is longer than its 30 pixels.
DEEP = np.random.default_rng(1).integers(0, 2**16, (24, 31)).astype(">u2").tobytes()
EXIF = b"Exif\0\0MM\0*\0\0\0\x08" + b"\xff" * 40
# An EXIF directory that names itself as the next one.
LOOP = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x69\x87\4\0\1\0\0\0\x08\0\0\0\x08\0\0\0"

READ = {  # names and contents of files that are read
    "plain.jpg": JPEG,
    "plain.webp": WEBP,
    "plain.tif": TIFF,
    "a PNG called.jpg": PNG,
    "a JPEG called.png": JPEG,
    "LOUD.JPEG": JPEG,
    "two words.png": PNG,
    "quote'and\"quote.png": PNG,
    "new\nline.png": PNG,
    "tab\tand\x1bescape.png": PNG,
    "-o.png": PNG,
    "--help.jpg": JPEG,
    "$(touch harm).png": PNG,
    "Farbe äöü 色.png": PNG,
    os.fsdecode(b"no\xffutf8\xfe.png"): PNG,
    "%s{0}.png": PNG,
    "gray.jpg": encoded(COLORS.convert("L"), "JPEG"),
    "one bit.png": encoded(COLORS.convert("1"), "PNG"),
    "palette.png": encoded(COLORS.quantize(16), "PNG"),
    "transparent palette.png": encoded(COLORS.quantize(16), "PNG", transparency=3),
    "alpha.png": encoded(COLORS.convert("RGBA"), "PNG"),
    "cmyk.jpg": encoded(COLORS.convert("CMYK"), "JPEG"),
    "cmyk.tif": encoded(COLORS.convert("CMYK"), "TIFF"),
    "lab.tif": encoded(COLORS.convert("LAB"), "TIFF"),
    "gray16.png": png(
        30, 24, 16, 0, b"".join(b"\0" + DEEP[row * 60 : row * 60 + 60] for row in range(24))
    ),
    "gray16.tif": encoded(Image.fromarray(np.full((9, 9), 40_000, np.uint16)), "TIFF"),
    "progressive.jpg": encoded(COLORS, "JPEG", progressive=True),
    "interlaced.tif": encoded(COLORS, "TIFF", compression="tiff_lzw"),
    "animated.webp": encoded(COLORS, "WEBP", **FRAMES),
    "animated.png": encoded(COLORS, "PNG", **FRAMES),
    "pages.tif": encoded(COLORS, "TIFF", **FRAMES),
    "1x1.png": encoded(COLORS.resize((1, 1)), "PNG"),
    "1x1.jpg": encoded(COLORS.resize((1, 1)), "JPEG"),
    "wide.png": encoded(COLORS.resize((20_000, 1)), "PNG"),
    "tall.jpg": encoded(COLORS.resize((1, 20_000)), "JPEG"),
    "exif of garbage.jpg": encoded(COLORS, "JPEG", exif=EXIF),
    "exif of garbage.png": encoded(COLORS, "PNG", exif=EXIF),
    "exif that loops.jpg": encoded(COLORS, "JPEG", exif=LOOP),
    "exif of no kind.webp": encoded(COLORS, "WEBP", exif=b"\0\1\2"),
    "icc of garbage.jpg": encoded(COLORS, "JPEG", icc_profile=b"garbage" * 99),
    "icc of garbage.png": encoded(COLORS, "PNG", icc_profile=b"\0" * 128),
    "icc of garbage.webp": encoded(COLORS, "WEBP", icc_profile=b"x"),
    "bytes after the end.jpg": JPEG + b"more" * 1000,
    "bytes after the end.png": PNG + b"more" * 1000,
}
REFUSED = {  # names and contents of files that are refused
    "zero bytes.jpg": b"",
    "zero bytes.png": b"",
    "one byte.webp": b"R",
    "zeros.tif": bytes(5000),
    "text.jpg": b"hello",
    "page.png": b"<!DOCTYPE html><title>404</title>",
    "script.png": b"#!/bin/sh\ntouch harm\n",
    "pickle.jpg": b"cos\nsystem\n(S'touch harm'\ntR.",
    "postscript.jpg": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(harm) (w) file\n",
    "vector.png": b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
    "gif called.jpg": encoded(COLORS, "GIF"),
    "bmp called.png": encoded(COLORS, "BMP"),
    "cut in half.jpg": encoded(COLORS.resize((300, 300)), "JPEG")[:3000],
    "cut in half.png": PNG[: len(PNG) // 2],
    "cut in half.webp": WEBP[: len(WEBP) // 2],
    "cut in half.tif": TIFF[: len(TIFF) // 2],
    "header alone.png": PNG[:33],
    "start alone.jpg": b"\xff\xd8\xff\xe0",
    "pixels cut.png": png(30, 24, 8, 2, bytes(500)),
    "bomb.png": png(60_000, 60_000, 8, 2, b""),
    "bomb.tif": TIFF.replace(
        struct.pack("<HHII", 256, 4, 1, 30), struct.pack("<HHII", 256, 4, 1, 2**31 - 1)
    ),
    "text bomb.png": png_with(COLORS, b"zTXt", b"Comment\0\0" + zlib.compress(bytes(80_000_000))),
    "floats.tif": encoded(Image.fromarray(np.zeros((4, 4), np.float32)), "TIFF"),
    "32 bits.tif": encoded(Image.fromarray(np.zeros((4, 4), np.int32)), "TIFF"),
    "no width.png": png(0, 5, 8, 2, b""),
    "no such depth.png": png(5, 5, 7, 2, bytes(200)),
}
DAMAGED = {  # names and contents of files that may be read or refused
    f"damaged {seed}{suffix}": damaged(content, seed)
    for seed in range(5)
    for suffix, content in ((".jpg", JPEG), (".png", PNG), (".webp", WEBP), (".tif", TIFF))
}


def write_files(folder: Path, files: dict[str, bytes]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def photograph(seed: int, width: int = 90, height: int = 70) -> Image.Image:
    """Return soft spots of color that depend on the seed."""
    spots = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    return Image.fromarray(spots).resize((width, height), Image.Resampling.BICUBIC)


def toned(seed: int, black: str, white: str) -> Image.Image:
    ramp = ImageOps.autocontrast(photograph(seed).convert("L"))
    return ImageOps.colorize(ramp, black, white)


def mixed_album() -> dict[str, dict[str, bytes]]:
    """Return 40 files as people have them, grouped by what the folder data set does with them.

    `colorize` skips the groups "unreadable" and "other", ignores "system", and reads the rest.
    """
    pictures = map(photograph, range(100))
    linear, gray = icc_profile("RGB", 1.0, "sRGB Linear"), icc_profile("GRAY", 1.0, "Dot Gain")
    turned = Image.Exif()
    turned[0x0112] = 6
    plain = encoded(next(pictures), "PNG")
    again = photograph(0).resize((180, 140), Image.Resampling.BICUBIC)
    values = np.arange(30 * 20).reshape(20, 30) * 6
    used = {
        "linear sRGB.png": encoded(next(pictures), "PNG", icc_profile=linear),
        "linear.jpg": encoded(next(pictures), "JPEG", icc_profile=linear),
        "linear alpha.png": encoded(next(pictures).convert("RGBA"), "PNG", icc_profile=linear),
        "linear cmyk.tif": encoded(next(pictures).convert("CMYK"), "TIFF", icc_profile=linear),
        "gray profile.jpg": encoded(next(pictures), "JPEG", icc_profile=gray),
        "palette.png": encoded(next(pictures).quantize(64), "PNG", icc_profile=linear),
        "gamma.png": png_with(next(pictures), b"gAMA", struct.pack(">I", 100_000)),
        "hdr.png": png_with(next(pictures), b"cICP", bytes((9, 16, 0, 1))),
        "turned.heic": encoded(next(pictures), "HEIF", exif=turned),
        "turned.jpg": encoded(next(pictures), "JPEG", exif=turned),
        "turned.avif": encoded(next(pictures), "AVIF", exif=turned),
        "pages.tif": encoded(next(pictures), "TIFF", save_all=True, append_images=[photograph(50)]),
        "garbage exif.jpg": encoded(next(pictures), "JPEG", exif=EXIF),
        "plain.png": plain,
        "plain again.jpg": encoded(again, "JPEG", quality=80),
        "plain with a caption.png": png_with(photograph(0), b"tEXt", b"Title\0dunes"),
    }
    used |= {f"more/{number}.jpg": encoded(next(pictures), "JPEG") for number in range(6)}
    return {
        "used": used,
        "gray": {
            "gray alpha.png": encoded(next(pictures).convert("LA"), "PNG", icc_profile=gray),
            "12 bits.tif": tiff(values, 12),
            "12 of 16 bits.tif": tiff(values, 16, max_value=4095),
            "dark.tif": tiff(values, 16),
            "negative.tif": tiff(values * 16, 16, photometric=0),
        },
        "toned": {
            "sepia.jpg": encoded(toned(1, "#140c05", "#fff0cd"), "JPEG", quality=95, subsampling=0),
            "blue.png": encoded(toned(2, "#0a143c", "#e6f5fa"), "PNG"),
        },
        "copies": {"z copy of plain.png": plain},
        "unreadable": {
            "10 bits.tif": tiff(values, 10),
            "floats.tif": tiff(values, 16, sample_format=3),
            "cut.jpg": encoded(photograph(99, 300, 300), "JPEG")[:3000],
        },
        "other": {"notes.txt": b"hello", "raw.cr2": b"raw"},
        "system": {
            "@eaDir/plain.png/SYNOPHOTO_THUMB_XL.jpg": JPEG,
            "#recycle/old.jpg": JPEG,
            "$RECYCLE.BIN/S-1/old.jpg": JPEG,
            "__MACOSX/._plain.png": b"\0\5\x16\7",
            "Thumbs.db": b"\xd0\xcf",
        },
    }
