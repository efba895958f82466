"""A service that does what a test needs: becomes ready after a while, or never, or ends at once."""

import argparse
import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BEGUN = time.monotonic()


def main() -> int:
    """Serve until killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--delay", type=float, default=0.0)
    parser.add_argument("--status", type=int, default=-1)
    options = parser.parse_args()
    sys.stderr.write("a stand-in begins\n")
    if options.status >= 0:
        sys.stderr.write("its index is of wood\n")
        return int(options.status)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            ready = time.monotonic() - BEGUN > options.delay
            body = json.dumps({"ready": True} if ready else {"error": "loads its index"}).encode()
            self.send_response(200 if ready else 503)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    ThreadingHTTPServer(("127.0.0.1", options.port), Handler).serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
