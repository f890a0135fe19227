#!/usr/bin/env python3
"""Mechanical style is a check, so that reviews can talk about design. Prints each breach and fails if there is one."""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
SYSTEM_HEADER = re.compile(r"#\s*include\s*<(windows|win\w+|ws2\w*|mswsock|psapi|sys/\w+|netinet/\w+|unistd|fcntl|poll)\.h>")
LINES_MAX = 400


def tracked(*patterns):
    listing = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard", *patterns], cwd=ROOT,
                             capture_output=True, text=True, check=True).stdout.split("\n")
    return [name for name in listing if name and (ROOT / name).exists()]


def breaches_in_source(name, text):
    lines = text.split("\n")
    is_gate = name.startswith("poc/")
    if not lines[0].startswith("// SPDX-License-Identifier: MIT") and not name.endswith((".h", ".c")):
        yield 1, "the first line is not the licence"
    if name.endswith(".hpp") and "#pragma once" not in lines:
        yield 1, "a header without #pragma once"
    if len(lines) - 1 > LINES_MAX and not is_gate:
        yield len(lines) - 1, f"more than {LINES_MAX} lines: two things may live here in one room"
    for number, line in enumerate(lines, 1):
        if is_gate and re.match(r'#\s*include\s*("|<reactor|<doctest)', line):
            yield number, "a gate includes only system headers and the standard library"
        # design.md: no operating-system header in a public header, in afd/, or in the types of nt/.
        if name.startswith("reactor/") and SYSTEM_HEADER.match(line):
            if name.endswith(".hpp") or name.startswith("reactor/afd/"):
                yield number, "an operating-system header where there must be none"
        if name.startswith("tests/") and re.search(r"\bsleep_(for|until)\b|\busleep\(|\bSleep\(", line):
            yield number, "a test that sleeps: wait for the event with a deadline"


def breaches_in_page(name, text):
    for number, line in enumerate(text.split("\n"), 1):
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", line):
            if not re.match(r"[a-z]+:", target) and not ((ROOT / name).parent / target).exists():
                yield number, f"a link to nowhere: {target}"


def main():
    count = 0
    for patterns, check in ((("*.cpp", "*.hpp", "*.c", "*.h"), breaches_in_source), (("*.md",), breaches_in_page)):
        for name in tracked(*patterns):
            for number, what in check(name, (ROOT / name).read_text(encoding="utf-8")):
                print(f"{name}:{number}: {what}")
                count += 1
    sys.exit(1 if count else 0)


main()
