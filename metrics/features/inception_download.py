"""Fetches the Inception graph of 2015 once, on request, and checks its hash."""

import http.client
import logging
import os
import shutil
import tarfile
import tempfile
import urllib.error
import urllib.request
import zlib
from pathlib import Path

from metrics.features import feature_network

URL = "http://download.tensorflow.org/models/image/imagenet/inception-2015-12-05.tgz"
GRAPH = "classify_image_graph_def.pb"
SHA256 = "009d6814d1bc560d4e7b236e170e9b2d5ca6f4b57bd8037f6db05776204415c6"
"""Of the graph. It is sourced for the copy of openai/guided-diffusion, see `fetched_graph`."""
FOLDER = Path(__file__).resolve().parents[2] / "datasets" / ".cache" / "inception"
ADVICE = (
    f"Fetch {URL} yourself, unpack {GRAPH} and give its path: features=inception_2015 "
    "feature_weights=FILE."
)
SECONDS_WITHOUT_DATA = 60
PART = 2**20
MAX_BYTES = 2**28
"""Of archive and graph, which have 89 and 96 MB: neither a server nor an archive fills the disk."""


def fetched_graph(folder=None, *, url=URL, sha256=SHA256) -> Path:
    """Path of the graph in a folder, downloaded if it is not there yet.

    The archive is fetched over plain HTTP, as it is published, so what counts is the hash of the
    graph in it. Only this one member is unpacked. The graph gets its name when it is complete and
    checked: an interrupted download leaves nothing that could be taken for it.

    Args:
        folder: where to keep it. Default `FOLDER`, in this checkout.
        url: of a .tgz archive with a member named `GRAPH`.
        sha256: of the graph, in hexadecimal.

    Returns: `Path`.

    Raises:
        ConnectionError: the archive cannot be fetched, or not all of it. ValueError: it has no
            such member, or the graph, fetched or found in the folder, has another hash.

    Source of the hash: Dramwig/CoFiTok-internal
        docs/experiment_conditions/adm_evaluator_asset_2026-07-11.md (SHA-256 and 95,673,916 bytes
        of the copy that openai/guided-diffusion evaluations/evaluator.py fetches; two other
        repositories record the same). No hash of the archive itself was found. That the archive
        holds the same bytes is concluded from the size of its member, 95,673,916 bytes too.
    """
    folder = FOLDER if folder is None else Path(folder)
    graph = folder / GRAPH
    if graph.is_file():
        _check(graph, sha256, f"in the file {str(graph)!r}; delete it to fetch anew")
        return graph
    folder.mkdir(parents=True, exist_ok=True)
    logging.getLogger(__name__).info("Fetching %s, once, to %s", url, folder)
    # In the same folder, so that the last step is a rename; its own, so that two runs may start.
    with tempfile.TemporaryDirectory(prefix=".partial_", dir=folder) as partial:
        archive, unpacked = Path(partial, "archive.tgz"), Path(partial, GRAPH)
        _download(url, archive)
        _unpack(archive, unpacked, url)
        _check(unpacked, sha256, f"in the archive from {url}")
        os.replace(unpacked, graph)
    return graph


def _download(url, path) -> None:
    received, announced = 0, None
    try:
        with urllib.request.urlopen(url, timeout=SECONDS_WITHOUT_DATA) as answer:
            announced = answer.headers.get("Content-Length")
            with path.open("wb") as file:
                while part := answer.read(PART):
                    received += file.write(part)
                    if received > MAX_BYTES:
                        raise OSError(f"more than {MAX_BYTES:,} bytes")
    except (OSError, http.client.HTTPException) as error:
        if isinstance(error, urllib.error.HTTPError):
            error.close()
        raise ConnectionError(
            f"Expected the archive at {url}. Received: {error or type(error).__name__}, after "
            f"{received} bytes. {ADVICE}"
        ) from error
    if announced is not None and received != int(announced):
        raise ConnectionError(
            f"Expected {announced} bytes from {url}. Received: {received}, then the connection "
            f"ended. Try again. Or: {ADVICE}"
        )


def _unpack(archive, path, url) -> None:
    """Writes the graph of an archive to a path."""
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar:
                # The name in the archive is compared only, never written to.
                is_graph = member.isfile() and member.name.removeprefix("./") == GRAPH
                if is_graph and (content := tar.extractfile(member)) is not None:
                    if member.size > MAX_BYTES:
                        raise OSError(f"{GRAPH} has {member.size:,} bytes")
                    with path.open("wb") as file:
                        shutil.copyfileobj(content, file)
                    return
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise ValueError(
            f"Expected a .tgz archive with {GRAPH}. Received: {archive.stat().st_size} bytes from "
            f"{url} that cannot be unpacked: {error}. {ADVICE}"
        ) from error
    raise ValueError(
        f"Expected a .tgz archive with {GRAPH}. Received: one without it, from {url}. {ADVICE}"
    )


def _check(path, expected, where) -> None:
    digest = feature_network.weights_hash(path)
    if digest != expected:
        raise ValueError(
            f"Expected {GRAPH} with SHA-256 {expected}. Received: {digest} {where}. It is not the "
            f"graph that published numbers are of, or not whole. {ADVICE}"
        )
