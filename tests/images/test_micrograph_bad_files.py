"""Every damaged, absurd or malicious file is refused in one sentence, soon, and without much memory."""

from __future__ import annotations

import io
import struct
import time
import zlib
from pathlib import Path

import numpy as np
import psutil
import pytest
import tifffile
from PIL import Image

from napari_ore_minerals.errors import PictureError
from napari_ore_minerals.images.micrograph import Micrograph


def tiff(pixels: bytes = b"\x55" * 64, next_ifd: int = 0, **changes: tuple[int, int, int]) -> bytes:
    """A little-endian TIFF of 8 x 8 grey pixels, written by hand; a tag is (type, count, value)."""
    offset = 8 + 2 + 12 * 10 + 4
    tags = {
        "width_256": (4, 1, 8), "length_257": (4, 1, 8), "bits_258": (3, 1, 8), "compression_259": (3, 1, 1),
        "photometric_262": (3, 1, 1), "offsets_273": (4, 1, offset), "samples_277": (3, 1, 1),
        "rows_278": (4, 1, 8), "counts_279": (4, 1, len(pixels)), "planar_284": (3, 1, 1),
    }  # fmt: skip
    tags.update(changes)
    body = struct.pack("<2sHIH", b"II", 42, 8, len(tags))
    for name, (kind, count, value) in tags.items():
        body += struct.pack("<HHII", int(name.split("_")[1]), kind, count, value)
    return body + struct.pack("<I", next_ifd) + pixels


def encoded(values: np.ndarray, form: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(values).save(file, form)
    return file.getvalue()


def written(values: np.ndarray, **how: object) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, values, **how)
    return file.getvalue()


def huge_png(side: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def huge_deflate(side: int) -> bytes:
    packed = zlib.compress(bytes(side * side), 9)
    return tiff(
        packed,
        width_256=(4, 1, side),
        length_257=(4, 1, side),
        compression_259=(3, 1, 8),
        rows_278=(4, 1, side),
    )


def read_or_refuse(path: Path) -> tuple[int, ...] | str:
    """Shape of the pixels, or the message of the refusal."""
    try:
        return Micrograph.open(path).read().rgb.shape
    except PictureError as error:
        return str(error)


NOISE = np.random.default_rng(1).integers(0, 256, (96, 80, 3), dtype=np.uint8)
HALF = {"png": encoded(NOISE, "PNG"), "jpg": encoded(NOISE, "JPEG"), "bmp": encoded(NOISE, "BMP")}
BAD_FILES = {
    "empty.tif": b"",
    "one_byte.tif": b"I",
    "header_only.tif": b"II*\0\x08\0\0\0",
    "magic_only.tif": b"II*\0",
    "magic_only.png": b"\x89PNG\r\n\x1a\n",
    "magic_only.jpg": b"\xff\xd8\xff",
    "magic_only.bmp": b"BM",
    "ifd_offset_past_eof.tif": b"II*\0\xff\xff\xff\x7f",
    "no_tags.tif": b"II*\0\x08\0\0\0\0\0\0\0\0\0",
    "dims_1e6x1e6.tif": tiff(width_256=(4, 1, 10**6), length_257=(4, 1, 10**6)),
    "dims_4e9x4e9.tif": tiff(width_256=(4, 1, 4 * 10**9), length_257=(4, 1, 4 * 10**9)),
    "dims_60000_sparse.tif": tiff(width_256=(4, 1, 60000), length_257=(4, 1, 60000), offsets_273=(4, 1, 0)),
    "dims_0x0.tif": tiff(width_256=(4, 1, 0), length_257=(4, 1, 0)),
    "bps_0.tif": tiff(bits_258=(3, 1, 0)),
    "bps_17.tif": tiff(bits_258=(3, 1, 17)),
    "spp_65535.tif": tiff(samples_277=(3, 1, 65535)),
    "spp_0.tif": tiff(samples_277=(3, 1, 0)),
    "compression_unknown.tif": tiff(compression_259=(3, 1, 4711)),
    "count_huge_strip.tif": tiff(offsets_273=(4, 2**31, 8)),
    "strip_count_huge.tif": tiff(counts_279=(4, 1, 2**31)),
    "strip_offset_past_eof.tif": tiff(offsets_273=(4, 1, 10**9)),
    "strip_offset_0.tif": tiff(offsets_273=(4, 1, 0)),
    "strip_count_0.tif": tiff(counts_279=(4, 1, 0)),
    "rows_0.tif": tiff(rows_278=(4, 1, 0)),
    "photometric_unknown.tif": tiff(photometric_262=(3, 1, 99)),
    "deflate_garbage.tif": tiff(b"garbage" * 9, compression_259=(3, 1, 8)),
    "truncated_50pct.tif": written(NOISE)[: NOISE.nbytes // 2],
    "truncated_tiles.tif": written(NOISE, tile=(16, 16), compression="zlib")[:-5000],
    "truncated_big.tif": written(NOISE, bigtiff=True)[: NOISE.nbytes // 2],
    "deflate_bomb.tif": huge_deflate(20_000),
    "html_named.tif": b"<!DOCTYPE html><html><body>404</body></html>",
    "lfs_pointer.tif": b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n",
    "zeros_4k.tif": bytes(4096),
    "text.png": b"a,b,c\n1,2,3\n" * 20,
    "png_20000.png": huge_png(20_000),
    "png_0x0.png": huge_png(0),
    "png_trunc.png": HALF["png"][: len(HALF["png"]) // 2],
    "jpg_trunc.jpg": HALF["jpg"][: len(HALF["jpg"]) // 2],
    "bmp_trunc.bmp": HALF["bmp"][: len(HALF["bmp"]) // 2],
    "complex.tif": written(np.ones((8, 8), np.complex64)),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_file_is_refused_in_one_sentence(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(BAD_FILES[name])
    resident = psutil.Process().memory_info().rss
    start = time.perf_counter()
    with pytest.raises(PictureError) as caught:
        Micrograph.open(path)
    assert time.perf_counter() - start < 2
    assert psutil.Process().memory_info().rss - resident < 300 * 2**20
    message = str(caught.value)
    assert name in message
    assert message.endswith(".")
    assert "\n" not in message
    assert len(message) < 400


@pytest.mark.parametrize("name", ["ifd_self_loop.tif", "ifd_two_cycle.tif"])
def test_loops_of_pages_end(name: str, tmp_path: Path) -> None:
    first = tiff(next_ifd=8)
    if name == "ifd_two_cycle.tif":
        second = tiff(next_ifd=8)[8:]
        first = tiff(next_ifd=len(tiff())) + second
    (tmp_path / name).write_bytes(first)
    start = time.perf_counter()
    outcome = read_or_refuse(tmp_path / name)
    assert outcome == (8, 8, 3) or "stack" in str(outcome)
    assert time.perf_counter() - start < 2


def test_hand_written_control_is_read(tmp_path: Path) -> None:
    (tmp_path / "control.tif").write_bytes(tiff(bytes(range(64))))
    rgb = Micrograph.open(tmp_path / "control.tif").read().rgb
    np.testing.assert_array_equal(rgb[..., 0].ravel(), np.arange(64))


def test_truncated_header_only_is_refused_at_the_door(tmp_path: Path) -> None:
    path = tmp_path / "cut.tif"
    path.write_bytes(BAD_FILES["truncated_50pct.tif"])
    with pytest.raises(PictureError, match="cut off"):
        Micrograph.open(path)


def test_jpeg_named_tif_is_read_by_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "photo.tif"
    path.write_bytes(HALF["jpg"])
    assert Micrograph.open(path).read().rgb.shape == NOISE.shape


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(PictureError, match="no such file"):
        Micrograph.open(tmp_path / "absent.png")
    with pytest.raises(PictureError, match="is a folder, but no Zarr array"):
        Micrograph.open(tmp_path)


@pytest.mark.parametrize("form", ["striped", "tiled", "packed", "png", "jpg"])
def test_damaged_bytes_never_get_past_the_door_as_a_foreign_error(form: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    whole = {
        "striped": written(NOISE, rowsperstrip=8),
        "tiled": written(NOISE, tile=(32, 32), compression="lzw", predictor=True),
        "packed": written(
            NOISE.astype(np.uint16) << 4, compression="zlib", ome=True, metadata={"axes": "YXS"}
        ),
        "png": HALF["png"],
        "jpg": HALF["jpg"],
    }[form]
    path = tmp_path / "damaged"
    for trial in range(60):
        damaged = bytearray(whole)
        reach = len(whole) if trial % 2 else min(len(whole), 400)
        for position in rng.integers(0, reach, 1 + trial % 5):
            damaged[position] = rng.integers(256)
        path.write_bytes(damaged[: rng.integers(1, len(whole) + 1)] if trial % 7 == 0 else damaged)
        outcome = read_or_refuse(path)
        assert "damaged" in outcome if isinstance(outcome, str) else len(outcome) == 3
