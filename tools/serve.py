"""Serve the built site on this machine alone, compressed as on the web: `python tools/serve.py [PORT]`."""

import gzip
import http.server
import io
import sys
import threading
from pathlib import Path

SITE = Path(__file__).resolve().parents[1] / "_build" / "html"
COMPRESSED = (".html", ".css", ".js", ".svg", ".json")


class Handler(http.server.SimpleHTTPRequestHandler):
    """Files of one folder, gzipped where the browser takes it."""

    protocol_version = "HTTP/1.1"

    def send_head(self):
        """Answer with the compressed file; leave folders, errors and everything else to the base class."""
        path = Path(self.translate_path(self.path))
        takes = "gzip" in self.headers.get("Accept-Encoding", "")
        if not takes or path.suffix not in COMPRESSED or not path.is_file():
            return super().send_head()
        body = gzip.compress(path.read_bytes(), 6)
        self.send_response(200)
        self.send_header("Content-Type", self.guess_type(str(path)))
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        return io.BytesIO(body)

    def log_message(self, *arguments):
        """Say nothing for each request."""


class Server(http.server.ThreadingHTTPServer):
    """A server of `folder` on 127.0.0.1, at a free port if none is named."""

    daemon_threads = True

    def __init__(self, folder=SITE, port=0):
        """Bind; `address` is where it will be."""
        def handler(*arguments):
            return Handler(*arguments, directory=str(folder))

        super().__init__(("127.0.0.1", port), handler)
        self.address = f"http://127.0.0.1:{self.server_address[1]}"

    def __enter__(self):
        """Serve in the background."""
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *error):
        """Stop serving."""
        self.shutdown()
        self.server_close()


def main():
    """Serve the built book until interrupted."""
    if not (SITE / "index.html").exists():
        sys.exit("there is no built book yet: make book")
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8000
    try:
        server = Server(port=port)
    except OSError:
        server = Server()  # the port is taken
    print(f"serving _build/html at {server.address} (Ctrl+C ends it)", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        print()


if __name__ == "__main__":
    main()
