"""Files from the network, kept in a folder: checked, resumed where they broke off, never half there.

A file grows as `NAME.part` and gets its name only when its checksum is the published one. A part that an
interruption left is continued from its end. Processes that want the same file wait for the first of them.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

FOLDER_VARIABLE = "FROMAGE_EDU_DATA"


@dataclass(frozen=True)
class File:
    """A published file: its name, size in bytes, SHA-256, and the addresses of folders that hold it."""

    name: str
    size: int
    sha256: str
    mirrors: tuple[str, ...]


def check_packages(caller: str) -> None:
    """Refuse to go on without the packages that downloads need; nothing else imports them."""
    try:
        import pooch  # noqa: F401
        import tqdm  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"{caller} needs {error.name}, which is not installed: pip install 'fromage-edu[experiments]'"
        ) from error


def cache_folder(folder: str | os.PathLike | None) -> Path:
    """Return `folder`, else the one that FROMAGE_EDU_DATA names, else the user's cache."""
    if folder is None:
        import pooch

        folder = os.environ.get(FOLDER_VARIABLE) or pooch.os_cache("fromage-edu")
    elif not isinstance(folder, str | os.PathLike) or not os.fspath(folder):
        raise TypeError(f"folder is {folder!r}: give a path, or None for the user's cache")
    return Path(folder).expanduser().absolute()


def fetch(file: File, folder: Path) -> Path:
    """Return the path of the whole file, downloaded unless it is there.

    Raises ConnectionError if no address gives the file, OSError if the folder does not take or show it.
    """
    import pooch
    import requests
    from filelock import FileLock  # torch brings it

    path = folder / file.name
    part = folder / f"{file.name}.part"
    faults, cause = [], None
    try:
        if path.is_file() and pooch.file_hash(str(path)) == file.sha256:
            return path  # also from a folder that cannot be written
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / f"{file.name}.lock"):
            options = dict(known_hash=f"sha256:{file.sha256}", fname=file.name, path=folder)
            options["downloader"] = resuming(part, file.size)
            for mirror in file.mirrors:
                url = mirror + file.name
                # What was continued and fails its checksum may have begun wrong: once more, from nothing.
                for _ in range(2 if part.exists() else 1):
                    try:
                        return Path(pooch.retrieve(url, **options))
                    except requests.RequestException as error:
                        faults.append(f"{url}: {in_words(error)}")
                        cause = error
                        break
                    except ValueError as error:
                        faults.append(f"{url}: not the published file (its SHA-256 differs)")
                        cause = error
    except OSError as error:
        raise OSError(
            f"cannot keep {file.name} in {folder} ({error}): choose another folder with folder=... or the "
            f"environment variable {FOLDER_VARIABLE}"
        ) from error
    state = "is damaged, and was not downloaded again" if path.is_file() else "was not downloaded"
    listed = "\n  ".join(dict.fromkeys(faults))
    raise ConnectionError(
        f"{path} {state}:\n  {listed}\nCall again to continue where it broke off, or put the file there "
        "yourself. Without a network: digits(), or mnist_5k() after pip install 'fromage-edu[mnist5k]'."
    ) from cause


def in_words(error: Exception) -> str:
    """Say what went wrong at one address, short enough for a list."""
    response = getattr(error, "response", None)
    if response is not None:
        return f"the server answers {response.status_code}"
    return f"{type(error).__name__}: {error}"


def resuming(part: Path, size: int) -> Callable:
    """Return a downloader for pooch that goes on from the end of `part` as long as that brings some bytes."""
    import requests

    def download(url, target, _):
        while (have := part.stat().st_size if part.exists() else 0) != size:
            if have > size:
                part.unlink()
                continue
            fault = requests.ConnectionError("the connection closed early")
            try:
                request(url, part, have, size)
            except requests.RequestException as error:
                fault = error
            if not part.exists() or not have < part.stat().st_size <= size:
                raise fault
        os.replace(part, target)

    return download


def request(url: str, part: Path, have: int, size: int) -> None:
    """Ask once for what `part` lacks; write what comes, and show progress on a terminal."""
    import requests
    from tqdm import tqdm

    headers = {"Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    with requests.get(url, headers=headers, stream=True, timeout=30) as response:
        response.raise_for_status()
        # A server that cannot continue sends all of it.
        start = have if response.headers.get("Content-Range", "").startswith(f"bytes {have}-") else 0
        length = int(response.headers.get("Content-Length", size - start))
        if length != size - start:
            raise requests.ConnectionError(f"it sends {length:,} bytes instead of {size - start:,}")
        bar = tqdm(total=size, initial=start, unit="B", unit_scale=True, desc=part.stem, disable=None)
        with open(part, "ab") as output, bar:
            if start != have:
                output.truncate(start)
            for chunk in response.iter_content(1 << 16):
                output.write(chunk)
                bar.update(len(chunk))
                if output.tell() > size:
                    raise requests.ConnectionError(f"it sends more than {size:,} bytes")
