#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The programs of docs/examples do what they say. Usage: examples_test.py FOLDER_OF_PROGRAMS"""

import contextlib
import difflib
import http.server
import re
import socket
import subprocess
import sys
import tempfile
import threading
import unittest
import zlib
from collections.abc import Iterator
from pathlib import Path

BIN = Path()
EXAMPLES = Path(__file__).resolve().parent.parent / "docs/examples"
SECONDS = 30


@contextlib.contextmanager
def server(name: str, *arguments: str) -> Iterator[int]:
    """A running example; gives its port."""
    process = subprocess.Popen([BIN / name, "0", *arguments], stdout=subprocess.PIPE, text=True)
    try:
        line = process.stdout.readline()
        found = re.fullmatch(r"listening on port (\d+)\n", line)
        if not found:
            raise AssertionError(f"{name} does not start: {line!r}")
        yield int(found[1])
        if process.poll() is not None:
            raise AssertionError(f"{name} ended with {process.returncode}")
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), SECONDS)


def receive(sock: socket.socket, size: int) -> bytes:
    got = b""
    while len(got) < size:
        some = sock.recv(size - len(got))
        if not some:
            break
        got += some
    return got


def until_end(sock: socket.socket) -> bytes:
    got = b""
    while some := sock.recv(65536):
        got += some
    return got


class Site(http.server.BaseHTTPRequestHandler):
    """Answers with what it was asked."""

    def do_GET(self) -> None:
        body = f"{self.path} {self.headers['Connection']} {self.headers['X-Mine']}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class Echo(unittest.TestCase):
    def talk(self, port: int) -> None:
        data = bytes(range(256)) * 4096
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(connect(port)) for _ in range(20)]
            for client in clients[1:]:
                client.sendall(b"hello")
            sender = threading.Thread(target=clients[0].sendall, args=(data,))
            sender.start()
            self.assertEqual(receive(clients[0], len(data)), data)
            sender.join()
            for client in clients[1:]:
                self.assertEqual(receive(client, 5), b"hello")
                client.shutdown(socket.SHUT_WR)
                self.assertEqual(client.recv(1), b"")

    def test_fibers(self) -> None:
        with server("flexsc-echo") as port:
            self.talk(port)

    def test_events_in_c(self) -> None:
        with server("flexsc-event-server") as port:
            self.talk(port)


class Chat(unittest.TestCase):
    def test_all_others_hear_it(self) -> None:
        with server("flexsc-chat") as port, connect(port) as ann, connect(port) as bob:
            self.enter(ann, bob)
            ann.sendall(b"first\nsec")
            ann.sendall(b"ond\n")
            self.assertEqual(receive(bob, 13), b"first\nsecond\n")
            with connect(port) as carl:
                self.enter(carl, bob)
                bob.sendall(b"bye\n")
                self.assertEqual(receive(carl, 4), b"bye\n")
            bob.sendall(b"still there\n")
            with ann.makefile("rb") as lines:  # hears what carl said when he came
                while (line := lines.readline()) != b"still there\n":
                    self.assertIn(line, (b"?\n", b"bye\n"))

    def test_who_does_not_listen_is_put_out(self) -> None:
        with server("flexsc-chat") as port, connect(port) as loud, connect(port) as deaf:
            self.enter(loud, deaf)
            line = b"x" * 1000 + b"\n"
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                for _ in range(20_000):  # more than sockets and the channel hold
                    loud.sendall(line)
            got = until_end(deaf)
            self.assertLess(len(got), 20_000 * len(line))

    def enter(self, speaker: socket.socket, listener: socket.socket) -> None:
        """Until both are in the room: one hears the other."""
        listener.settimeout(0.05)
        while True:
            speaker.sendall(b"?\n")
            with contextlib.suppress(TimeoutError):
                if listener.recv(2):
                    break
        with contextlib.suppress(TimeoutError):  # what came late
            while listener.recv(4096):
                pass
        listener.settimeout(SECONDS)


class Proxy(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.site = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site)
        cls.host = f"localhost:{cls.site.server_port}"
        threading.Thread(target=cls.site.serve_forever, daemon=True).start()

    @classmethod
    def tearDownClass(cls) -> None:
        cls.site.shutdown()
        cls.site.server_close()

    def ask(self, port: int, request: str) -> bytes:
        with connect(port) as client:
            client.sendall(request.encode())
            return until_end(client)

    def test_requests_tunnels_and_errors(self) -> None:
        with server("flexsc-proxy") as port:
            answer = self.ask(port, f"GET http://{self.host}/a?b HTTP/1.1\r\nHost: {self.host}\r\n"
                                    "Proxy-Connection: keep-alive\r\nX-Mine: yes\r\n\r\n")
            self.assertIn(b" 200 ", answer)
            self.assertTrue(answer.endswith(b"/a?b close yes"), answer)
            tunnel = self.ask(port, f"CONNECT {self.host} HTTP/1.1\r\n\r\n"
                                    "GET /inside HTTP/1.0\r\nX-Mine: t\r\n\r\n")
            self.assertTrue(tunnel.startswith(b"HTTP/1.1 200 Connected\r\n\r\n"), tunnel)
            self.assertTrue(tunnel.endswith(b"/inside None t"), tunnel)
            for bad in ("nonsense\r\n\r\n", "GET /no-host HTTP/1.1\r\n\r\n", "GET\r\n\r\n"):
                self.assertIn(b" 400 ", self.ask(port, bad))
            with socket.socket() as unused:
                unused.bind(("127.0.0.1", 0))
                away = f"GET http://127.0.0.1:{unused.getsockname()[1]}/ HTTP/1.1\r\n\r\n"
                self.assertIn(b" 502 ", self.ask(port, away))


class Hasher(unittest.TestCase):
    def test_checksums_are_those_of_zlib(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            expected = {}
            for i, size in enumerate([0, 1, 65536, 65537, 1_000_000] * 40):
                path = Path(folder) / f"{i % 7}" / str(i)
                path.parent.mkdir(exist_ok=True)
                data = bytes([i % 256]) * size
                path.write_bytes(data)
                expected[str(path)] = f"{zlib.crc32(data):08x}"
            run = subprocess.run([BIN / "flexsc-hasher", folder, "threads", "8"],
                                 capture_output=True, text=True, check=True, timeout=SECONDS * 2)
            found = {path: checksum for checksum, path in
                     (line.split("  ", 1) for line in run.stdout.splitlines())}
            self.assertEqual(found, expected)

    def test_a_folder_that_is_not_there(self) -> None:
        run = subprocess.run([BIN / "flexsc-hasher", "/nowhere"], capture_output=True, text=True,
                             check=False, timeout=SECONDS)
        self.assertEqual(run.returncode, 1)
        self.assertIn("/nowhere", run.stderr)


class Engines(unittest.TestCase):
    def test_an_unknown_name_is_refused_with_the_known_ones(self) -> None:
        programs = {"flexsc-echo": ("0",), "flexsc-chat": ("0",), "flexsc-proxy": ("0",),
                    "flexsc-event-server": ("0",), "flexsc-hasher": ("/nowhere",),
                    "flexsc-pools": ()}
        for name, arguments in programs.items():
            for engine in ("steam", ""):
                with self.subTest(name, engine=engine):
                    run = subprocess.run([BIN / name, *arguments, engine], capture_output=True,
                                         text=True, check=False, timeout=SECONDS)
                    self.assertEqual(run.returncode, 1)
                    self.assertEqual(run.stdout, "")
                    self.assertIn(f'there is no engine "{engine}", only kernel, uring, threads, '
                                  "direct, auto", run.stderr)

    def test_known_names_are_taken(self) -> None:
        for engine in ("threads", "auto"):
            run = subprocess.run([BIN / "flexsc-hasher", EXAMPLES, engine], capture_output=True,
                                 text=True, check=False, timeout=SECONDS)
            self.assertIn(f"  {EXAMPLES}/echo.cpp\n", run.stdout, run.stderr)


class Port(unittest.TestCase):
    def test_both_servers_do_the_same(self) -> None:
        for name in ("flexsc-store-threads", "flexsc-store-fibers"):
            with self.subTest(name), server(name) as port, \
                    connect(port) as waiter, connect(port) as other:
                waiter.sendall(b"get a\nwait a\n")
                self.assertEqual(receive(waiter, 5), b"none\n")
                other.sendall(b"set a 1\nget a\nfly\n")
                self.assertEqual(receive(other, 5), b"ok\n1\n")
                self.assertEqual(receive(other, 7), b"error: ")
                self.assertEqual(receive(waiter, 2), b"1\n")

    def test_fewer_than_20_lines_are_changed(self) -> None:
        before, after = ((EXAMPLES / "port" / name).read_text().splitlines()
                         for name in ("threads.cpp", "fibers.cpp"))
        changed = [line for line in difflib.ndiff(before, after) if line.startswith("+ ")]
        self.assertLess(len(changed), 20, "\n".join(changed))


if __name__ == "__main__":
    BIN = Path(sys.argv.pop(1))
    unittest.main(verbosity=2)
