"""Makes tests/data/bpftrace/http: what bpftrace printed for ``http`` while servers and clients did what is known.

As root: ``python -m tests.tools.http_scenarios FOLDER BPFTRACE [SCENARIO...]`` writes ``FOLDER/SCENARIO.json``. All is
on the loopback interface and on two ports, so each exchange is seen from both sides. What it has to become stands in
tests/orchestrator/test_http_captures.py.

A scenario is a generator: what it does before its first ``yield`` bpftrace does not see, and after its second one
neither.
"""

from __future__ import annotations

import os
import random
import re
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.live.conftest import wait_for
from tests.live.harness import Run

PORT, PROXY = 18180, 18181
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
ANSWERS = Path(__file__).parent.parent / "live" / "programs" / "answers.py"

Scenario = Callable[[Path], Iterator[None]]
SCENARIOS: dict[str, Scenario] = {}


def scenario(make: Scenario) -> Scenario:
    SCENARIOS[make.__name__.replace("_", "-")] = make
    return make


def get(path: str, *headers: str) -> bytes:
    return "".join(f"{line}\r\n" for line in (f"GET {path} HTTP/1.1", "Host: here.test", *headers, "")).encode()


def answer(status: int, body: bytes = b"ok") -> bytes:
    return b"HTTP/1.1 %d Said\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body)


def read(connection: socket.socket, size: int) -> None:
    """Read so many bytes; less if the other side has closed."""
    while size > 0 and (chunk := connection.recv(min(size, 1 << 16))):
        size -= len(chunk)


def read_answer(connection: socket.socket) -> None:
    """Read one answer, and nothing of the next one; looking at it is not seen."""
    found = None
    while found is None:
        found = re.match(rb"(?s:.*?Content-Length: (\d+).*?\r\n\r\n)", connection.recv(1000, socket.MSG_PEEK))
    read(connection, found.end() + int(found[1]))


def listen(address: str = "127.0.0.1", family: int = socket.AF_INET) -> socket.socket:
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((address, PORT))
    listener.listen(50)
    return listener


def connect(address: str = "127.0.0.1", port: int = PORT) -> socket.socket:
    connection = socket.create_connection((address, port), 20)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


@contextmanager
def pair(
    listener: socket.socket | None = None, address: str = "127.0.0.1"
) -> Iterator[tuple[socket.socket, socket.socket]]:
    """The client's and the server's socket of a connection; both are closed, the client's first."""
    with ExitStack() as stack:
        listening = listener or stack.enter_context(listen())
        client = stack.enter_context(connect(address))
        server, _ = listening.accept()
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        stack.callback(server.close)
        stack.callback(client.close)
        yield client, server


def exchange(client: socket.socket, server: socket.socket, request: bytes, reply: bytes, pause: float = 0.0) -> None:
    client.sendall(request)
    read(server, len(request))
    time.sleep(pause)
    server.sendall(reply)
    read(client, len(reply))


@contextmanager
def running(*command: str | Path, folder: Path, port: int) -> Iterator[None]:
    with subprocess.Popen(
        command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            wait_for(port)
            yield
        finally:
            process.terminate()


NGINX = """
worker_processes 1; daemon off; pid {0}/pid; error_log {0}/error.log;
events {{ worker_connections 64; }}
http {{
  access_log off; sendfile on; client_body_temp_path {0}/a; proxy_temp_path {0}/b; fastcgi_temp_path {0}/c;
  uwsgi_temp_path {0}/d; scgi_temp_path {0}/e; root {0};
  upstream backend {{ server 127.0.0.1:{1}; keepalive 8; }}
  server {{
    listen 127.0.0.1:{2}; listen [::1]:{2};
    location /passed/ {{ proxy_pass http://backend; proxy_http_version 1.1; proxy_set_header Connection ""; }}
  }}
}}
"""


@contextmanager
def nginx(folder: Path) -> Iterator[None]:
    (folder / "nginx.conf").write_text(NGINX.format(folder, PORT, PROXY))
    for name, size in (("small", 400), ("middle", 27_000), ("big", 5_000_000)):
        (folder / name).write_bytes(b"x" * size)
    folder.chmod(0o755)
    with running("/usr/sbin/nginx", "-p", folder, "-c", folder / "nginx.conf", folder=folder, port=PROXY):
        yield


def curl(*arguments: str) -> None:
    subprocess.run(["curl", "--silent", *arguments], check=True, stdout=subprocess.DEVNULL)


@scenario
def python_http10(folder: Path) -> Iterator[None]:
    (folder / "file.txt").write_bytes(b"x" * 400)
    command = (sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(PORT))
    with running(*command, folder=folder, port=PORT):
        yield
        curl(f"http://127.0.0.1:{PORT}/file.txt?key=secret")
        curl("--head", f"http://127.0.0.1:{PORT}/file.txt")
        curl(f"http://127.0.0.1:{PORT}/none")
        yield


@scenario
def python_http11(folder: Path) -> Iterator[None]:
    with running(sys.executable, ANSWERS, str(PORT), folder=folder, port=PORT):
        yield
        base = f"http://127.0.0.1:{PORT}"
        traced = ("--header", f"traceparent: {TRACE}")
        following = ("--next", "--silent")
        curl(
            *(f"{base}/first/200/30", *traced, *following),
            *("--data", "a=1&b=2", f"{base}/second/500/0", *traced, *following),
            *("--request", "DELETE", f"{base}/third/404/10", *following),
            *("--head", f"{base}/fourth/302/0"),
        )
        yield


@scenario
def forked(folder: Path) -> Iterator[None]:
    with running(sys.executable, ANSWERS, str(PORT), "fork", folder=folder, port=PORT):
        yield
        for index in range(3):
            with connect() as client:
                client.sendall(get(f"/forked{index}/20{index}/0", "Connection: close"))
                read(client, 1 << 20)
        yield


@scenario
def nginx_static(folder: Path) -> Iterator[None]:
    with nginx(folder):
        yield
        base = f"http://127.0.0.1:{PROXY}"
        curl(f"{base}/small", f"{base}/middle", f"{base}/none")
        curl(f"http://[::1]:{PROXY}/small?six")
        yield


@scenario
def nginx_proxy(folder: Path) -> Iterator[None]:
    with running(sys.executable, ANSWERS, str(PORT), folder=folder, port=PORT), nginx(folder):
        yield
        for status, pause in ((200, 20), (503, 0), (201, 10)):
            curl("--header", f"traceparent: {TRACE}", f"http://127.0.0.1:{PROXY}/passed/{status}/{pause}")
        yield


@scenario
def nginx_pipelined(folder: Path) -> Iterator[None]:
    with nginx(folder):
        yield
        with connect(port=PROXY) as client:
            client.sendall(get("/small") + get("/none") + get("/middle") + get("/small?last", "Connection: close"))
            for _index in range(4):
                read_answer(client)
            read(client, 1)
        yield


@scenario
def nginx_big(folder: Path) -> Iterator[None]:
    with nginx(folder):
        yield
        base = f"http://127.0.0.1:{PROXY}"
        curl("--limit-rate", "50M", f"{base}/big", "--next", "--silent", f"{base}/small")
        yield


@scenario
def upload(folder: Path) -> Iterator[None]:
    body = b"POST /false/200/0 HTTP/1.1\r\n\r\n" * 2000
    head = b"POST /upload/200/0 HTTP/1.1\r\nHost: here.test\r\nContent-Length: %d\r\n" % len(body)
    with running(sys.executable, ANSWERS, str(PORT), folder=folder, port=PORT):
        yield
        with connect() as client:
            client.sendall(head + b"\r\n" + body[:100])
            time.sleep(0.02)
            client.sendall(body[100:])
            received = 0
            while received < len(body):
                received += len(client.recv(1 << 16))
            client.sendall(head.replace(b"upload/200", b"expect/201") + b"Expect: 100-continue\r\n\r\n")
            assert client.recv(100).startswith(b"HTTP/1.1 100")
            time.sleep(0.02)
            client.sendall(body)
            client.shutdown(socket.SHUT_WR)
            read(client, 1 << 20)
        yield


@scenario
def bytewise(_: Path) -> Iterator[None]:
    yield
    with pair() as (client, server):
        for byte in b"GET /bytewise HTTP/1.1\r\n\r\n":
            client.sendall(bytes([byte]))
            read(server, 1)
        for byte in b"HTTP/1.1 204 Done\r\n\r\n":
            server.sendall(bytes([byte]))
            read(client, 1)
    yield


@scenario
def tentative(_: Path) -> Iterator[None]:
    yield
    with listen() as listener:
        for said, replied in (
            ((b"P", b"ING\r\n"), (b"+PONG\r\n",)),
            ((b"GE",), (b"HT",)),
            ((), (b"H", b"TTP/1.1 200 OK\r\n\r\n")),
            ((b"GE", b"T /tentative HTTP/1.1\r\n\r\n"), (b"H", b"TT", answer(202)[3:])),
        ):
            with pair(listener) as (client, server):
                for sender, receiver, pieces in ((client, server, said), (server, client, replied)):
                    for piece in pieces:
                        sender.sendall(piece)
                        read(receiver, len(piece))
    yield


@scenario
def noise(_: Path) -> Iterator[None]:
    chosen = random.Random(7)
    yield
    with listen() as listener:
        with pair(listener) as (client, server):
            for size in (1, 2, 3, 50, 1400, 20_000):
                exchange(client, server, chosen.randbytes(size), chosen.randbytes(size))
        with pair(listener) as (client, server):  # TLS
            exchange(client, server, b"\x16\x03\x01\x02\x00\x01" + bytes(500), b"\x16\x03\x03\x00\x7a\x02" + bytes(100))
        with pair(listener) as (client, server):  # HTTP/2
            exchange(client, server, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(20), b"\0\0\6\4" + bytes(20))
        with pair(listener) as (client, server):
            exchange(client, server, b"GET key\r\n", b"$5\r\nhello\r\n")
        with pair(listener) as (client, server):
            exchange(client, server, b"HEADER", b"OPTIONS?")
        with pair(listener) as (client, server):
            exchange(client, server, get("/behind-the-noise"), answer(203))
    yield


@scenario
def pipelined(_: Path) -> Iterator[None]:
    yield
    statuses = (200, 404, 500, 201, 409)
    requests = [get(f"/pipelined{index}", *([f"traceparent: {TRACE}"] * (index == 1))) for index in range(5)]
    with listen() as listener:
        with pair(listener) as (client, server):  # each answer by itself
            client.sendall(b"".join(requests))
            read(server, len(b"".join(requests)))
            for status in statuses:
                time.sleep(0.005)
                server.sendall(answer(status))
                read(client, len(answer(status)))
        with pair(listener) as (client, server):  # and all in one
            both = [request.replace(b"pipelined", b"together") for request in requests[:3]]
            exchange(client, server, b"".join(both), b"".join(map(answer, statuses[:3])))
    yield


@scenario
def older(_: Path) -> Iterator[None]:
    with listen() as listener, pair(listener) as (client, server), pair(listener) as (reader, blocked):
        exchange(client, server, get("/before"), answer(200))

        def wait() -> None:  # its read begins before bpftrace does
            read(blocked, len(get("/blocked0")))
            blocked.sendall(answer(401))
            read(blocked, len(get("/blocked1")))
            blocked.sendall(answer(402))

        thread = threading.Thread(target=wait)
        thread.start()
        time.sleep(0.1)
        yield
        for index, status in enumerate((201, 202)):
            exchange(client, server, get(f"/after{index}"), answer(status))
        for index in range(2):
            reader.sendall(get(f"/blocked{index}"))
            read(reader, len(answer(401)))
        thread.join()
    yield


@scenario
def descriptors(_: Path) -> Iterator[None]:
    """The same number for one connection after the other."""
    yield
    with listen() as listener:
        for index in range(8):
            client = connect()
            server, _address = listener.accept()
            client.sendall(get(f"/same{index}"))
            read(server, len(get(f"/same{index}")))
            server.sendall(answer(210 + index))
            server.close()
            read(client, 1 << 20)
            client.close()
    yield


@scenario
def inherited(_: Path) -> Iterator[None]:
    """Accepted by one process, read by its child and answered by its grandchild."""
    yield
    with listen() as listener:
        for index in range(3):
            client = connect()
            server, _address = listener.accept()
            client.sendall(get(f"/inherited{index}"))
            child = os.fork()
            if child == 0:
                read(server, len(get(f"/inherited{index}")))
                grandchild = os.fork()
                if grandchild == 0:
                    server.sendall(answer(200 + index))
                    os._exit(0)
                os.waitpid(grandchild, 0)
                os._exit(0)
            os.waitpid(child, 0)
            server.close()
            read(client, len(answer(200)))
            client.close()
    yield


@scenario
def ipv6(_: Path) -> Iterator[None]:
    yield
    with listen("::1", socket.AF_INET6) as listener, pair(listener, "::1") as (client, server):
        exchange(client, server, get("/six"), answer(206))
    with listen("::", socket.AF_INET6) as listener, pair(listener) as (client, server):
        exchange(client, server, get("/mapped"), answer(204, b"").replace(b"Content-Length: 0\r\n", b""))
    yield


@scenario
def vectors(_: Path) -> Iterator[None]:
    """Calls with several buffers, empty ones before them; and what only looks."""
    yield
    with pair() as (client, server):
        request = b"POST /vectors HTTP/1.1\r\nContent-Length: 4\r\n\r\n"
        os.writev(client.fileno(), [b"", request, b"body"])
        os.readv(server.fileno(), [bytearray(0), bytearray(20), bytearray(400)])
        server.sendmsg([answer(200)[:30], answer(200)[30:]])
        client.recvmsg(999)
        client.sendmsg([get("/messages")])
        server.recvmsg_into([bytearray(999)])
        os.write(server.fileno(), answer(201))
        os.read(client.fileno(), 999)
        client.sendall(get("/peeked"))
        server.recv(5, socket.MSG_PEEK)
        server.recvmsg(5, 0, socket.MSG_PEEK)
        server.recv(999)
        server.sendall(answer(202))
        client.recv(999)
    yield


@scenario
def closing(_: Path) -> Iterator[None]:
    yield
    with listen() as listener:
        with pair(listener) as (client, server):  # half-closed by the client
            client.sendall(get("/half"))
            client.shutdown(socket.SHUT_WR)
            read(server, 1 << 20)
            time.sleep(0.02)
            server.sendall(answer(200))
            server.close()
            time.sleep(0.02)
            read(client, 1 << 20)
        with pair(listener) as (client, server):  # reset: not all of the request was read
            client.sendall(get("/reset") + b"more")
            read(server, len(get("/reset")))
            server.sendall(answer(201))
            server.close()
            time.sleep(0.02)
            read(client, len(answer(201)))
        with pair(listener) as (client, server):  # no answer
            client.sendall(get("/unanswered"))
            read(server, len(get("/unanswered")))
            time.sleep(0.02)
            server.close()
            read(client, 1)
        with pair(listener) as (client, server):  # one of two
            exchange(client, server, get("/answered"), answer(202))
            client.sendall(get("/given-up"))
            read(server, len(get("/given-up")))
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    yield


@scenario
def until_close(_: Path) -> Iterator[None]:
    """The answer's end is the connection's."""
    yield
    with listen() as listener:
        for size in (100, 300_000):
            with pair(listener) as (client, server):
                request = b"GET /until-close%d HTTP/1.0\r\n\r\n" % size
                client.sendall(request)
                read(server, len(request))
                reader = threading.Thread(target=read, args=(client, 1 << 20))
                reader.start()
                server.sendall(b"HTTP/1.0 200 OK\r\n\r\n")
                for _index in range(10):
                    server.sendall(b"x" * (size // 10))
                    time.sleep(0.003)
                server.close()
                reader.join()
    yield


@scenario
def bodiless(_: Path) -> Iterator[None]:
    """Answers whose length is that of a body which does not come."""
    yield
    with pair() as (client, server):
        exchange(client, server, get("/head").replace(b"GET", b"HEAD"), answer(200, b"x" * 5000)[:-5000])
        exchange(client, server, get("/unchanged"), answer(304, b"x" * 5000)[:-5000])
        exchange(client, server, get("/empty"), answer(204, b"").replace(b"Content-Length: 0\r\n", b""))
        early = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
        client.sendall(get("/early"))
        read(server, len(get("/early")))
        server.sendall(early)
        read(client, len(early))
        time.sleep(0.02)
        server.sendall(answer(200, b"end"))
        read(client, len(answer(200, b"end")))
    yield


@scenario
def chunked(_: Path) -> Iterator[None]:
    yield
    chunks = [b"5\r\nhello\r\n", b"1;x=y\r\n \r\n", b"5\r\nworld\r\n", b"0\r\n\r\n"]
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    with pair() as (client, server):
        asking = b"POST /chunked0 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + b"".join(chunks)
        exchange(client, server, asking, head + b"".join(chunks))
        client.sendall(get("/chunked1"))
        read(server, len(get("/chunked1")))
        for piece in (head.replace(b"200", b"201"), *chunks):
            server.sendall(piece)
            read(client, len(piece))
            time.sleep(0.005)
        long = b"1000\r\n" + b"x" * 4096 + b"\r\n"
        client.sendall(get("/chunked2"))
        read(server, len(get("/chunked2")))
        for piece in (head.replace(b"200", b"202"), long, long, b"0\r\n\r\n"):
            server.sendall(piece)
            read(client, len(piece))
        exchange(client, server, get("/behind"), answer(203))
    yield


@scenario
def long_heads(_: Path) -> Iterator[None]:
    yield
    filler = "X: " + "abcdefghij" * 150
    with pair() as (client, server):
        exchange(client, server, get("/long0", f"traceparent: {TRACE}", filler), answer(200))
        exchange(client, server, get("/long1", filler, f"traceparent: {TRACE}"), answer(201))
        exchange(client, server, get("/" + "long2" * 300), answer(202))
        long = answer(203).replace(b"\r\n\r\n", b"\r\n" + filler.encode() + b"\r\n\r\n")
        exchange(client, server, get("/long3"), long)
        exchange(client, server, get("/not-long"), answer(204, b""))
    yield


@scenario
def tunnels(_: Path) -> Iterator[None]:
    yield
    with listen() as listener:
        for request, status in (
            (get("/chat", "Upgrade: websocket", "Connection: Upgrade"), 101),
            (b"CONNECT there.test:443 HTTP/1.1\r\nHost: there.test:443\r\n\r\n", 200),
        ):
            with pair(listener) as (client, server):
                exchange(client, server, request, b"HTTP/1.1 %d Go\r\n\r\n" % status)
                for _index in range(25):
                    exchange(client, server, b"\x81\x05hello", b"\x81\x05world")
                exchange(client, server, get("/inside"), answer(200))
    yield


@scenario
def slow(_: Path) -> Iterator[None]:
    """Pieces with time between them."""
    yield
    with pair() as (client, server):
        request = b"PUT /slow HTTP/1.1\r\nContent-Length: 8\r\n\r\n"
        for piece in (request[:20], request[20:], b"four", b"four"):
            client.sendall(piece)
            read(server, len(piece))
            time.sleep(0.01)
        for piece in (answer(200, b"three times")[:-8], b"ee t", b"imes"):
            time.sleep(0.02)
            server.sendall(piece)
            read(client, len(piece))
        time.sleep(0.05)
        exchange(client, server, get("/after"), answer(201), 0.01)
    yield


@scenario
def big(_: Path) -> Iterator[None]:
    yield
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 6553600\r\n\r\n"
    with pair() as (client, server):
        client.sendall(get("/big"))
        read(server, len(get("/big")))
        reader = threading.Thread(target=read, args=(client, len(head) + 6_553_600))
        reader.start()
        server.sendall(head)
        for _index in range(100):
            server.sendall(bytes(65_536))
        reader.join()
        exchange(client, server, get("/next"), answer(201))
    yield


@scenario
def big_upload(_: Path) -> Iterator[None]:
    yield
    head = b"PUT /big-upload HTTP/1.1\r\nContent-Length: 6553600\r\n\r\n"
    with pair() as (client, server):
        reader = threading.Thread(target=read, args=(server, len(head) + 6_553_600))
        reader.start()
        client.sendall(head)
        for _index in range(100):
            client.sendall(bytes(65_536))
        reader.join()
        server.sendall(answer(201))
        read(client, len(answer(201)))
        exchange(client, server, get("/next"), answer(202))
    yield


@scenario
def threads(_: Path) -> Iterator[None]:
    """Several connections at once, each in a thread of its own on either side."""

    def serve(server: socket.socket, name: int) -> None:
        for index in range(3):
            read(server, len(get(f"/thread{name}/{index}")))
            time.sleep(0.01)
            server.sendall(answer(200 + 10 * name + index))

    def ask(client: socket.socket, name: int) -> None:
        for index in range(3):
            client.sendall(get(f"/thread{name}/{index}"))
            read(client, len(answer(200)))

    yield
    with listen() as listener, ExitStack() as stack:
        pairs = [stack.enter_context(pair(listener)) for _ in range(4)]
        workers = [
            threading.Thread(target=do, args=(side, name))
            for name, sides in enumerate(pairs)
            for do, side in zip((ask, serve), sides, strict=True)
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    yield


def record(name: str, bpftrace: str, target: Path) -> None:
    """Write what bpftrace printed, without the lines that a recording has beside it."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        steps = SCENARIOS[name](folder)
        next(steps)
        (folder / "run").mkdir()
        settings = ("--set", f"ports={PORT},{PROXY}", "--bpftrace", bpftrace, "--interval", "60s")
        run = Run(folder / "run", "http", "--output", "out.jsonl", "--record", "run.rec", *settings).ready()
        next(steps)
        code, _, said = run.stop()
        for _ in steps:
            pass
        assert code == 0, said
        lines = (folder / "run" / "run.rec").read_bytes().splitlines()
    kept = [line for line in lines if not line.startswith(b'{"type":"')]
    target.write_bytes(b"".join(line + b"\n" for line in kept))
    print(f"{name}: {len(kept)} lines, {target.stat().st_size} bytes; {said.strip()}", flush=True)


if __name__ == "__main__":
    where = Path(sys.argv[1])
    where.mkdir(parents=True, exist_ok=True)
    for chosen in sys.argv[3:] or SCENARIOS:
        record(chosen, sys.argv[2], where / f"{chosen}.json")
