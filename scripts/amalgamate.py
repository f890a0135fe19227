#!/usr/bin/env python3
"""Writes the C API as two files that need nothing else: reactor_epoll.h and reactor_epoll.cpp, and two headers that
   include the former: wepoll.h and reactor_epoll_post.h.
   scripts/amalgamate.py [FOLDER]      (build/dist when none is named)
They compile alone:
   g++ -std=c++23 -c reactor_epoll.cpp                 MinGW; link with -lws2_32
   cl /std:c++latest /EHsc /utf-8 /c reactor_epoll.cpp  MSVC, clang-cl
On Linux the source is empty, and the header includes the system's."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
LIBRARY = ROOT / "reactor"
OURS = re.compile(r'#\s*include\s*<reactor/([\w./]+)>')
HEADER = "epoll.h"

# First what includes no header of the system: some of its constants are macros there.
PORTABLE = ["result.cpp", "event.cpp", "nt/functions.cpp", "nt/status.cpp"]
WINDOWS = ["net/winsock_start.cpp", "nt/mutex.cpp", "nt/object_waits.cpp", "nt/system_kernel.cpp", "capi/last_error.cpp", "capi/port.cpp", "capi/epoll.cpp",
           "capi/epoll_post.cpp"]

HEAD = """// SPDX-License-Identifier: MIT
//
// epoll in C for Windows: the whole of it, made by scripts/amalgamate.py from the sources of reactor {version}.
// Do not edit. Compile as C++23; link with ws2_32.
#ifdef _WIN32

#include "reactor_epoll.h"

#ifdef _MSC_VER
#pragma comment(lib, "ws2_32")
#endif

// So that a program may have the library itself too.
#define reactor reactor_epoll_private
"""


def version():
    text = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    return re.search(r"project\(reactor VERSION ([\d.]+)", text).group(1)


def sources():
    parts = sorted(f"{part}/{path.name}" for part in ("afd", "notify") for path in (LIBRARY / part).glob("*.cpp"))
    found = PORTABLE + parts + WINDOWS
    assert all((LIBRARY / name).exists() for name in found), found
    return found


def inline(name, seen, lines):
    """The file, with each of our headers in the place where it is first included."""
    lines.append(f"\n// ---- reactor/{name}")
    for line in (LIBRARY / name).read_text(encoding="utf-8").splitlines():
        include = OURS.match(line)
        if include is None:
            if line not in ("#pragma once", "// SPDX-License-Identifier: MIT"):
                lines.append(line)
        elif include.group(1) not in seen and include.group(1) != HEADER:
            seen.add(include.group(1))
            inline(include.group(1), seen, lines)


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "build" / "dist")
    folder.mkdir(parents=True, exist_ok=True)
    lines, seen = HEAD.format(version=version()).splitlines(), set()
    for name in sources():
        inline(name, seen, lines)
    lines += ["", "#undef reactor", "", "#endif  // _WIN32"]
    wepoll, post = ((LIBRARY / name).read_text(encoding="utf-8").replace("<reactor/epoll.h>", '"reactor_epoll.h"')
                    for name in ("compat/wepoll.h", "epoll_post.h"))
    for name, text in (("reactor_epoll.h", (LIBRARY / HEADER).read_text(encoding="utf-8")), ("wepoll.h", wepoll),
                       ("reactor_epoll_post.h", post),
                       ("reactor_epoll.cpp", "\n".join(lines) + "\n")):
        (folder / name).write_text(text, encoding="utf-8")
        print(f"{folder / name}: {len(text.splitlines())} lines")


main()
