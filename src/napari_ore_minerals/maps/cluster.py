"""Connections to Dask clusters: one of this computer behind TLS, or another one, never unprotected over a network.

Whoever can talk to a Dask scheduler can run programs on its workers, which is why nothing but TLS with
certificates leaves this computer.
"""

from __future__ import annotations

import importlib.util
import ipaddress
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from napari_ore_minerals.errors import JobError, OptionError

if TYPE_CHECKING:
    from distributed import Client, LocalCluster
    from distributed.security import Security

LOCAL = "local"
LOOPBACK = "127.0.0.1"
CONNECT_SECONDS = 30
_MAX_SCHEDULER_FILE_BYTES = 4 << 20
_QUIET = {  # no pages over HTTP beside the connections that are protected
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
    "distributed.deploy.lost-worker-timeout": "300 s",  # to start again takes long where much else is running
    "distributed.scheduler.worker-saturation": 1.0,  # a worker that dies takes no waiting task with it
}


@contextmanager
def connected(scheduler: str = LOCAL, *, workers: int = 1) -> Iterator[Client]:
    """Connect to a cluster, and leave it at the end.

    Parameters
    ----------
    scheduler
        ``"local"`` starts one on this computer, on loopback with TLS and certificates that only it has, and
        ends it afterwards; ``tls://host:port`` is one that runs, with the certificates that Dask's
        configuration names; a ``.json`` file is what ``dask scheduler --scheduler-file`` wrote.
    workers
        Processes of a local cluster.

    Yields
    ------
    distributed.Client

    Raises
    ------
    OptionError
        If the extra is not installed, the address is not protected, or there are no certificates for it.
    JobError
        If no scheduler answers.
    """
    if importlib.util.find_spec("distributed") is None:
        raise OptionError(
            "clusters need Dask: install it with pip install 'napari-ore-minerals[distributed]', "
            "or classify without --scheduler"
        )
    from distributed import Client

    if scheduler == LOCAL:
        with local_cluster(workers) as cluster, Client(cluster) as client:
            yield client
        return
    address = _address(scheduler)
    check_address(address)
    security = _certificates() if address.startswith("tls://") else None
    try:
        client = Client(address, security=security, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:
        raise JobError(
            f"no scheduler answers at {address} ({str(error)[:200] or type(error).__name__}): is it running, "
            "and are its certificates those of Dask's configuration here?"
        ) from error
    with client:
        yield client


@contextmanager
def local_cluster(workers: int) -> Iterator[LocalCluster]:
    """Start a cluster of processes of this computer, on loopback with TLS; workers that die are started again."""
    import dask
    from distributed import LocalCluster
    from distributed.security import Security

    with (
        dask.config.set(_QUIET),
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            host=LOOPBACK,
            protocol="tls",
            security=Security.temporary(),
            dashboard_address=f"{LOOPBACK}:0",
            scheduler_kwargs={"dashboard": False},
            silence_logs=logging.CRITICAL,
        ) as cluster,
    ):
        yield cluster


def restore_workers(client: Client, alive: int) -> None:
    """Start workers of this computer's own cluster anew where fewer are alive than it should have.

    A worker that is killed is started again by its nanny; one that leaves by itself takes its nanny along, and
    Dask alone would leave the cluster without it.  What is being started again is not started twice.
    """
    from distributed import LocalCluster

    cluster = client.cluster
    if isinstance(cluster, LocalCluster) and alive < len(cluster.worker_spec):
        cluster.loop.add_callback(_restore, cluster)


def _restore(cluster: LocalCluster) -> None:
    from distributed.core import Status

    for name, nanny in list(cluster.workers.items()):
        if nanny.status in (Status.closed, Status.failed):
            del cluster.workers[name]
    cluster.scale(len(cluster.worker_spec))


def check_address(address: str) -> None:
    """Refuse an address whose connection would be readable and open to others.

    Parameters
    ----------
    address
        Of a scheduler or worker, as Dask writes it; one without a protocol is ``tcp://``.

    Raises
    ------
    OptionError
        Unless it is ``tls://``, or on this computer.
    """
    from distributed.comm.addressing import parse_address, parse_host_port

    try:
        protocol, place = parse_address(address)
        host = parse_host_port(place)[0] if protocol in ("tcp", "tls") else ""
    except ValueError as error:
        raise OptionError(f"{address} is no address of a scheduler: give tls://host:port") from error
    if protocol in ("tls", "inproc") or (protocol == "tcp" and _is_loopback(host)):
        return
    raise OptionError(
        f"{address} is refused: over {protocol}:// to another machine everybody on the way could read along and "
        "run programs on the workers; start the scheduler with TLS and give tls://host:port"
    )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _address(scheduler: str) -> str:
    """Return the address that was given, or that is in the scheduler file that was."""
    if not scheduler.endswith(".json"):
        return scheduler
    try:
        with Path(scheduler).open("rb") as file:
            found = json.loads(file.read(_MAX_SCHEDULER_FILE_BYTES))
        address = found["address"]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise OptionError(f"{scheduler} is no scheduler file with an address: {error}") from error
    return str(address)


def _certificates() -> Security:
    """Return the certificates that Dask's configuration names."""
    from distributed.security import Security

    security = Security()
    if not (security.tls_ca_file and security.tls_client_cert and security.tls_client_key):
        raise OptionError(
            "there are no certificates for tls://: name them in Dask's configuration (distributed.comm.tls.ca-file, "
            "client.cert and client.key), as those of the scheduler"
        )
    return security
