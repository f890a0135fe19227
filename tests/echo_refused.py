#!/usr/bin/env python3
"""What an echo server does about connections that cannot be registered:
   echo_refused.py SERVER LIBRARY
LIBRARY (tests/refuse_add.c), preloaded, lets epoll refuse every third of them. Each of those is closed, the others are
served, and the server goes on. Linux only.
"""
import os
import re
import socket
import subprocess
import sys

CLIENTS = 12
REFUSED = CLIENTS // 3
DEADLINE_S = 60


def fail(text):
    sys.exit(f"FAIL echo_refused: {text}")


def is_served(client):
    """True when it is sent back what it sends, False when it is closed instead."""
    try:
        client.sendall(b"hello")
        answer = client.recv(5)
    except (ConnectionResetError, BrokenPipeError):
        return False
    if answer not in (b"hello", b""):
        fail(f"the answer is {answer!r}")
    return answer != b""


def check(server):
    match = re.fullmatch(r"listening on 127\.0\.0\.1:(\d+)\n", server.stdout.readline())
    if not match:
        fail("expected 'listening on 127.0.0.1:PORT'")
    clients = [socket.create_connection(("127.0.0.1", int(match[1])), timeout=DEADLINE_S) for _ in range(CLIENTS)]
    served = [client for client in clients if is_served(client)]
    if len(served) != CLIENTS - REFUSED:
        fail(f"{len(served)} of {CLIENTS} clients are served, with {REFUSED} refused")
    if not all(is_served(client) for client in served):
        fail("a connection that was served is no longer")
    for client in clients:
        client.close()
    if server.wait(timeout=DEADLINE_S) != 0:
        fail(f"the server ended with {server.returncode}")
    print(f"PASS echo_refused: {len(served)} clients served, {REFUSED} closed")


def main():
    server = subprocess.Popen([sys.argv[1], "--connections", str(CLIENTS - REFUSED)], stdout=subprocess.PIPE, text=True,
                              env={**os.environ, "LD_PRELOAD": sys.argv[2]})
    try:
        check(server)
    finally:
        server.kill()
        server.wait()


main()
