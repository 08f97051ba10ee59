"""Fetching the Inception graph: from a server on this machine, with a small graph in its place."""

import contextlib
import hashlib
import http.server
import io
import socket
import tarfile
import threading

import pytest

from metrics.features import inception, inception_download
from tests.helpers import inception_graph, tiny

CONTENT = b"a graph" * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def archive(content=CONTENT, name=inception_download.GRAPH):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as tar:
        for member, text in {"LICENSE": b"free", name: content}.items():
            info = tarfile.TarInfo(member)
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text))
    return file.getvalue()


class Server(http.server.ThreadingHTTPServer):
    """Answers every request with `body`, announces `length` bytes, and counts."""

    status, body, length, requests = 200, b"", None, 0

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/inception.tgz"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.requests += 1
        body, length = self.server.body, self.server.length
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Server(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        running.body = archive()
        yield running
        running.shutdown()
        thread.join()


@pytest.mark.parametrize("prefix", ["", "./"])
def test_it_is_fetched_once_and_only_the_graph_is_kept(server, tmp_path, prefix):
    server.body, folder = archive(name=prefix + inception_download.GRAPH), tmp_path / "a" / "b"
    for _ in range(2):
        path = inception_download.fetched_graph(folder, url=server.url, sha256=SHA256)
        assert path == folder / "classify_image_graph_def.pb" and path.read_bytes() == CONTENT
    assert server.requests == 1 and list(folder.iterdir()) == [path]


def test_a_network_from_a_fetched_graph(server, tmp_path, monkeypatch):
    content = inception_graph.graph_def().SerializeToString()
    server.body = archive(content)
    fetch = inception_download.fetched_graph
    monkeypatch.setattr(
        inception_download,
        "fetched_graph",
        lambda folder: fetch(folder, url=server.url, sha256=hashlib.sha256(content).hexdigest()),
    )
    network = inception.Inception2015(download=True, folder=tmp_path)
    assert network.graph_path == str(tmp_path / inception_download.GRAPH)
    assert network.weights_hash == hashlib.sha256(content).hexdigest()
    again = inception.Inception2015(network.graph_path, download=True, folder=tmp_path / "other")
    assert again.weights_hash == network.weights_hash and server.requests == 1
    assert not (tmp_path / "other").exists()


def test_nothing_is_where_it_was_not_asked_for(tmp_path, monkeypatch):
    """By default the folder is in this checkout, and the hash is that of the real graph."""
    assert inception_download.FOLDER == tiny.ROOT / "datasets" / ".cache" / "inception"
    monkeypatch.setattr(inception_download, "FOLDER", tmp_path)
    (tmp_path / inception_download.GRAPH).write_bytes(CONTENT)
    with pytest.raises(ValueError, match=f"009d6814d1bc.*Received: {SHA256} in the file '"):
        inception.Inception2015(download=True)


@contextlib.contextmanager
def refused(error, message, folder):
    with pytest.raises(error, match=message) as caught:
        yield
    assert "features=inception_2015 feature_weights=FILE" in str(caught.value)
    assert list(folder.iterdir()) == []  # nothing that could be taken for the graph


def test_another_graph_is_refused(server, tmp_path):
    with refused(ValueError, f"SHA-256 abc. Received: {SHA256} in the archive from http", tmp_path):
        inception_download.fetched_graph(tmp_path, url=server.url, sha256="abc")


def test_a_changed_file_in_the_folder_is_refused(server, tmp_path):
    (tmp_path / inception_download.GRAPH).write_bytes(CONTENT[1:])
    with pytest.raises(ValueError, match=f"with SHA-256 {SHA256}.*delete it to fetch anew"):
        inception_download.fetched_graph(tmp_path, url=server.url, sha256=SHA256)
    assert server.requests == 0


def test_an_error_of_the_server_is_named(server, tmp_path):
    server.status = 404
    with refused(ConnectionError, "127.0.0.1.*Received: HTTP Error 404: Not Found", tmp_path):
        inception_download.fetched_graph(tmp_path, url=server.url, sha256=SHA256)


def test_no_server(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with refused(ConnectionError, f"at http://127.0.0.1:{port}/x. Received: .*refused", tmp_path):
        inception_download.fetched_graph(tmp_path, url=f"http://127.0.0.1:{port}/x")


def test_a_connection_that_ends_too_early(server, tmp_path):
    server.length = len(server.body) + 10
    with refused(ConnectionError, f"{len(server.body)}.*Try again|IncompleteRead", tmp_path):
        inception_download.fetched_graph(tmp_path, url=server.url, sha256=SHA256)


def test_what_is_no_such_archive_is_refused(server, tmp_path):
    server.body = archive()[:-20]
    with refused(ValueError, "bytes from http://127.* that cannot be unpacked", tmp_path):
        inception_download.fetched_graph(tmp_path, url=server.url, sha256=SHA256)
    server.body = b"<html>moved</html>"
    with refused(ValueError, "Received: 18 bytes from .* cannot be unpacked: ", tmp_path):
        inception_download.fetched_graph(tmp_path, url=server.url, sha256=SHA256)
    for name in ("other.pb", f"../{inception_download.GRAPH}", f"/{inception_download.GRAPH}"):
        server.body = archive(name=name)
        with refused(ValueError, "Received: one without it, from http", tmp_path):
            inception_download.fetched_graph(tmp_path, url=server.url, sha256=SHA256)
