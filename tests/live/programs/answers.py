"""Python's own HTTP server: ``answers.py PORT [fork]``. ``/ANYTHING/STATUS/MILLISECONDS`` says what it answers, when.

It prints a line when it listens, and ends with its standard input.
"""

from __future__ import annotations

import http.server
import socketserver
import sys
import threading
import time


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers any method, with the request's body back, or its path."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_any(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0))) or self.path.encode()
        _, _, status, milliseconds = self.path.partition("?")[0].split("/")
        time.sleep(int(milliseconds) / 1000)
        self.send_response(int(status))
        if status == "302":
            self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do_PATCH = do_OPTIONS = do_any  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Nothing."""


class ForkingServer(socketserver.ForkingMixIn, http.server.HTTPServer):
    """A process for each connection."""


if __name__ == "__main__":
    kind = ForkingServer if "fork" in sys.argv else http.server.ThreadingHTTPServer
    kind.request_queue_size = 64
    server = kind(("127.0.0.1", int(sys.argv[1])), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print("listening", flush=True)
    sys.stdin.read()
