#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""flexsc-httpd against clients that nobody here wrote: curl, and sha256sum for the verdict.

Usage: curl_test.py FLEXSC_HTTPD [unittest arguments]. Ends with 77 where a tool is missing."""

import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

HTTPD = ""
SIDES = (("threads",), ("pool",), ("epoll",), ("epoll", "--threads", "2"),
         ("esca", "--engine", "direct"), ("esca", "--engine", "threads"),
         ("fibers", "--engine", "threads"), ("fibers", "--engine", "uring"))
SIZES = (0, 1, 1024, 4096, 4729, 65536, 1 << 20)


def sha256(path: Path) -> str:
    result = subprocess.run(["sha256sum", path], capture_output=True, text=True, check=True)
    return result.stdout.split()[0]


class Server:
    """A running flexsc-httpd."""

    def __init__(self, side: tuple[str, ...], root: Path, folder: Path) -> None:
        port_file = folder / "port"
        port_file.unlink(missing_ok=True)
        self.process = subprocess.Popen([HTTPD, "--quiet", "--root", root, "--port-file", port_file,
                                         "--model", *side])
        deadline = time.monotonic() + 30
        while not port_file.exists():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"{side}: the server does not start")
            time.sleep(0.01)
        self.port = int(port_file.read_text())
        self.url = f"http://127.0.0.1:{self.port}"

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


class Curl(unittest.TestCase):
    """Each test goes over all sides."""

    @classmethod
    def setUpClass(cls) -> None:
        cls.folder = Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        cls.root = cls.folder / "site"
        cls.root.mkdir()
        for size in SIZES:
            (cls.root / f"{size}.bin").write_bytes(random.Random(size).randbytes(size))
        (cls.folder / "secret").write_text("secret\n")

    def curl(self, *arguments: object) -> str:
        result = subprocess.run(["curl", "-sS", "--max-time", "60", *map(str, arguments)],
                                capture_output=True, text=True, check=False)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result.stdout

    def each_side(self, check) -> None:
        for side in SIDES:
            with self.subTest(side=" ".join(side)):
                server = Server(side, self.root, self.folder)
                try:
                    check(server)
                finally:
                    self.assertEqual(server.stop(), 0)

    def test_bodies_are_identical(self) -> None:
        def check(server: Server) -> None:
            out = self.folder / "out"
            shutil.rmtree(out, ignore_errors=True)
            out.mkdir()
            # One process: all over one connection.
            targets = [word for size in SIZES
                       for word in ("-o", out / f"{size}.bin", f"{server.url}/{size}.bin")]
            self.curl(*targets)
            for size in SIZES:
                self.assertEqual(sha256(out / f"{size}.bin"), sha256(self.root / f"{size}.bin"), size)

        self.each_side(check)

    def test_parallel_downloads_are_identical(self) -> None:
        def check(server: Server) -> None:
            out = self.folder / "parallel"
            shutil.rmtree(out, ignore_errors=True)
            out.mkdir()
            self.curl("--parallel", "--parallel-max", 20, f"{server.url}/1048576.bin?[1-20]",
                      "-o", out / "#1.bin")
            wanted = sha256(self.root / "1048576.bin")
            for i in range(1, 21):
                self.assertEqual(sha256(out / f"{i}.bin"), wanted, i)

        self.each_side(check)

    def test_ranges_join_to_the_whole(self) -> None:
        def check(server: Server) -> None:
            whole = self.folder / "joined"
            parts = []
            for i, span in enumerate(("0-999", "1000-3999", "4000-")):
                part = self.folder / f"part{i}"
                status = self.curl("-r", span, "-o", part, "-w", "%{http_code}",
                                   f"{server.url}/4729.bin")
                self.assertEqual(status, "206")
                parts.append(part.read_bytes())
            whole.write_bytes(b"".join(parts))
            self.assertEqual(sha256(whole), sha256(self.root / "4729.bin"))

        self.each_side(check)

    def test_statuses_as_curl_sees_them(self) -> None:
        def check(server: Server) -> None:
            def status(*arguments: object) -> str:
                return self.curl("-o", "/dev/null", "-w", "%{http_code}", *arguments)

            self.assertEqual(status("-I", f"{server.url}/1024.bin"), "200")
            self.assertEqual(status("--http1.0", f"{server.url}/1024.bin"), "200")
            self.assertEqual(status(f"{server.url}/none"), "404")
            self.assertEqual(status("--path-as-is", f"{server.url}/../secret"), "404")
            self.assertEqual(status("-d", "x=1", f"{server.url}/1024.bin"), "405")
            self.assertEqual(status("-r", "5000-", f"{server.url}/4729.bin"), "416")
            self.assertEqual(status("-H", "Host:", f"{server.url}/1024.bin"), "400")

        self.each_side(check)

    def test_stopping_lets_a_slow_reader_have_its_megabyte(self) -> None:
        def check(server: Server) -> None:
            with socket.socket() as client:
                # Before connecting, since that is when the window is agreed.
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
                client.connect(("127.0.0.1", server.port))
                client.sendall(b"GET /1048576.bin HTTP/1.1\r\nHost: h\r\n\r\n")
                received = client.recv(1000)
                server.process.send_signal(signal.SIGTERM)
                while piece := client.recv(65536):
                    received += piece
                    time.sleep(0.005)
            body = self.folder / "slow"
            body.write_bytes(received.partition(b"\r\n\r\n")[2])
            self.assertEqual(sha256(body), sha256(self.root / "1048576.bin"))

        self.each_side(check)


if __name__ == "__main__":
    missing = [tool for tool in ("curl", "sha256sum") if shutil.which(tool) is None]
    if missing:
        print(f"skipped: {' and '.join(missing)} not installed")
        sys.exit(77)
    HTTPD = sys.argv.pop(1)
    unittest.main(verbosity=2)
