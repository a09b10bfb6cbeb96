"""A local HTTP server with the faults of real ones, one per folder of its addresses."""

import contextlib
import http.server
import threading
import time


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves `server.files` by name: /FAULT/NAME."""

    def do_GET(self):
        fault, name = self.path.lstrip("/").rsplit("/", 1)
        self.server.requests.append((self.path, self.headers.get("Range")))
        content = self.server.files.get(name)
        if fault == "moved":
            self.send_response(302)
            self.send_header("Location", f"/ok/{name}")
            self.end_headers()
            return
        if fault == "busy" and len(self.server.requests) < 3:
            self.send_error(503)
            return
        if fault == "silent":
            time.sleep(self.server.delay)
            return
        if content is None:
            self.send_error(404)
            return
        start = 0
        given = self.headers.get("Range")
        if given and fault != "norange":
            start = int(given.removeprefix("bytes=").rstrip("-"))
            if start >= len(content):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(content)}")
                self.end_headers()
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        body = content[start:]
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        cut = fault in ("cut", "norange") and len(self.server.requests) < 2
        if cut or fault == "always_cut":
            body = body[: len(body) // 2]
        with contextlib.suppress(ConnectionError):
            self.wfile.write(body)

    def log_message(self, *args):
        pass


@contextlib.contextmanager
def serve(files):
    """Serves {name: bytes}; yields the server with `address`, `requests` and `delay`."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.files, server.requests, server.delay = files, [], 2.0
    server.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
