"""ICC profiles, TIFFs and PNG chunks that Pillow cannot write."""

import io
import struct
import zlib

import numpy as np
from PIL import Image

TYPES = {"H": 3, "I": 4}  # numbers of TIFF's types, by their letters in `struct`


def icc_profile(space: str, gamma: float, description: str) -> bytes:
    """Return an ICC profile for RGB, with sRGB's primaries, or for GRAY."""
    white = (0.9642, 1.0, 0.8249)
    primaries = {
        b"r": (0.43607, 0.22249, 0.01392),
        b"g": (0.38515, 0.71687, 0.09708),
        b"b": (0.14307, 0.06061, 0.71410),
    }
    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(256 * gamma)) + bytes(2)
    text = description.encode() + b"\0"
    tags = {
        b"wtpt": _xyz(white),
        b"desc": b"desc" + bytes(4) + struct.pack(">I", len(text)) + text + bytes(78),
    }
    if space == "GRAY":
        tags[b"kTRC"] = curve
    else:
        for name, primary in primaries.items():
            tags |= {name + b"XYZ": _xyz(primary), name + b"TRC": curve}
    position, table, content = 132 + 12 * len(tags), b"", b""
    for name, data in tags.items():
        data += bytes(-len(data) % 4)
        table += name + struct.pack(">II", position + len(content), len(data))
        content += data
    header = struct.pack(
        ">I4sI4s4s4s",
        position + len(content),
        b"lcms",
        0x02400000,
        b"mntr",
        space.ljust(4).encode(),
        b"XYZ ",
    )
    header += (
        bytes(12)
        + b"acsp"
        + bytes(28)
        + struct.pack(">3i", *(round(65536 * value) for value in white))
    )
    return header.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + content


def _xyz(color: tuple[float, ...]) -> bytes:
    return b"XYZ " + bytes(4) + struct.pack(">3i", *(round(65536 * value) for value in color))


def tiff(values: np.ndarray, bits: int, order: str = "<", **tags: int) -> bytes:
    """Return a TIFF of gray values (H, W), packed with `bits` bits each.

    Args:
        values: The values as unsigned integers, which may be the bits of floats.
        bits: Bits per sample.
        order: The byte order of `struct`.
        tags: Photometric, SampleFormat, MaxSampleValue.
    """
    height, width = values.shape
    if bits in (16, 32):
        pixels = values.astype(f"{order}u{bits // 8}").tobytes()
    else:
        unpacked = (values[..., None] >> np.arange(bits)[::-1]) & 1
        pixels = np.packbits(unpacked.reshape(height, -1), axis=1).tobytes()
    entries = {
        256: ("I", width), 257: ("I", height), 258: ("H", bits), 259: ("H", 1),
        262: ("H", tags.get("photometric", 1)), 273: ("I", 8), 277: ("H", 1),
        278: ("I", height), 279: ("I", len(pixels)), 281: ("H", tags.get("max_value")),
        339: ("H", tags.get("sample_format")),
    }  # fmt: skip
    entries = {tag: entry for tag, entry in entries.items() if entry[1] is not None}
    directory = struct.pack(f"{order}H", len(entries))
    for tag, (letter, value) in entries.items():
        directory += struct.pack(f"{order}HHI", tag, TYPES[letter], 1)
        directory += struct.pack(f"{order}{letter}", value).ljust(4, b"\0")
    pixels += bytes(len(pixels) % 2)
    start = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8 + len(pixels))
    return start + pixels + directory + bytes(4)


def png(width: int, height: int, depth: int, color: int, rows: bytes, more: bytes = b"") -> bytes:
    """Return a PNG.

    Args:
        width: Pixels per row.
        height: Number of rows.
        depth: Bits per channel.
        color: Color type of the format: 0 for gray, 2 for RGB.
        rows: The rows. Each begins with the number of its filter.
        more: Chunks between the header and the rows.
    """
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", header)
        + more
        + png_chunk(b"IDAT", zlib.compress(rows))
        + png_chunk(b"IEND", b"")
    )


def png_chunk(kind: bytes, content: bytes) -> bytes:
    checksum = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + checksum


def png_with(image: Image.Image, kind: bytes, content: bytes, **options: object) -> bytes:
    """Return a PNG with an additional chunk after its header."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", **options)
    return buffer.getvalue()[:33] + png_chunk(kind, content) + buffer.getvalue()[33:]
