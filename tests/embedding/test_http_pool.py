"""Short requests over kept connections: what servers answer, and how they fail."""

import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import trustme

from ragline.embedding.http_pool import HttpPool
from ragline.errors import ServiceError, SettingError

Answers = Callable[[int, int], bytes | None]
"""Number of the connection and of the request on it -> what is sent; None closes the connection."""


class Server:
    """Answers requests without a body in bytes that a test chooses."""

    def __init__(self, answers: Answers, tls: ssl.SSLContext | None) -> None:
        self._answers, self._tls = answers, tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.requests: list[bytes] = []
        self.connections = 0
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Accept no more connections."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.connections += 1
                threading.Thread(target=self._serve, args=(connection, self.connections), daemon=True).start()

    def _serve(self, plain: socket.socket, number: int) -> None:
        with (
            suppress(OSError),
            plain,
            self._tls.wrap_socket(plain, server_side=True) if self._tls else plain as connection,
        ):
            for turn in range(1, 100):
                request = b""
                while b"\r\n\r\n" not in request:
                    if not (more := connection.recv(65536)):
                        return
                    request += more
                self.requests.append(request)
                answer = self._answers(number, turn) or b""
                for part in (answer[:10], answer[10:20], answer[20:]):
                    connection.sendall(part)
                if not re.search(b"length|chunked", answer, re.IGNORECASE):
                    return


@contextmanager
def serving(answers: Answers | bytes, tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    """Run a server that gives the same answer always, or what a function says."""
    server = Server((lambda *_: answers) if isinstance(answers, bytes) else answers, tls)
    yield server
    server.close()


def pool_of(server: Server, scheme: str = "http", ca_bundle: Path | None = None) -> HttpPool:
    """Return a pool of a server."""
    return HttpPool("embedder", f"{scheme}://127.0.0.1:{server.port}/base", ca_bundle=ca_bundle)


WHOLE = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Kind: a: b\r\n\r\nhello"

FORMS = {
    "length": (WHOLE, 1),
    "chunks": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nhe\r\n3\r\nllo\r\n0\r\nTrailer: 1\r\n\r\n",
        1,
    ),
    "closing": (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello", 2),
    "old": (b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", 2),
    "until the end": (b"HTTP/1.1 200 OK\r\n\r\nhello", 2),
    "no reason": (b"HTTP/1.1 200\r\ncontent-length:5\r\n\r\nhello", 1),
}


@pytest.mark.parametrize("form", FORMS)
def test_answers_are_read_in_every_form(form: str) -> None:
    """And the connection is used again where the server allows it."""
    answer, connections = FORMS[form]
    with serving(answer) as server:
        pool = pool_of(server)
        replies = [pool.request("POST", "/x", b"", {"authorization": "Bearer a"}) for _ in range(2)]
        assert [(reply.status, reply.body) for reply in replies] == [(200, b"hello")] * 2
        assert server.connections == connections
        head = server.requests[0].decode().split("\r\n")
        assert head[0] == "POST /base/x HTTP/1.1"
        assert {f"Host: 127.0.0.1:{server.port}", "Content-Length: 0", "authorization: Bearer a"} <= set(head)
        pool.close()


def test_a_connection_that_was_closed_meanwhile_is_replaced() -> None:
    """Once: the server was started anew, or has no patience."""
    with serving(lambda number, turn: WHOLE if turn == 1 or number > 1 else None) as server:
        pool = pool_of(server)
        assert [pool.request("GET", "/x").status for _ in range(3)] == [200] * 3
        assert server.connections == 2
        pool.close()


def test_a_server_that_closes_without_an_answer_is_said() -> None:
    """It is not asked again and again."""
    with serving(lambda *_: None) as server:
        with pytest.raises(
            ServiceError, match=r"embedder at http://.* cannot be reached: .*; is the server up"
        ) as caught:
            pool_of(server).request("GET", "/x")
        assert caught.value.status == 503
        assert server.connections == 1


@pytest.mark.parametrize("answer", [b"SSH-2.0-OpenSSH_9\r\n\r\n", b"HTTP/1.1 fine\r\n\r\n", b"\r\n\r\n", b"x" * 70_000])
def test_what_is_not_http_is_said(answer: bytes) -> None:
    """502: the URL is that of something else."""
    with serving(answer) as server, pytest.raises(ServiceError, match="does not speak HTTP") as caught:
        pool_of(server).request("GET", "/x")
    assert caught.value.status == 502


def test_a_slow_server_is_not_waited_for() -> None:
    """504 after the time that was allowed."""

    def answers(*_: int) -> bytes:
        time.sleep(1)
        return WHOLE

    with serving(answers) as server:
        begun = time.monotonic()
        with pytest.raises(ServiceError, match=r"did not answer within 0\.2 s") as caught:
            pool_of(server).request("GET", "/x", seconds=0.2)
        assert caught.value.status == 504
        assert time.monotonic() - begun < 0.8


@pytest.mark.parametrize("value", ["a\r\nX-Other: b", "a\nb", "\u20ac"])
def test_a_header_cannot_bring_another(value: str) -> None:
    """400, and nothing is sent."""
    with serving(WHOLE) as server:
        with pytest.raises(ServiceError, match="the value of a header holds") as caught:
            pool_of(server).request("GET", "/x", headers={"authorization": value})
        assert (caught.value.status, server.requests) == (400, [])


def test_a_certificate_is_verified(tmp_path: Path) -> None:
    """One that is not trusted is refused; with its authority's file it is taken."""
    authority = trustme.CA()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    bundle = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(bundle))
    with serving(WHOLE, tls) as server:
        with pytest.raises(ServiceError, match=r"its certificate is not trusted .* set RAGLINE_CA_BUNDLE"):
            pool_of(server, "https").request("GET", "/x")
        pool = pool_of(server, "https", bundle)
        assert [pool.request("GET", "/x").body for _ in range(2)] == [b"hello"] * 2
        pool.close()
    with pytest.raises(SettingError, match="expected a PEM file"):
        HttpPool("embedder", "https://127.0.0.1", ca_bundle=tmp_path / "nothing.pem")


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://localhost", "http://", "http://localhost:port", ""])
def test_a_url_is_checked(url: str) -> None:
    """When the service starts, not with the first question."""
    with pytest.raises(SettingError, match="expected http://HOST:PORT or https://HOST:PORT"):
        HttpPool("embedder", url)
