#!/usr/bin/env python3
"""Talks to an echo server with a client that is not ours: echo_client.py SERVER [ARGUMENT...]

Starts the server, sends 100 KiB through netcat (or Python's own socket where there is none), and compares.
"""
import hashlib
import re
import shutil
import socket
import subprocess
import sys
import threading

CONNECTIONS = 3
DEADLINE_S = 60


def with_netcat(netcat, port, data):
    return subprocess.run([netcat, "-N", "127.0.0.1", str(port)], input=data, stdout=subprocess.PIPE,
                          timeout=DEADLINE_S, check=True).stdout


def with_python(port, data):
    with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S) as connection:
        def send():
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
        sender = threading.Thread(target=send)
        sender.start()
        echoed = b"".join(iter(lambda: connection.recv(65536), b""))
        sender.join()
    return echoed


def main():
    netcat = shutil.which("nc.openbsd") if sys.platform != "win32" else None
    if sys.platform != "win32" and not netcat:
        sys.exit("FAIL echo: no nc.openbsd here (Debian: netcat-openbsd)")
    server = subprocess.Popen([*sys.argv[1:], "--connections", str(CONNECTIONS)], stdout=subprocess.PIPE, text=True)
    deadline = threading.Timer(DEADLINE_S, server.kill)
    deadline.start()
    try:
        line = server.stdout.readline().strip()
        match = re.fullmatch(r"listening on 127\.0\.0\.1:(\d+)", line)
        if not match:
            sys.exit(f"FAIL echo: expected 'listening on 127.0.0.1:PORT', came {line!r}")
        port = int(match[1])
        for number in range(CONNECTIONS):
            data = b"".join(hashlib.sha256(b"%d %d" % (number, i)).digest() for i in range(100 * 1024 // 32))
            echoed = with_netcat(netcat, port, data) if netcat else with_python(port, data)
            if echoed != data:
                sys.exit(f"FAIL echo: sent {len(data)} bytes, came {len(echoed)} back, or other ones")
        code = server.wait(timeout=DEADLINE_S)
        if code != 0:
            sys.exit(f"FAIL echo: the server ended with {code}")
    finally:
        deadline.cancel()
        server.kill()
    print(f"PASS echo: {CONNECTIONS} times {len(data)} bytes by {netcat or 'Python'}, every one exact")


main()
