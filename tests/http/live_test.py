#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What flexsc-httpd shows of itself: its counters, and the page that draws them, in a browser.

Usage: live_test.py FLEXSC_HTTPD [unittest arguments]. Ends with 77 where a tool is missing."""

import re
import shutil
import sys
import tempfile
import threading
import unittest
import urllib.error
import urllib.request
import subprocess
from pathlib import Path

from curl_test import Server

BROWSER = "chromium"
SIDES = (("fibers", "--engine", "threads", "--carriers", "0", "--worker-cpus", "0"),
         ("threads",), ("pool",), ("epoll",), ("esca", "--engine", "threads"))


def fetch(url: str) -> tuple[str, str]:
    """Content type and text."""
    with urllib.request.urlopen(url, timeout=30) as response:
        return response.headers["Content-Type"], response.read().decode()


def samples(text: str) -> dict[str, float]:
    return {name: float(value) for name, value in
            (line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))}


class Load:
    """A client that asks again and again until it is stopped."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self) -> None:
        while not self.over.wait(0.01):
            fetch(self.url)

    def __enter__(self) -> "Load":
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.thread.join()


class Live(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.folder = Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        cls.root = cls.folder / "site"
        cls.root.mkdir()
        (cls.root / "page.html").write_text("page")

    def serve(self, side: tuple[str, ...]) -> Server:
        server = Server(side, self.root, self.folder)
        self.addCleanup(server.process.kill)
        return server

    def test_every_model_counts_requests(self) -> None:
        for side in SIDES:
            with self.subTest(side[0]):
                server = self.serve((*side, "--live"))
                for _ in range(7):
                    self.assertEqual(fetch(f"{server.url}/page.html")[1], "page")
                kind, text = fetch(f"{server.url}/-/metrics")
                self.assertEqual(kind, "text/plain; version=0.0.4")
                found = samples(text)
                self.assertEqual(found["flexsc_http_requests_total"], 8)
                if side[0] == "fibers":
                    self.assertGreaterEqual(found["flexsc_calls_posted_total"], 7)
                    core = 'flexsc_core_seconds_total{cpu="0",use="carrier and worker",mode='
                    self.assertGreater(found[core + '"idle"}'] + found[core + '"user"}'], 0)
                self.assertEqual(server.stop(), 0)

    def test_nothing_is_shown_unless_it_is_wanted(self) -> None:
        server = self.serve(SIDES[0])
        for name in ("live", "metrics", "chart.js"):
            with self.assertRaises(urllib.error.HTTPError) as caught:
                fetch(f"{server.url}/-/{name}")
            self.assertEqual(caught.exception.code, 404)
            caught.exception.close()
        self.assertEqual(server.stop(), 0)

    def test_the_page_draws_in_a_browser(self) -> None:
        if shutil.which(BROWSER) is None:
            self.skipTest(f"{BROWSER} is not installed")
        server = self.serve((*SIDES[0], "--live"))
        with Load(f"{server.url}/page.html"):
            run = subprocess.run(
                [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                 f"--user-data-dir={self.folder}/browser", "--timeout=20000",
                 "--virtual-time-budget=8000", "--dump-dom", f"{server.url}/-/live"],
                capture_output=True, text=True, check=False, timeout=100)
        dom = run.stdout
        self.assertRegex(dom, r'data-drawn="\d+"', run.stderr[-2000:])
        boxes = {name: float(value) for name, value in
                 re.findall(r'data-name="([^"]+)" data-value="([^"]+)"', dom)}
        self.assertEqual(set(boxes), {"requests/s", "crossings per request", "calls posted/s",
                                      "fibers"})
        self.assertGreater(boxes["requests/s"], 0)
        self.assertGreaterEqual(boxes["fibers"], 1)
        self.assertRegex(dom, r'id="trouble" hidden=""')
        # Chart.js gives each canvas that it draws on a size.
        for name in ("rate", "crossings", "fibers", "batches", "cores"):
            self.assertRegex(dom, rf'<canvas id="{name}"[^>]* width="\d+"', name)
        self.assertEqual(server.stop(), 0)


if __name__ == "__main__":
    import curl_test
    curl_test.HTTPD = sys.argv.pop(1)
    unittest.main(verbosity=2)
