#!/usr/bin/env python3
"""Size and compile time, beside Asio, libuv and wepoll: the same echo server (examples/coming_from), without its test client.

usage: size.py [--wepoll FOLDER] [--repeat N] [--doc]      scripts/bench.sh --size

Sizes are of programs that are linked statically and stripped, and of the stripped shared libraries. Seconds are CPU time of the
compiler for one source file, the median of N turns, in each of which all programs are compiled once; beside them the same as a
share of the Poller's program of that system in the same turn, which another machine should answer alike. FOLDER has wepoll.c
and wepoll.h. What is not found is left out. --doc writes docs/performance/size.md.
"""
import argparse
import pathlib
import re
import resource
import shutil
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
OUT = ROOT / "build/bench/size"
PAGE = ROOT / "docs/performance/size.md"
OURS = "#include <reactor/poller.hpp>\n#include <reactor/socket.hpp>\n"
MINGW = "x86_64-w64-mingw32-g++-posix"
MAINS = {
    "epoll": ("", "echo_with_epoll(socket(AF_INET, SOCK_STREAM, 0));"),
    "poller": (OURS, "echo_with_poller(TcpListener::bind(reactor::Address::loopback_ipv4()).value());"),
    "loop": ("", "auto loop = reactor::Loop::create().value();\n(void)loop.run(run(TcpListener::bind(reactor::Address::loopback_ipv4()).value()));"),
    "asio": ("", "asio::io_context context;\nco_spawn(context, serve_with_asio(tcp::acceptor(context, {tcp::v4(), 0}), context), asio::detached);\ncontext.run();"),
    "libuv": ("", "uv_loop_t loop;\nuv_loop_init(&loop);\nuv_tcp_t listener;\nuv_tcp_init(&loop, &listener);\n"
              "uv_listen(reinterpret_cast<uv_stream_t*>(&listener), 16, on_connection);\nuv_run(&loop, UV_RUN_DEFAULT);"),
    "wepoll": ("", "WSADATA data;\nWSAStartup(0x0202, &data);\necho_with_wepoll(socket(AF_INET, SOCK_STREAM, 0));"),
}


def run(command, **more):
    done = subprocess.run([str(part) for part in command], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, **more)
    if done.returncode:
        sys.exit(f"FAIL size: exit code {done.returncode} from {' '.join(map(str, command))}\n{done.stdout[-3000:]}")


def cpu_seconds(command):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run(command)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def source_of(name):
    """The program of docs/coming-from.md with a main of its own."""
    if name == "readme":
        return ROOT / "examples/first_program.cpp"
    text = (ROOT / f"examples/coming_from/{name}.cpp").read_text(encoding="utf-8")
    includes, body = MAINS[name]
    text = text[:text.index("int main()")].replace('#include "client.hpp"\n', includes)
    file = OUT / f"{name}.cpp"
    file.write_text(f"{text}int main() {{\n{body}\n}}\n", encoding="utf-8")
    return file


def build_library(system, shared):
    folder = OUT / f"{system}-{'shared' if shared else 'static'}"
    toolchain = [f"-DCMAKE_TOOLCHAIN_FILE={ROOT}/cmake/mingw-w64-x86-64.cmake"] if system == "windows" else []
    run(["cmake", "-S", ROOT, "-B", folder, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release", "-DREACTOR_TESTS=OFF", "-DREACTOR_EXAMPLES=OFF",
         "-DREACTOR_SIM=OFF", "-DREACTOR_GATES=OFF", "-DREACTOR_CARES=OFF", f"-DBUILD_SHARED_LIBS={'ON' if shared else 'OFF'}", *toolchain])
    run(["cmake", "--build", folder])
    return folder / "reactor"


def size_of(file, strip="strip"):
    stripped = OUT / f"{file.name}.stripped"
    run([strip, "-o", stripped, file])
    return stripped.stat().st_size


def has_header(header):
    return subprocess.run(["g++", "-E", "-x", "c++", "-"], input=f"#include <{header}>\n", text=True, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL, check=False).returncode == 0


def programs(wepoll):
    """Name, compiler, what is linked, what it is called."""
    static = build_library("linux", False)
    yield "epoll", "g++", [], "epoll"
    yield "poller", "g++", [static / "libreactor.a"], "reactor::Poller"
    yield "readme", "g++", [static / "libreactor.a"], "reactor::Poller: the program of README.md"
    yield "loop", "g++", [static / "libreactor_loop.a", static / "libreactor.a"], "reactor::Loop, coroutines"
    if has_header("asio.hpp"):
        yield "asio", "g++", [], "Asio, coroutines"
    if has_header("uv.h"):
        yield "libuv", "g++", ["-luv_a" if any(pathlib.Path("/usr/lib").glob("*/libuv_a.a")) else "-luv", "-ldl"], "libuv"
    if shutil.which(MINGW):
        windows = build_library("windows", False)
        yield "poller", MINGW, [windows / "libreactor.a", "-lws2_32"], "reactor::Poller, Windows"
        yield "wepoll", MINGW, [windows / "libreactor_epoll.a", windows / "libreactor.a", "-lws2_32"], "wepoll.h of this library, Windows"
        if wepoll:
            for header in ("WS2tcpip.h", "WinSock2.h", "Windows.h"):  # as wepoll spells them, which Windows lets pass
                (OUT / "spelled").mkdir(exist_ok=True)
                (OUT / "spelled" / header).write_text(f"#include <{header.lower()}>\n", encoding="utf-8")
            run([MINGW.replace("g++", "gcc"), "-O2", f"-I{OUT}/spelled", "-c", wepoll / "wepoll.c", "-o", OUT / "wepoll.o"])
            version = re.search(r"v([\d.]+)", (wepoll / "version.txt").read_text()) if (wepoll / "version.txt").exists() else None
            yield "wepoll", MINGW, [OUT / "wepoll.o", "-lws2_32"], f"wepoll {version[1] if version else ''}".rstrip() + ", Windows"


def measure(given):
    OUT.mkdir(parents=True, exist_ok=True)
    entries = list(programs(given.wepoll))
    seconds = {label: [] for *_, label in entries}
    rows = []
    for turn in range(given.repeat):
        for name, compiler, libraries, label in entries:
            compat = given.wepoll if OUT / "wepoll.o" in libraries else ROOT / "reactor/compat"
            objects = OUT / f"{re.sub('[^a-z]+', '_', label.lower())}.o"
            seconds[label].append(cpu_seconds([compiler, "-std=c++23", "-O2", "-DASIO_STANDALONE", f"-I{ROOT}", f"-I{compat}", "-c",
                                               source_of(name), "-o", objects]))
            if turn == 0:
                program = objects.with_suffix(".exe" if compiler == MINGW else "")
                run([compiler, "-static", objects, "-o", program, *libraries, "-pthread"])
                rows.append((label, size_of(program, MINGW.replace("g++-posix", "strip") if compiler == MINGW else "strip")))
    shared = build_library("linux", True)
    libraries = [(f"lib{name}.so", size_of((shared / f"lib{name}.so").resolve())) for name in ("reactor", "reactor_loop")]
    shares = {}
    for label, turns in seconds.items():
        base = seconds["reactor::Poller, Windows" if label.endswith("Windows") else "reactor::Poller"]
        shares[label] = statistics.median(mine / its for mine, its in zip(turns, base))
    return [(label, size, statistics.median(seconds[label]), shares[label]) for label, size in rows], libraries


def page(rows, libraries, repeat):
    version = subprocess.run(["g++", "-dumpfullversion"], text=True, stdout=subprocess.PIPE, check=True).stdout.strip()
    lines = ["# Size and compile time", "",
             "Written by `scripts/bench.sh --size --doc --wepoll FOLDER`. The echo server of [coming-from.md](../coming-from.md) without its",
             f"test client, compiled by GCC {version} with `-std=c++23 -O2` (Windows: MinGW), linked with `-static` and stripped. Most of a static",
             f"program is the C and the C++ runtime: compare the rows of one system. Seconds are CPU time of the compiler, the median of {repeat}",
             "turns; the last column is the same as a share of the Poller's program of that system in the same turn.", "",
             "| program on | stripped static program, KiB | compile, s | share of Poller's |", "| --- | ---: | ---: | ---: |"]
    lines += [f"| {label} | {size / 1024:.0f} | {time:.2f} | {share:.2f} |" for label, size, time, share in rows]
    lines += ["", "| shared library | stripped, KiB |", "| --- | ---: |"]
    lines += [f"| {name} | {size / 1024:.0f} |" for name, size in libraries]
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench.sh --size", allow_abbrev=False)
    parser.add_argument("--wepoll", type=pathlib.Path, metavar="FOLDER")
    parser.add_argument("--repeat", type=int, default=5, metavar="N")
    parser.add_argument("--doc", action="store_true")
    given = parser.parse_args()
    text = page(*measure(given), given.repeat)
    print(text)
    if given.doc:
        PAGE.write_text(text, encoding="utf-8")


main()
