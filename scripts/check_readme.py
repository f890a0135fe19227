#!/usr/bin/env python3
"""README.md says what works:  check_readme.py [--run]

The first C++ program in it is examples/first_program.cpp, which is built and run as a test. The wake for both systems in docs/epoll.md is the one of tests/epoll/post_test.c.

With --run, also README's commands (cmake, export, g++) that are marked "run by scripts/check_readme.py", and its CMake
lines: as written, one after the other, in a clone that has nothing but what is in git, with a home folder of their own.
"""
import difflib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
SELF = "scripts/check_readme.py"
BLOCK = re.compile(r"^(?:<!-- (?P<who>[^\n]*) -->\n)?```(?P<language>\w+)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)
PROJECT = """cmake_minimum_required(VERSION 3.25)
project(app LANGUAGES CXX)
add_executable(app app.cpp)
"""


def check_program(text):
    source = (ROOT / "examples/first_program.cpp").read_text(encoding="utf-8")
    program = source.removeprefix("// SPDX-License-Identifier: MIT\n").strip().split("\n")
    shown = [block["text"] for block in BLOCK.finditer(text) if block["language"] == "cpp"]
    if not shown:
        sys.exit("README.md: no ```cpp block; it should show examples/first_program.cpp")
    difference = list(difflib.unified_diff(program, shown[0].strip().split("\n"), "examples/first_program.cpp",
                                           "README.md", lineterm=""))
    if difference:
        sys.exit("\n".join(difference))


def check_wake():
    document, test = ((ROOT / name).read_text(encoding="utf-8") for name in ("docs/epoll.md", "tests/epoll/post_test.c"))
    wake = re.search(r"^/\* docs/epoll.md: a wake for both systems \*/\n(.*?)^/\* docs/epoll.md \*/$", test,
                     re.DOTALL | re.MULTILINE)
    if wake is None or wake[1] not in document:
        sys.exit("docs/epoll.md: the wake for both systems is not the one of tests/epoll/post_test.c")


def run(command, folder, home):
    # A compiler cache asks for the compiler's name too: that of the presets.
    environment = {"CMAKE_BUILD_PARALLEL_LEVEL": str(os.cpu_count()), "CC": "gcc", "CXX": "g++", **os.environ, "HOME": str(home)}
    for name in ("CMAKE_PREFIX_PATH", "PKG_CONFIG_PATH", "CMAKE_BUILD_TYPE"):  # nothing that a reader does not have
        environment.pop(name, None)
    shown = command if isinstance(command, str) else " ".join(map(str, command))
    print(f"{folder.name}$ {shown.strip()}", flush=True)
    done = subprocess.run(command, cwd=folder, env=environment, shell=isinstance(command, str), text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode != 0:
        sys.exit(f"{done.stdout}\nFAIL check_readme: exit code {done.returncode} from: {shown.strip()}")
    return done.stdout


def clone(folder):
    """A repository with what is in git here, and what would be if it were added."""
    files = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, text=True, check=True,
                           stdout=subprocess.PIPE).stdout.split("\0")
    for name in filter(None, files):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    git = ["git", "-c", "user.name=reader", "-c", "user.email=reader@localhost"]
    for command in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-q", "-m", "a clone"], ["tag", "v0.2.0"]):
        subprocess.run(git + command, cwd=folder, check=True)


def check_app(lines, app, clone_folder, home):
    """A project of a reader's, with these lines of CMake."""
    app.mkdir()
    shutil.copy2(ROOT / "examples/first_program.cpp", app / "app.cpp")
    lines = lines.replace("<address of this repository>", str(clone_folder))
    (app / "CMakeLists.txt").write_text(PROJECT + lines, encoding="utf-8")
    run(f"cmake -B build -DCMAKE_PREFIX_PATH={home}/reactor", app, home)
    run("cmake --build build", app, home)
    check_greeting(run("build/app", app, home))


def check_greeting(output):
    if "received 6 bytes: hello" not in output:
        sys.exit(f"FAIL check_readme: the first program printed {output!r}")


def check_commands(text):
    (ROOT / "build").mkdir(exist_ok=True)
    # In the build folder, so that a compiler cache that serves the run (CCACHE_BASEDIR) knows these files too.
    with tempfile.TemporaryDirectory(dir=ROOT / "build") as name:
        home = pathlib.Path(name)
        folder = home / "clone"
        folder.mkdir()
        clone(folder)
        apps = count = 0
        for block in BLOCK.finditer(text):
            if block["language"] == "cmake":
                apps += 1
                check_app(block["text"], home / f"app{apps}", folder, home)
            elif block["language"] == "sh" and block["who"] == f"run by {SELF}":
                shutil.copy2(ROOT / "examples/first_program.cpp", folder / "app.cpp")
                run("set -e\n" + block["text"], folder, home)
                count += 1
                if (folder / "a.out").exists():
                    check_greeting(run("./a.out", folder, home))
        if apps == 0 or count == 0:
            sys.exit(f"FAIL check_readme: {count} blocks of commands and {apps} of CMake lines in README.md")
        cache = (folder / "build/CMakeCache.txt").read_text(encoding="utf-8")
        if not re.search(r"^CMAKE_BUILD_TYPE:STRING=Rel", cache, re.MULTILINE):
            sys.exit("FAIL check_readme: a plain configure does not optimise")
        print(f"PASS check_readme: {count} blocks of commands, {apps} of CMake lines")


def main():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    check_program(text)
    check_wake()
    if "--run" in sys.argv[1:]:
        check_commands(text)


main()
