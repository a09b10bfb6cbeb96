"""A headless Chromium that opens pages of a local server and returns what a script finds there.

Pages report by themselves: each has a script more that waits for the page, posts what it found, and
then asks for the next address. So one process opens all pages, and no time limit is guessed.
"""

import contextlib
import functools
import http.server
import json
import os
import queue
import shutil
import signal
import subprocess
import tempfile
import threading

NAMES = ("chromium", "chromium-browser", "google-chrome")
SECONDS = 300  # until a page has reported; loaded machines are slow

REPORT = """
<script>
const next = () => fetch("/next").then((reply) => reply.text()).then((url) => location.assign(url));
const timer = setInterval(() => {
  const found = (FIND)();
  if (!found) return;
  clearInterval(timer);
  fetch("/found", { method: "POST", body: JSON.stringify(found) }).then(next);
}, 20);
</script>
"""


class _Handler(http.server.SimpleHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/next":
            self._send(self.server.addresses.get().encode(), "text/plain")
        elif self.path.split("?")[0].endswith(".html"):
            page = self.translate_path(self.path)
            with open(page, "rb") as file:
                self._send(file.read() + self.server.report.encode(), "text/html")
        else:
            super().do_GET()

    def do_POST(self):
        length = int(self.headers["Content-Length"])
        self.server.found.put(json.loads(self.rfile.read(length)))
        self._send(b"", "text/plain")

    def _send(self, content, kind):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        with contextlib.suppress(ConnectionError):
            self.wfile.write(content)

    def log_message(self, *args):
        pass


def program():
    """Path of Chromium; None where it is not installed."""
    return next(filter(None, map(shutil.which, NAMES)), None)


@contextlib.contextmanager
def visits(folder, find):
    """Yields a function that opens an address under `folder` and returns what the page reported.

    `find` is a JavaScript function that returns something for JSON, or null while the page works.
    """
    handler = functools.partial(_Handler, directory=folder)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    server.addresses, server.found = queue.Queue(), queue.Queue()
    server.report = REPORT.replace("FIND", find)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    process = None

    def visit(address):
        nonlocal process
        if process is None:
            url = f"http://127.0.0.1:{server.server_port}{address}"
            options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}"]
            process = subprocess.Popen(
                [program(), *options, url], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                start_new_session=True,
            )  # fmt: skip
        else:
            server.addresses.put(address)
        return server.found.get(timeout=SECONDS)

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        try:
            yield visit
        finally:
            if process is not None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            server.shutdown()
            server.server_close()
            thread.join()
