#!/usr/bin/env python3
"""Mechanical style is a check, so that reviews can talk about design. Prints each breach and fails if there is one."""
import fnmatch
import pathlib
import re
import subprocess
import sys

import mutations

ROOT = pathlib.Path(__file__).resolve().parent.parent
WINDOWS_HEADER = "reactor/nt/windows.hpp"  # includes what Windows has, and counts as one of its headers
SYSTEM_HEADER = re.compile(r"#\s*include\s*<((windows|win\w+|ws2\w*|mswsock|psapi|sys/\w+|netinet/\w+|unistd|fcntl|poll)\.h|reactor/nt/windows\.hpp)>")
LINES_MAX = 400
FACTS = "docs/kernel-facts.md"
SUITE_TABLE = "\n## What kernel_test asks and no gate does\n"
FACT = re.compile(r"^\| `([\w.]+)` \|", re.MULTILINE)
# Words that this project has a plain or a standard word for, and folders that are free of them. A folder is added when
# it is clean.
WORDS = {
    r"tells?|told|tellings?": "report, deliver",
    r"nobody|somebody|anybody|whoever": "the kernel, the caller, no thread",
    r"rooms?": "buffer, space",
    r"hears?|heard": "wanted, current",
    r"troubles?": "error",
    r"patience|heat": "time limit, activity",
    r"silent(?:ly)?|silence[ds]?": "disarmed",
    r"struck": "removed, failed",
    r"mischief": "fault injection",
    r"doors?|visitors?": "listener, client",
    r"gives? back|given back|giving back": "release, complete",
    r"says? so": "report, return",
    r"no telling": "cannot be determined",
    r"answers? in the call|answered in the call": "completed synchronously",
}
PLAIN_FOLDERS = (".ci/", "bench/", "cmake/", "examples/", "docs/", "poc/", "reactor/", "scripts/", "tests/", "README.md", "CHANGELOG.md", "CONTRIBUTING.md")
# A word in its ordinary meaning: (a file, a part of its line).
ORDINARY = (
    ("scripts/check_house.py", ""),
    ("scripts/arm64.sh", "--silent"),
    ("examples/loop_chat.cpp", "oom"),  # a chat room
)
WORD = re.compile(r"(?<![a-z])(?:" + "|".join(f"({word})" for word in WORDS) + r")(?![a-z])", re.IGNORECASE)
TEST_NAME = re.compile(r'TEST_CASE(?:_TEMPLATE)?\(\s*"([^":]*)')


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
        yield len(lines) - 1, f"more than {LINES_MAX} lines: it may be about two things"
    for number, line in enumerate(lines, 1):
        if not line.isascii():
            yield number, "a character that is not ASCII: MSVC reads it by the machine's code page (C4819)"
        if is_gate and re.match(r'#\s*include\s*("|<reactor|<doctest)', line):
            yield number, "a gate includes only system headers and the standard library"
        # No operating-system header in a public C++ header, in afd/, or in the types of nt/.
        if name.startswith("reactor/") and name != WINDOWS_HEADER and SYSTEM_HEADER.match(line):
            if name.endswith(".hpp") or name.startswith("reactor/afd/"):
                yield number, "an operating-system header where there must be none"
        # An older msvcp140.dll in a host of another language cannot lock a std::mutex of a newer compiler.
        in_dll = re.match(r"reactor/(afd|capi|net(?!/\w+_signals)|notify|nt)/|reactor/(?!mutex\.)\w+\.[ch]pp$", name)
        if in_dll and re.search(r"\bstd::(\w+_)?(mutex|condition_variable|once_flag|call_once)\b", line):
            yield number, "a lock of the standard library: Mutex of reactor/mutex.hpp is for all systems"
        if name.startswith("tests/") and re.search(r"\bthis_thread::sleep_|\busleep\(|\bSleep\(", line):
            yield number, "a test that sleeps: wait for the event with a deadline"


def words_in(text):
    """Yields the line and what to write instead, for each word that is to be replaced."""
    for number, line in enumerate(text.split("\n"), 1):
        for match in WORD.finditer(line):
            yield number, line, f'"{match[0]}": write {list(WORDS.values())[match.lastindex - 1]}'


def breaches_of_plain_words():
    """docs and comments are for readers who learned English at school: one standard word for each thing."""
    if [what for _, _, what in words_in("nobody is told\nhas_room\nthe kernel reports")] != [
            '"nobody": write the kernel, the caller, no thread', '"told": write report, deliver', '"room": write buffer, space']:
        yield "scripts/check_house.py", 1, "the check of words finds other words than it should"
    for name in tracked():
        if not name.startswith(PLAIN_FOLDERS) or name.startswith("tests/fuzz/corpus/"):
            continue
        for number, line, what in words_in((ROOT / name).read_text(encoding="utf-8")):
            if not any(name == file and part in line for file, part in ORDINARY):
                yield name, number, what


def breaches_in_kernel_suite():
    """Each test of tests/kernel is named after rows of kernel-facts, and each row that only the suite asks has a test."""
    page = (ROOT / FACTS).read_text(encoding="utf-8")
    facts, asked = FACT.findall(page), set()
    for name in tracked("tests/kernel/*.cpp"):
        text = (ROOT / name).read_text(encoding="utf-8")
        for test in TEST_NAME.finditer(text):
            for row in test[1].split(", "):
                found = fnmatch.filter(facts, row)
                asked.update(found)
                if not found:
                    yield name, text.count("\n", 0, test.start()) + 1, f"the test's name is no row of {FACTS}: {row}"
    for row in FACT.findall(page.partition(SUITE_TABLE)[2]):
        if row not in asked:
            yield FACTS, page.count("\n", 0, page.index(f"`{row}`")) + 1, f"no test of tests/kernel asks this: {row}"


def main():
    found = [*breaches_in_kernel_suite(), *breaches_of_plain_words()]
    found += (("scripts/mutations.py", 1, what) for what in mutations.breaches())
    for name in tracked("*.cpp", "*.hpp", "*.c", "*.h"):
        found += ((name, *breach) for breach in breaches_in_source(name, (ROOT / name).read_text(encoding="utf-8")))
    for name, number, what in found:
        print(f"{name}:{number}: {what}")
    sys.exit(1 if found else 0)


main()
