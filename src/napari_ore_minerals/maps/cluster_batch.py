"""Many pictures on a Dask cluster: the same tasks as in one process, and the same bytes."""

from __future__ import annotations

import contextlib
import re
import shutil
import uuid
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_ore_minerals.errors import JobError, OreMineralsError
from napari_ore_minerals.maps.areas import areas
from napari_ore_minerals.maps.batch import AS_TOLD, Outcome, Reading, result_folders
from napari_ore_minerals.maps.cluster import check_address, restore_workers
from napari_ore_minerals.maps.files import read_result
from napari_ore_minerals.maps.picture_tasks import (
    PictureTask,
    TaskAnswer,
    card_hash,
    perform,
    software,
)
from napari_ore_minerals.maps.records import ClassifyOptions
from napari_ore_minerals.models.card import read_card
from napari_ore_minerals.models.durable import beginning
from napari_ore_minerals.progress import Progress, Steps

if TYPE_CHECKING:
    from distributed import Client, Future

_POLL_SECONDS = 0.5
_ANSWER_SECONDS = 2.0  # a few lines of text; the worker that has them may be gone
_LEFT_OVER = re.compile(r"\.(.{1,80})-(?:older-)?[0-9a-f]{32}", re.DOTALL)  # `models.durable`


@dataclass(frozen=True)
class Batch:
    """Pictures to classify with one model; the same as `maps.batch.batch_steps` takes.

    Attributes
    ----------
    pictures : sequence of Path
    model : Path
        Model folder, in the same place on all machines, as the pictures and results are.
    options : ClassifyOptions
    out : Path or None
    reading : Reading
    overwrite : bool
    """

    pictures: Sequence[Path]
    model: Path
    options: ClassifyOptions
    out: Path | None = None
    reading: Reading = AS_TOLD
    overwrite: bool = False


def cluster_steps(batch: Batch, client: Client) -> Steps[list[Outcome]]:
    """Classify pictures on a cluster; one that cannot be read, written or survived does not stop the others.

    A worker gets one picture after another, by path and hash, and writes its result folder. What a worker that
    dies was doing is given to another one; a picture that several workers died with is given up (Dask's
    ``distributed.scheduler.allowed-failures``, 3). Outcomes come in the order of the pictures.

    Parameters
    ----------
    batch
        What to do.
    client
        Connected to the cluster, by `maps.cluster.connected` or by the caller.

    Yields
    ------
    Progress
        In pictures; ``update`` is an `Outcome` or None.

    Returns
    -------
    list of Outcome
        In the order of the pictures, their maps left out; when sent True, of those that are finished.

    Raises
    ------
    OptionError
        If two pictures would have the same result folder, or the cluster's connections are not protected.
    ModelError
        If the model folder is none.
    JobError
        If the scheduler is lost.
    """
    check_address(client.scheduler.address)
    run = _Run(batch, client)
    outcomes: list[Outcome] = []
    stop: bool | None = False
    try:
        while not stop and len(outcomes) < len(batch.pictures):
            notice = run.look_around()
            run.submit()
            run.wait()
            stop = yield Progress(run.done, len(batch.pictures), "pictures", "classifying", notice)
            for outcome in run.in_order(skipping=bool(stop)):
                outcomes.append(replace(outcome, map=None))
                at = Progress(run.done, len(batch.pictures), "pictures", outcome.picture.name, update=outcome)
                stop = (yield at) or stop
    finally:
        run.leave()
    if not stop:
        _sweep(outcome.folder for outcome in outcomes if not outcome.problem)
    return outcomes


class _Run:
    """What `cluster_steps` knows: which pictures are with the cluster, and what came back."""

    def __init__(self, batch: Batch, client: Client) -> None:
        self._batch, self._client = batch, client
        self._folders = result_folders(batch.pictures, batch.out)
        self._card_sha256, self._software = card_hash(read_card(batch.model)), software()
        self._name = f"classify-{uuid.uuid4().hex[:12]}"
        self._next, self._told = 0, 0  # of the pictures: to be submitted, to be told
        self._running: dict[Future, int] = {}
        self._known: dict[int, Outcome] = {}
        self._there: dict[int, tuple[bool, tuple[str, ...]]] = {}  # whether a result was there; guesses
        self._workers: dict[str, int] = {}
        self._alone = False

    @property
    def done(self) -> int:
        """Pictures that are finished, whether told or not."""
        return self._told + len(self._known)

    def look_around(self) -> str:
        """See which workers there are; returns what is to be told of them."""
        address = self._client.scheduler.address
        try:
            now: dict[str, int] = dict(self._client.nthreads())
        except (OSError, TimeoutError, CancelledError) as error:
            raise self._lost(address) from error
        for worker in now.keys() - self._workers.keys():
            check_address(worker)
        restore_workers(self._client, len(now))
        gone, self._workers = len(self._workers.keys() - now.keys()), now
        alone, self._alone = self._alone, not now
        if gone:
            return f"{gone} worker{'s' * (gone > 1)} ended: what was not finished is given to another one"
        return f"no worker is connected to {address}: waiting for one" if self._alone and not alone else ""

    def submit(self) -> None:
        """Give the cluster a picture if a worker is free, and no more: who waits beside a worker dies with it."""
        room = max(1, sum(self._workers.values())) - len(self._running)
        while room > 0 and self._next < len(self._batch.pictures):
            number, self._next = self._next, self._next + 1
            task = self._task(number)
            if task is None:  # told at once, or a folder of bad files would be silent for long
                return
            key = f"{self._name}-{number}"
            self._running[self._client.submit(perform, task.model_dump_json(), key=key, pure=False)] = number
            room -= 1

    def wait(self) -> None:
        """Wait a moment for the next picture to be finished."""
        from distributed import wait

        if not self._running:
            return
        with (
            self._client.as_current(),  # which need not be the default one
            contextlib.suppress(TimeoutError, CancelledError),  # each future is looked at below
        ):
            wait(list(self._running), timeout=_POLL_SECONDS, return_when="FIRST_COMPLETED")
        for future in [one for one in self._running if one.done()]:
            if future.status == "cancelled":
                raise self._lost(self._client.scheduler.address)
            answer = _answer(future)
            if answer is not None:
                number = self._running.pop(future)
                self._known[number] = self._outcome(number, answer)

    def in_order(self, *, skipping: bool = False) -> Iterator[Outcome]:
        """Return what is to be told now, with its map: in the order of the pictures, or all that is known."""
        while self._known and (skipping or self._told in self._known):
            outcome = self._known.pop(min(self._known))
            self._told += 1
            yield self._with_map(outcome)

    def leave(self) -> None:
        """Take back what is not finished."""
        if self._running and self._client.status == "running":
            self._client.cancel(list(self._running), force=True)
        self._running.clear()

    def _task(self, number: int) -> PictureTask | None:
        """Describe a picture; None if it cannot be opened, whose sentence is known then."""
        batch, path, folder = self._batch, self._batch.pictures[number], self._folders[number]
        try:
            picture = batch.reading.open(path)
            self._there[number] = folder.exists(), tuple(map(str, picture.guesses))
            return PictureTask(
                picture=path.absolute(),
                fingerprint=picture.fingerprint(),
                model=batch.model.absolute(),
                card_sha256=self._card_sha256,
                options=batch.options,
                out=None if batch.out is None else batch.out.absolute(),
                reading=batch.reading,
                overwrite=batch.overwrite,
                software=self._software,
            )
        except (OreMineralsError, OSError, MemoryError) as error:
            self._known[number] = Outcome(path, folder, problem=str(error) or type(error).__name__)
            return None

    def _outcome(self, number: int, answer: TaskAnswer) -> Outcome:
        was_there, guesses = self._there.pop(number)
        return Outcome(
            self._batch.pictures[number],
            self._folders[number],
            done_before=answer.done_before and was_there,
            problem=answer.problem,
            guesses=guesses,
        )

    def _with_map(self, outcome: Outcome) -> Outcome:
        if outcome.problem:
            return replace(outcome, guesses=())
        try:
            mineral_map = read_result(outcome.folder)
        except (OreMineralsError, OSError, MemoryError) as error:
            problem = f"a worker made its result, which cannot be read here: {error}"
            return replace(outcome, problem=problem, done_before=False)
        return replace(outcome, map=mineral_map, areas=areas(mineral_map))

    def _lost(self, address: str) -> JobError:
        return JobError(
            f"the scheduler at {address} was lost with {self.done} of {len(self._batch.pictures)} pictures done: "
            "what is done is kept, the same command goes on"
        )


def _answer(future: Future) -> TaskAnswer | None:
    """Return what a worker said, or why none could; None if it died before it was heard, and another one is asked.

    It is not waited for without an end: workers that leave are started anew by who waits here.
    """
    from distributed.scheduler import KilledWorker

    try:
        error: Any = future.exception(timeout=_ANSWER_SECONDS)
        if error is None:
            return TaskAnswer.model_validate_json(future.result(timeout=_ANSWER_SECONDS))
    except (TimeoutError, CancelledError):
        return None
    except KilledWorker as last:
        error = last
    if isinstance(error, KilledWorker):
        died = error.allowed_failures + 1
        return TaskAnswer(
            problem=f"{died} workers died with this picture, one after another: "
            "it may need more memory than a worker has"
        )
    return TaskAnswer(problem=f"{type(error).__name__}: {error}")


def _sweep(folders: Iterable[Path]) -> None:
    """Remove what killed writers left of result folders that are there now; nobody may be writing them."""
    begins: dict[Path, set[str]] = {}
    for folder in folders:
        begins.setdefault(folder.parent, set()).add(beginning(folder.name))
    for parent, names in begins.items():
        for found in parent.glob(".*"):
            left = _LEFT_OVER.fullmatch(found.name)
            if left is not None and left[1] in names:
                shutil.rmtree(found, ignore_errors=True)
