"""Zip archives from elsewhere, unpacked within limits: ordinary files below one folder, and nothing else.

An archive is judged by its table of contents before anything is written, and by the
bytes that come out of it while they are written, since the table may lie.
"""

from __future__ import annotations

import io
import re
import shutil
import stat
import struct
import unicodedata
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from napari_ore_minerals.errors import DatasetError
from napari_ore_minerals.progress import Progress, Steps

LARGEST_TABLE_BYTES = 64 << 20
SMALL_BYTES = 1 << 20  # a table of zeros of this size harms nobody, however well it was packed
SPARE_BYTES = 64 << 20
DEEPEST = 32
_CHUNK_BYTES = 1 << 20
_DAMAGE = (BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, ValueError, OverflowError)
_UTF8_FLAG, _ENCRYPTED_FLAG = 0x800, 0x1
_REPARSE_POINT = 0x400  # how Windows marks a link
_LITTER = re.compile(r"(^|/)(__MACOSX/|\._[^/]*$|\.DS_Store$|Thumbs\.db$|desktop\.ini$)")
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f\\:]|[. ]$")
_DEVICES = re.compile(r"^(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)


@dataclass
class Allowance:
    """What unpacking may still use, shared by archives that lie in archives.

    Attributes
    ----------
    files, size : int
        Files and bytes that may still be written.
    ratio : int
        How many times larger than packed a file of more than `SMALL_BYTES`, or an archive, may become.
    """

    files: int = 100_000
    size: int = 20 << 30
    ratio: int = 200

    def take(self, archive: Path, files: int, size: int) -> None:
        """Use some of it; `DatasetError` if there is not as much left."""
        if files > self.files or size > self.size:
            raise DatasetError(
                f"{archive} would become {files} files and {size} bytes; at most {self.files} files and "
                f"{self.size} bytes are unpacked: if you trust it, unpack it yourself"
            )
        self.files -= files
        self.size -= size


def unpack_steps(archive: Path, folder: Path, allowance: Allowance) -> Steps[int | None]:
    """Unpack a zip archive.

    Parameters
    ----------
    archive
        Of any maker; names may be in UTF-8, as the standard asks, or in GB 18030, as Chinese Windows writes them.
    folder
        Empty or absent.  The caller removes it if this fails.
    allowance
        Limits; what is written is taken off.

    Yields
    ------
    Progress
        One per file.

    Returns
    -------
    int or None
        Number of files.  When sent True, None: some of them are missing.

    Raises
    ------
    DatasetError
        If it is no zip archive, is damaged, holds what is not an ordinary file below `folder`, is larger than
        allowed, or the disk is full.
    """
    try:
        with archive.open("rb", buffering=0) as raw, ZipFile(_Bounded(raw)) as zipped:
            members = _checked_members(zipped, archive)
            size = sum(info.file_size for info, _ in members)
            _check_ratio(archive, size, archive.stat().st_size, allowance.ratio)
            allowance.take(archive, len(members), size)
            folder.mkdir(parents=True, exist_ok=True)
            check_space(folder, size)
            for number, (info, name) in enumerate(members, start=1):
                _check_ratio(archive, info.file_size, info.compress_size, allowance.ratio)
                _write(zipped, info, folder / name)
                if (yield Progress(number, len(members), "files", f"unpacking {archive.name}")):
                    return None
            return len(members)
    except DatasetError:
        raise
    except _DAMAGE as error:
        raise DatasetError(f"{archive} is no zip archive, or it is damaged: {str(error)[:200]}") from error
    except OSError as error:
        raise DatasetError(f"{archive} could not be unpacked: {error.strerror or error}") from error


def safe_name(name: str) -> PurePosixPath | None:
    """Return a relative path of ordinary parts, or None if `name` is anything else on any system."""
    parts = unicodedata.normalize("NFC", name).split("/")
    if len(parts) > DEEPEST:
        return None
    for part in parts:
        if (
            not part
            or part == ".."
            or _FORBIDDEN.search(part)
            or _DEVICES.match(part)
            or len(part.encode()) > 255
        ):
            return None
    return PurePosixPath(*parts)


def check_space(folder: Path, size: int) -> None:
    """Refuse to begin what the disk cannot hold; `DatasetError`."""
    if (free := shutil.disk_usage(folder).free) < size + SPARE_BYTES:
        raise DatasetError(
            f"{folder} has {free / 1e9:.1f} GB free and {(size + SPARE_BYTES) / 1e9:.1f} GB are needed: "
            "make room or choose another disk"
        )


class _Bounded(io.BufferedReader):
    """A file of which nobody reads a table of contents of any size into memory."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > LARGEST_TABLE_BYTES:
            raise BadZipFile(f"its table of contents has {size} bytes")
        return super().read(size)


def _checked_members(zipped: ZipFile, archive: Path) -> list[tuple[ZipInfo, PurePosixPath]]:
    """List the files of an archive with the paths they will get; folders and litter are left out."""
    members, seen = [], set()
    for info in zipped.infolist():
        text = _decoded(info)
        if _LITTER.search(text):
            continue
        name = safe_name(text.removesuffix("/"))
        if name is None:
            raise DatasetError(f"{archive} holds {text[:100]!a}, which is no name of a file below the folder")
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR) or info.external_attr & _REPARSE_POINT:
            raise DatasetError(f"{archive} holds {text[:100]!a}, which is a link or a device and no file")
        if text.endswith("/"):
            continue
        if info.flag_bits & _ENCRYPTED_FLAG:
            raise DatasetError(f"{archive} is locked with a password: unpack it yourself")
        if info.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
            raise DatasetError(
                f"{archive} is packed in a way (method {info.compress_type}) that is not read: unpack it yourself"
            )
        if (key := str(name).casefold()) in seen:
            raise DatasetError(f"{archive} holds {text[:100]!a} twice")
        seen.add(key)
        members.append((info, name))
    return members


def _decoded(info: ZipInfo) -> str:
    """Name of a member as its maker meant it: without the flag of UTF-8 its bytes may be in any encoding."""
    if info.flag_bits & _UTF8_FLAG:
        return info.orig_filename
    written = info.orig_filename.encode("cp437")
    for encoding in ("utf-8", "gb18030"):
        try:
            return written.decode(encoding)
        except UnicodeDecodeError:
            continue
    return info.orig_filename


def _check_ratio(archive: Path, size: int, packed: int, ratio: int) -> None:
    if size > SMALL_BYTES and size > ratio * packed:
        raise DatasetError(f"{archive} grows more than {ratio} times: that is no archive of photographs")


def _write(zipped: ZipFile, info: ZipInfo, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    with zipped.open(info) as source, path.open("xb") as target:
        while chunk := source.read(_CHUNK_BYTES):
            written += len(chunk)
            if written > info.file_size:
                raise BadZipFile(f"{info.filename!a} is longer than the table of contents says")
            target.write(chunk)
    if written != info.file_size:
        raise BadZipFile(f"{info.filename!a} is shorter than the table of contents says")
