#!/usr/bin/env python3
"""The first C++ program in README.md is examples/first_program.cpp, which is built and run as a test. Prints what differs."""
import difflib
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent


def main():
    source = (ROOT / "examples/first_program.cpp").read_text(encoding="utf-8")
    program = source.removeprefix("// SPDX-License-Identifier: MIT\n").strip().split("\n")
    block = re.search(r"^```cpp\n(.*?)^```$", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    if not block:
        sys.exit("README.md: no ```cpp block; it should show examples/first_program.cpp")
    shown = block[1].strip().split("\n")
    difference = list(difflib.unified_diff(program, shown, "examples/first_program.cpp", "README.md", lineterm=""))
    if difference:
        print("\n".join(difference))
        sys.exit(1)


main()
