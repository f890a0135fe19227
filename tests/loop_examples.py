#!/usr/bin/env python3
"""Tests an example of reactor::loop with clients that are not ours: loop_examples.py NAME PROGRAM [ARGUMENT...]

curl, netcat, socat and wrk, where they are needed and there; PROGRAM may be a Windows program that Wine runs.
"""
import contextlib
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

DEADLINE_S = 60


def fail(what):
    sys.exit(f"FAIL {sys.argv[1]}: {what}")


def expect(condition, what):
    if not condition:
        fail(what)


@contextlib.contextmanager
def running(*command):
    """The program, and the port on which it says that it listens."""
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    deadline = threading.Timer(DEADLINE_S, server.kill)
    deadline.start()
    try:
        line = server.stdout.readline().strip()
        match = re.fullmatch(r"listening on 127\.0\.0\.1:(\d+)", line)
        expect(match, f"expected 'listening on 127.0.0.1:PORT', came {line!r}")
        yield server, int(match[1])
    finally:
        deadline.cancel()
        server.kill()
        server.wait()


def client(name, *arguments, data=None):
    if not shutil.which(name):
        fail(f"no {name} here")
    return subprocess.run([name, *arguments], input=data, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          timeout=DEADLINE_S, check=False).stdout


def netcat(port, data):
    return client("nc.openbsd", "-N", "127.0.0.1", str(port), data=data)


def echo(command):
    data = bytes(range(256)) * 400
    with running(*command) as (_, port):
        for _ in range(3):
            expect(netcat(port, data) == data, "netcat got something else back")
        expect(client("socat", "-t", "10", "-", f"TCP:127.0.0.1:{port}", data=data) == data, "socat got something else")


def mailbox(command):
    with running(*command) as (_, port):
        lines = b"".join(b"line %d of many\n" % i for i in range(2000))
        expect(netcat(port, lines) == lines.upper(), "the replies are other ones, or in another order")


class Lines:
    """A client that stays: netcat, whose lines are read as they come."""

    def __init__(self, port):
        self.process = subprocess.Popen(["nc.openbsd", "127.0.0.1", str(port)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE)

    def say(self, line):
        self.process.stdin.write(line)
        self.process.stdin.flush()

    def until(self, ending):
        for line in iter(self.process.stdout.readline, b""):
            if line.endswith(ending):
                return
        fail(f"{ending!r} has not come")

    def leave(self):
        self.process.kill()
        self.process.wait()


def chat(command):
    with running(*command) as (_, port):
        one = Lines(port)
        one.until(b"has come\n")
        other = Lines(port)
        other.until(b"has come\n")
        one.until(b"has come\n")
        one.say(b"hello\n")
        other.until(b": hello\n")
        other.say(b"and you\n")
        one.until(b": and you\n")
        other.leave()
        one.until(b" has left\n")
        one.leave()


def proxy(command):
    data = bytes(range(256)) * 20000  # more than all buffers on the way take
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(DEADLINE_S)

        def serve():
            peer, _ = server.accept()
            with peer:
                received = b""
                while piece := peer.recv(65536):
                    received += piece
                    if len(received) < 1 << 20:
                        time.sleep(0.005)  # a slow reader
                peer.sendall(received[::-1])

        thread = threading.Thread(target=serve)
        thread.start()
        with running(*command, f"127.0.0.1:{server.getsockname()[1]}") as (_, port):
            expect(netcat(port, data) == data[::-1], "what came through the proxy is something else")
            thread.join()


def ports(command):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        first = max(1, port - 500)
        done = subprocess.run([*command, f"127.0.0.1:{first}", "1000", "--timeout-ms", "5000"], capture_output=True,
                              text=True, timeout=DEADLINE_S, check=True)
        expect(f"127.0.0.1:{port} is open\n" in done.stdout, "the open port was not found")
        match = re.search(r"^(\d+) checked: (\d+) open, (\d+) refused, (\d+) timed out, (\d+) failed$", done.stdout, re.M)
        expect(match and int(match[1]) >= min(1000, 65536 - first), f"came {done.stdout!r}")
        expect(sum(map(int, match.groups()[1:])) == int(match[1]), "the sums differ")


def ask(connection, request):
    connection.sendall(request)
    answer = b""
    while b"\r\n\r\n" not in answer:
        piece = connection.recv(4096)
        if not piece:
            break
        answer += piece
    return answer


def http(command):
    hello = "http://127.0.0.1:{}/".format
    with running(*command, "--idle-ms", "1500", "--connections-max", "70") as (server, port):
        expect(client("curl", "-s", hello(port), hello(port)) == b"Hello, World!\n" * 2, "curl got something else")
        verbose = client("curl", "-sv", hello(port), hello(port))
        expect(b"Re-using existing connection" in verbose, "the connection was not kept")
        expect(b" 404 " in client("curl", "-si", hello(port) + "x"), "no 404")
        expect(b" 200 " in client("curl", "-si", "-d", "x" * 20000, hello(port)), "a body is not accepted")
        expect(b"\r\nConnection: close\r\n" in client("curl", "-si", "-0", hello(port)), "HTTP/1.0 is kept open")
        with socket.create_connection(("127.0.0.1", port), DEADLINE_S) as raw:
            expect(b" 400 " in ask(raw, b"what is this\r\n\r\n"), "no 400")
            expect(raw.recv(1) == b"" or raw.recv(100) is not None, "not closed")
        with socket.create_connection(("127.0.0.1", port), DEADLINE_S) as raw:
            expect(b" 400 " in ask(raw, b"GET / HTTP/1.1\r\nx: " + b"y" * 9000), "a head without an end is accepted")
        if shutil.which("wrk"):
            said = client("wrk", "-t1", "-c64", "-d2s", hello(port)).decode()
            expect("Socket errors" not in said and "Non-2xx" not in said, said)
            expect(int(re.search(r"(\d+) requests in", said)[1]) > 100, said)
        # More than the limit: those wait until others leave, here by their idle time-out.
        crowd = [socket.create_connection(("127.0.0.1", port), DEADLINE_S) for _ in range(70)]
        with socket.create_connection(("127.0.0.1", port), DEADLINE_S) as late:
            begin = time.monotonic()
            expect(b" 200 " in ask(late, b"GET / HTTP/1.1\r\n\r\n"), "the connection beyond the limit was not served")
            expect(time.monotonic() - begin > 0.5, "the limit is none")
        for each in crowd:
            expect(each.recv(1) == b"", "an idle connection was not closed")
            each.close()
        # A request that is under way at Ctrl-C is served; what is idle is closed.
        with socket.create_connection(("127.0.0.1", port), DEADLINE_S) as idle, \
             socket.create_connection(("127.0.0.1", port), DEADLINE_S) as busy:
            expect(b" 200 " in ask(idle, b"GET / HTTP/1.1\r\n\r\n"), "no answer")
            busy.sendall(b"POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\nab")
            time.sleep(0.2)
            if command[0].endswith("wine.sh"):
                return  # no signal of this side is a console event there
            server.send_signal(signal.SIGINT)
            while idle.recv(4096):
                pass
            expect(b" 200 " in ask(busy, b"cd"), "the request that was under way got no answer")
            rest = server.stdout.read()
            expect(server.wait(DEADLINE_S) == 0 and "ended in order" in rest, f"came {rest!r}")


def http_idle(command):
    """10,000 connections that have been served once stay open while wrk keeps others busy; REACTOR_WRK_S: for how long."""
    count = 10_000
    need = count + 1000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < need:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, need))
            hard = need
    if hard != resource.RLIM_INFINITY and hard < need:
        print(f"SKIP loop_http_idle: a process may open {hard} files here, {need} are needed")
        return
    resource.setrlimit(resource.RLIMIT_NOFILE, (need, hard))  # the server inherits it
    request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    with running(*command) as (server, port):
        idle = []
        for _ in range(count):
            idle.append(socket.create_connection(("127.0.0.1", port), DEADLINE_S))
            expect(b" 200 " in ask(idle[-1], request), "no answer")
        said = client("wrk", "-t1", "-c64", f"-d{os.environ.get('REACTOR_WRK_S', '2')}s", f"http://127.0.0.1:{port}/").decode()
        expect("Socket errors" not in said and "Non-2xx" not in said, said)
        print(said)
        for each in idle:
            expect(b" 200 " in ask(each, request), "a connection that was idle is not served any more")
        server.send_signal(signal.SIGINT)
        expect(server.wait(DEADLINE_S) == 0, "it did not end in order")
        for each in idle:
            each.close()


def tls(command):
    with tempfile.TemporaryDirectory() as folder:
        certificate, key = f"{folder}/certificate.pem", f"{folder}/key.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days",
                        "1", "-subj", "/CN=localhost", "-keyout", key, "-out", certificate], check=True, capture_output=True)
        data = b"".join(b"line %d\n" % i for i in range(20_000))
        with running(*command, certificate, key) as (_, port):
            for version in ("-tls1_2", "-tls1_3"):
                with subprocess.Popen(["openssl", "s_client", "-quiet", "-no_ign_eof", version, "-CAfile", certificate,
                                       "-verify_return_error", "-connect", f"127.0.0.1:{port}"],
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as one:
                    # The lines come back while it sends, and its input stays open until the last has.
                    sender = threading.Thread(target=lambda: (one.stdin.write(data), one.stdin.flush()))
                    sender.start()
                    expect(one.stdout.read(len(data)) == data, f"openssl s_client {version} got something else back")
                    sender.join()
                    one.stdin.close()
                    expect(one.wait(DEADLINE_S) == 0, f"openssl s_client {version} did not end in order")


TESTS = {"loop_echo": echo, "loop_mailbox": mailbox, "loop_chat": chat, "loop_proxy": proxy, "loop_ports": ports,
         "loop_http": http, "loop_http_idle": http_idle, "loop_tls": tls}
TESTS[sys.argv[1]](sys.argv[2:])
print(f"PASS {sys.argv[1]}")
