"""A published record of data: what it holds, and its files, downloaded so that a broken connection costs little.

Records of Zenodo are read through pooch, which knows its interface; files are held to
the checksums that the record states.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from napari_ore_minerals.errors import DatasetError
from napari_ore_minerals.progress import Progress, Steps

from .archives import check_space, safe_name

if TYPE_CHECKING:
    import requests

ZENODO = "https://zenodo.org"
ATTEMPTS = 4
PATIENCE_SECONDS = (10.0, 60.0)  # for a connection, and between two pieces of a file
PAUSE_SECONDS = 2.0
_CHUNK_BYTES = 1 << 16  # the most that is lost when a connection breaks
_CHECKSUM = re.compile(r"^(md5:[0-9a-f]{32}|sha256:[0-9a-f]{64})$")
_DOI = re.compile(r"^10\.5281/zenodo\.([0-9]{1,12})$")


@dataclass(frozen=True)
class RecordFile:
    """A file of a record; `checksum` is ``"md5:..."`` or ``"sha256:..."``."""

    name: str
    size: int
    checksum: str
    url: str


@dataclass(frozen=True)
class Record:
    """What a repository says of a record."""

    doi: str
    title: str
    files: tuple[RecordFile, ...]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)


def read_record(doi: str, *, base_url: str = ZENODO) -> Record:
    """Ask the repository what a record holds.

    Parameters
    ----------
    doi
        ``"10.5281/zenodo.<number>"``.
    base_url
        Of the repository; another one for mirrors and tests.

    Raises
    ------
    DatasetError
        If it cannot be reached, or answers with what is no record.
    """
    import pooch
    import requests
    from pooch.downloaders import REQUESTS_HEADERS, ZenodoRepository

    number = _DOI.match(doi)
    if number is None:
        raise DatasetError(f"{doi!a} is no DOI of Zenodo, which reads 10.5281/zenodo.<number>")
    repository = ZenodoRepository(
        doi, f"{base_url}/records/{number[1]}", timeout=PATIENCE_SECONDS, headers=REQUESTS_HEADERS
    )
    repository.base_api_url = f"{base_url}/api/records"
    try:
        answer = repository.api_response
        if "files" not in answer:
            raise DatasetError(
                f"{base_url} has no open record {doi}: {str(answer.get('message', ''))[:200]!a}"
            )
        registry = pooch.create(path=Path(), base_url="")
        repository.populate_registry(registry)
        files = tuple(
            _file(entry, registry.registry, repository.download_url, base_url) for entry in answer["files"]
        )
    except requests.exceptions.JSONDecodeError as error:
        raise DatasetError(f"{base_url} answers with what is no record of {doi}: try again later") from error
    except requests.exceptions.RequestException as error:
        raise DatasetError(_unreachable(doi, base_url, error)) from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, DatasetError):
            raise
        raise DatasetError(
            f"{base_url} has no open files for {doi}, or its answer has a form that is not known here "
            f"({_reason(error)}): fetch them with a browser and name their folder with --downloaded"
        ) from error
    if not files:
        raise DatasetError(f"the record {doi} at {base_url} holds no files")
    return Record(doi, str(answer.get("metadata", {}).get("title", doi))[:300], files)


def download_steps(record: Record, folder: Path) -> Steps[list[Path]]:
    """Download the files of a record, or what is still missing of them.

    Parameters
    ----------
    record
    folder
        Files that are there and have the right checksum are kept; a file that is under way ends in ``.part``.

    Yields
    ------
    Progress
        In ``"MB"`` of the whole record.

    Returns
    -------
    list of Path
        In the order of the record.  When sent True, those that are complete.

    Raises
    ------
    DatasetError
        If a file cannot be fetched or is not what the record says, or the disk is full.
    """
    complete: list[Path] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        check_space(folder, record.size - _present(record, folder))
        before = 0
        for file in record.files:
            path = folder / file.name
            if not (path.exists() and _is(file, path)):
                stopped = yield from _file_steps(file, path, before, record.size)
                if stopped:
                    return complete
            before += file.size
            complete.append(path)
            yield Progress(before // 10**6, record.size // 10**6, "MB", f"{file.name} is there")
    except OSError as error:
        raise DatasetError(
            f"{folder} cannot be written to ({error.strerror or error}): what was downloaded is kept"
        ) from error
    return complete


def _file_steps(file: RecordFile, path: Path, before: int, total: int) -> Steps[bool]:
    """Download one file, in as many attempts as it takes; returns whether a stop was asked for."""
    import requests

    part = path.with_name(path.name + ".part")
    part.touch()
    for attempt in range(1, ATTEMPTS + 1):
        have, reason = _size(part), "the connection broke off"
        try:
            if (yield from _piece_steps(file, part, before, total)):
                return True
        except requests.exceptions.RequestException as error:
            reason = _reason(error)
            if isinstance(error, requests.exceptions.HTTPError) and error.response.status_code in (
                403,
                404,
                410,
            ):
                break
        if _size(part) >= file.size:
            break
        if attempt < ATTEMPTS:
            notice = f"{file.name}: {reason}; trying again"
            yield Progress((before + _size(part)) // 10**6, total // 10**6, "MB", file.name, notice)
            time.sleep(0.0 if _size(part) > have else PAUSE_SECONDS * attempt)
    if _size(part) < file.size:
        raise DatasetError(
            f"{file.name} could not be fetched: {reason} after {_size(part)} of {file.size} bytes; "
            "the same command goes on from there"
        )
    if not _is(file, part):
        part.unlink()
        raise DatasetError(
            f"{file.name} does not have the checksum that the record states ({file.checksum}): it was removed, "
            "so that the same command fetches it anew"
        )
    part.replace(path)
    return False


def _piece_steps(file: RecordFile, part: Path, before: int, total: int) -> Steps[bool]:
    """Append what one connection gives to the part that is there; returns whether a stop was asked for."""
    import requests

    if (have := _size(part)) > file.size:
        part.write_bytes(b"")
        have = 0
    if have == file.size:
        return False
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with requests.get(file.url, headers=headers, stream=True, timeout=PATIENCE_SECONDS) as response:
        response.raise_for_status()
        if urlsplit(response.url).scheme != urlsplit(file.url).scheme:
            raise DatasetError(
                f"{file.name}: {file.url} leads to {response.url[:200]!a}, which is not opened"
            )
        if have and not _goes_on(response, have):
            part.write_bytes(b"")
            have = 0
        with part.open("ab") as target:
            for chunk in response.iter_content(_CHUNK_BYTES):
                have += len(chunk)
                if have > file.size:
                    raise requests.exceptions.ContentDecodingError(
                        "the server sends more than the record says"
                    )
                target.write(chunk)
                if (yield Progress((before + have) // 10**6, total // 10**6, "MB", file.name)):
                    return True
    return False


def _goes_on(response: requests.Response, have: int) -> bool:
    """Tell whether a server sends the rest and not the whole file again."""
    begins = str(response.headers.get("Content-Range", ""))
    return bool(response.status_code == 206) and begins.startswith(f"bytes {have}-")


def _file(entry: dict[str, Any], checksums: dict[str, str], url_of: Any, base_url: str) -> RecordFile:
    name = entry["key"] if "key" in entry else entry["filename"]
    size = entry["size"] if "size" in entry else entry["filesize"]
    checksum, url = checksums[name], url_of(name)
    if safe_name(name) is None or "/" in name:
        raise DatasetError(f"the record names a file {name[:100]!a}, which is no name of a file")
    if not isinstance(size, int) or size < 0 or not _CHECKSUM.match(checksum):
        raise DatasetError(f"the record states no size or no known checksum of {name!a}")
    _check_origin(url, base_url)
    return RecordFile(name, size, checksum, url)


def _check_origin(url: str, base_url: str) -> None:
    """Refuse to be led to another host, or from https to http."""
    given, wanted = urlsplit(url), urlsplit(base_url)
    hosts = str(given.hostname), str(wanted.hostname)
    if given.scheme != wanted.scheme or not (hosts[0] == hosts[1] or hosts[0].endswith("." + hosts[1])):
        raise DatasetError(f"{wanted.hostname} leads to {url[:200]!a}, which is not opened")


def _is(file: RecordFile, path: Path) -> bool:
    import pooch

    kind, _, digest = file.checksum.partition(":")
    return path.stat().st_size == file.size and bool(pooch.file_hash(str(path), alg=kind) == digest)


def _present(record: Record, folder: Path) -> int:
    names = [(folder / file.name, folder / f"{file.name}.part") for file in record.files]
    return sum(_size(whole) or _size(part) for whole, part in names)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _unreachable(doi: str, base_url: str, error: Exception) -> str:
    return (
        f"{base_url} cannot be reached ({_reason(error)}): fetch the files of https://doi.org/{doi} with a "
        "browser where that works and name their folder with --downloaded"
    )


def _reason(error: Exception) -> str:
    """Say in a few words what went wrong with a connection."""
    import requests

    if isinstance(error, requests.exceptions.HTTPError) and error.response is not None:
        return f"it answers {error.response.status_code}"
    if isinstance(error, requests.exceptions.Timeout):
        return "no answer in time"
    if isinstance(error, requests.exceptions.SSLError):
        return "its certificate is not trusted"
    if isinstance(error, requests.exceptions.ConnectionError):
        return "no connection, or it broke off"
    return (str(error).splitlines() or [type(error).__name__])[0][:150]
