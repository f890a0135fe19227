#!/usr/bin/env python3
"""What an echo server does when it has no descriptors left, and about connections that are reset:
   echo_pressure.py SERVER
Starts it with a few descriptors, connects more clients than it can accept, and checks that it goes on serving those it
has, uses no CPU meanwhile, and serves the others when descriptors are free again. Linux only.
"""
import os
import re
import resource
import select
import socket
import struct
import subprocess
import sys

DESCRIPTORS = 32
CLIENTS = 60
DEADLINE_S = 60
QUIET_S = 0.5
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: on, no time


def fail(text):
    sys.exit(f"FAIL echo_pressure: {text}")


def limit():
    resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))


def ticks(process):
    with open(f"/proc/{process.pid}/stat", encoding="ascii") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])  # utime, stime


def echoed(client, data):
    client.sendall(data)
    came = b""
    while len(came) < len(data):
        part = client.recv(len(data))
        if not part:
            return False
        came += part
    return came == data


def check(server):
    line = server.stdout.readline().strip()
    match = re.fullmatch(r"listening on 127\.0\.0\.1:(\d+)", line)
    if not match:
        fail(f"expected 'listening on 127.0.0.1:PORT', came {line!r}")
    address = ("127.0.0.1", int(match[1]))
    clients = [socket.create_connection(address, timeout=DEADLINE_S) for _ in range(CLIENTS)]
    for number, client in enumerate(clients):
        client.sendall(b"%08d" % number)

    # Those that were accepted are answered; a pause without an answer ends that.
    poll, answered = select.poll(), set()
    for client in clients:
        poll.register(client, select.POLLIN)
    while ready := poll.poll(1000 * QUIET_S):
        for number in (i for i, client in enumerate(clients) if client.fileno() in dict(ready)):
            if clients[number].recv(8) != b"%08d" % number:
                fail("a wrong answer")
            answered.add(number)
    if not DESCRIPTORS / 2 < len(answered) < DESCRIPTORS:
        fail(f"{len(answered)} clients answered with {DESCRIPTORS} descriptors")

    before = ticks(server)
    poll.poll(1000 * QUIET_S)
    used = (ticks(server) - before) / os.sysconf("SC_CLK_TCK")
    if used > QUIET_S / 5:
        fail(f"{used} s of CPU in {QUIET_S} s without descriptors: it spins")
    for number in answered:
        if not echoed(clients[number], b"still here"):
            fail("a connection that was served is no longer")

    # Half of them end by a reset, half by FIN; then the others are accepted.
    for number in sorted(answered):
        if number % 2 == 0:
            clients[number].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        clients[number].close()
    for number in set(range(CLIENTS)) - answered:
        if clients[number].recv(8) != b"%08d" % number or not echoed(clients[number], b"late"):
            fail("a client that had to wait is not served")
        clients[number].close()
    if server.wait(timeout=DEADLINE_S) != 0:
        fail(f"the server ended with {server.returncode}")
    print(f"PASS echo_pressure: {CLIENTS} clients of a server with {DESCRIPTORS} descriptors; "
          f"{len(answered)} at first, {used} s of CPU while it could not accept")


def main():
    server = subprocess.Popen([sys.argv[1], "--connections", str(CLIENTS)], stdout=subprocess.PIPE, text=True,
                              preexec_fn=limit)
    try:
        check(server)
    finally:
        server.kill()
        server.wait()


main()
