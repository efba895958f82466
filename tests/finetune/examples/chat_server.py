"""A small language model's server: real HTTP in the shape of chat completions, with made-up questions."""

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Reply = tuple[int, bytes, dict[str, str]]


class ChatServer:
    """What was asked, and what is answered; `faults` are given first, one for each request."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.key = ""
        self.faults: list[Reply] = []
        self.requests: list[dict[str, Any]] = []
        self.write: Callable[[str], str] = lambda passage: f"1. What is told about {' '.join(passage.split()[-3:])}?"
        self._lock = threading.Lock()

    def answer(self, path: str, authorization: str, body: bytes) -> Reply:
        """Answer one request."""
        with self._lock:
            if self.faults:
                return self.faults.pop(0)
        if self.key and authorization != f"Bearer {self.key}":
            return 401, f"Incorrect API key provided: {authorization}".encode(), {}
        if path != "/v1/chat/completions":
            return 404, b"not found", {}
        request = json.loads(body)
        with self._lock:
            self.requests.append(request)
        content = self.write(request["messages"][-1]["content"])
        return 200, json.dumps({"choices": [{"message": {"role": "assistant", "content": content}}]}).encode(), {}


@contextmanager
def chat_server(tls: ssl.SSLContext | None = None) -> Iterator[ChatServer]:
    """Serve on a free port of this machine, with TLS when there is a context for it."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status, data, headers = chat.answer(self.path, self.headers.get("Authorization", ""), body)
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(data))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            """Stay silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    chat = ChatServer(f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}/v1")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield chat
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
