#!/usr/bin/env python3
"""Keeps the code of docs/cookbook.md and docs/coming-from.md equal to the examples that it is taken from, which are built and
run as tests.

usage: cookbook.py            write the code of the pages anew
       cookbook.py --check    fail if a block is not what its example has

A block stands behind a comment `<!-- from examples/FILE.cpp: NAME, NAME -->`: the functions and classes of these names, in
this order, with the comments above them. A recipe without such a block has no code of its own, so the check fails for it.
"""
import difflib
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGES = ("docs/cookbook.md", "docs/coming-from.md")
BLOCK = re.compile(r"(<!-- from (\S+): ([\w:, ]+) -->\n```cpp\n)(.*?)(^```$)", re.DOTALL | re.MULTILINE)


def definition(path, name):
    """The lines of a function or class, without the indentation that all of them have."""
    lines = (ROOT / path).read_text(encoding="utf-8").split("\n")
    starts = re.compile(rf"^(\s*)(?:(?:struct|class) {re.escape(name)}\b[^;]*|[\w:<>&*\[\], ]+ &?\*?{re.escape(name)}\([^;]*)$")
    for number, line in enumerate(lines):
        match = starts.match(line)
        if not match or line.lstrip().startswith(("return ", "if ", "//", "for ", "while ")):
            continue
        indent = match[1]
        first = number
        while lines[first - 1].lstrip().startswith("//") or lines[first - 1].startswith(f"{indent}template <"):
            first -= 1
        last = number
        if not (lines[number].endswith("}")):
            while not re.match(rf"^{indent}}};?$", lines[last]):
                last += 1
        return [line.removeprefix(indent) for line in lines[first:last + 1]]
    sys.exit(f"FAIL cookbook: {path} has no definition of {name}")


def code_of(path, names):
    return "\n\n".join("\n".join(definition(path, name.strip())) for name in names.split(",")) + "\n"


def check_or_write(name):
    file = ROOT / name
    page = file.read_text(encoding="utf-8")
    made = BLOCK.sub(lambda m: m[1] + code_of(m[2], m[3]) + m[5], page)
    for recipe in re.split(r"^## ", page, flags=re.MULTILINE)[1:]:
        if not BLOCK.search("## " + recipe):
            sys.exit(f"FAIL cookbook: no code from an example in '{recipe.splitlines()[0]}'")
    if sys.argv[1:] == ["--check"]:
        difference = list(difflib.unified_diff(page.split("\n"), made.split("\n"), name, "the examples", lineterm=""))
        if difference:
            sys.exit("\n".join(difference) + "\nFAIL cookbook: run scripts/cookbook.py")
    else:
        file.write_text(made, encoding="utf-8")


def main():
    for name in PAGES:
        check_or_write(name)


main()
