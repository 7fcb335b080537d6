"""Points on a Dask cluster: one that runs already, or one that is started here for them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from importlib import import_module
from types import ModuleType

from fromage_edu.experiments import store
from fromage_edu.experiments.workers import Failure, attempt

__all__ = ["on_dask"]

#: Seconds to wait for an answer of a cluster, and for its first worker.
PATIENCE = 30


def on_dask(
    experiment: ModuleType, points: Sequence, scheduler: str, workers: int = 0, threads: int = 1
) -> Iterator[tuple[int, dict | Failure]]:
    """Yield the points' results as a cluster finishes them.

    A worker that is lost gives its points to others, as Dask does it; a point that takes several down fails.
    Workers need this package, in the same version. Start them with one thread each
    (`dask worker tcp://… --nthreads 1`): points in one process take turns.

    Args:
        experiment: a module that workers can import by its name.
        points: of it.
        scheduler: the address of a running cluster, or "local" for one of processes here.
        workers: how many processes a local one has.
        threads: of torch, for each point.

    Raises:
        ConnectionError: if the cluster cannot be reached, or is gone before the last point is finished.
        ImportError: without Dask, with the command that installs it.
        RuntimeError: if its workers have other code or another torch than this process.
    """
    try:
        from dask.distributed import Client, LocalCluster, as_completed
    except ImportError as error:
        raise ImportError("a cluster needs Dask: pip install 'fromage-edu[dask]'") from error
    with ExitStack() as stack:
        address = scheduler
        if scheduler == "local":
            address = stack.enter_context(
                LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None)
            )
        try:
            client = stack.enter_context(Client(address, timeout=PATIENCE, set_as_default=False))
            client.wait_for_workers(1, timeout=PATIENCE)
        except (OSError, ValueError) as error:  # TimeoutError is an OSError.
            raise ConnectionError(
                f"no cluster with a worker answers at {scheduler} within {PATIENCE} s ({error}): start one "
                "with `dask scheduler` and `dask worker ADDRESS --nthreads 1`, or leave the scheduler out"
            ) from error
        about = experiment.__name__, threads, store.code_version()
        futures = {
            # Not pure: Dask would else look for a result of an earlier sweep.
            client.submit(_there, point, *about, pure=False, priority=-index): index
            for index, point in enumerate(points)
        }
        for future in as_completed(list(futures), loop=client.loop):
            yield futures[future], _result(future, scheduler)
            future.release()


def _there(point, name: str, threads: int, code: str) -> dict | Failure:
    """What a worker of the cluster does with a point."""
    if store.code_version() != code:
        raise RuntimeError(
            f"a worker has the code {store.code_version()} and this process {code}: install the same "
            "fromage_edu and torch on both"
        )
    return attempt(import_module(name), point, threads)


def _result(future, scheduler) -> dict | Failure:
    from dask.distributed import CancelledError, KilledWorker

    try:
        return future.result()
    except KilledWorker as error:
        return Failure(f"WorkerLost: {error}".partition("\n")[0], "")
    except CancelledError as error:
        raise ConnectionError(
            f"the cluster at {scheduler} is gone: finished points are kept; start the same command again"
        ) from error
