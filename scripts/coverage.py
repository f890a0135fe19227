#!/usr/bin/env python3
"""The table of scripts/coverage.sh, and whether what is not covered is what docs/coverage-exceptions.txt says.

usage: coverage.py COVERAGE.json SHOWN.txt EXCEPTIONS.txt

COVERAGE.json is llvm-cov's export, SHOWN.txt its annotated sources. A line of EXCEPTIONS.txt is `file: text of the line:
reason`; the text, not the number, so that it lasts. Fails for a line that is neither covered nor excepted, and for an
exception that is none.
"""
import json
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
SEPARATOR = " <- "


def uncovered_lines(shown):
    """(file, line number, text) of each line that has code and was never run in any instantiation."""
    found, covered = {}, set()
    file = None
    for line in shown.splitlines():
        if match := re.match(r"^/?(\S.*\.(?:cpp|hpp)):$", line):
            file = str(pathlib.Path("/" + match[1]).relative_to(ROOT)) if line.startswith("/") else match[1]
        elif match := re.match(r"^ +(\d+)\| +([0-9.]+[kMGTE]?)\|(.*)$", line):
            key = (file, int(match[1]))
            if match[2] == "0":
                found[key] = match[3].strip()
            else:
                covered.add(key)
    return [(*key, text) for key, text in sorted(found.items()) if key not in covered]


def read_exceptions(path):
    exceptions = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        where, reason = line.split(SEPARATOR)
        file, text = where.split(": ", 1)
        exceptions[file, text.strip()] = reason
    return exceptions


def percent(part):
    return "      -" if part["count"] == 0 else f"{part['percent']:6.1f}%"


def print_table(data):
    print(f"{'':36}{'lines':>14}{'':8}{'branches':>14}")
    for entry in sorted(data["files"], key=lambda e: e["filename"]):
        name = str(pathlib.Path(entry["filename"]).relative_to(ROOT))
        lines, branches = entry["summary"]["lines"], entry["summary"]["branches"]
        print(f"{name:36}{lines['covered']:6} / {lines['count']:5} {percent(lines)}"
              f"{branches['covered']:7} / {branches['count']:4} {percent(branches)}")
    lines, branches = data["totals"]["lines"], data["totals"]["branches"]
    print(f"{'all':36}{lines['covered']:6} / {lines['count']:5} {percent(lines)}"
          f"{branches['covered']:7} / {branches['count']:4} {percent(branches)}")


def main():
    data = json.loads(pathlib.Path(sys.argv[1]).read_text(encoding="utf-8"))["data"][0]
    uncovered = uncovered_lines(pathlib.Path(sys.argv[2]).read_text(encoding="utf-8", errors="replace"))
    exceptions = read_exceptions(pathlib.Path(sys.argv[3]))
    print_table(data)
    bad = 0
    seen = set()
    print("\nnot covered:")
    for file, number, text in uncovered:
        if set(text) <= set("{};) "):
            continue  # what ends a line that stands here already
        reason = exceptions.get((file, text))
        seen.add((file, text))
        bad += reason is None
        print(f"  {file}:{number}: {text}\n      {reason or 'FAIL: no reason is given'}")
    for file, text in sorted(set(exceptions) - seen):
        bad += 1
        print(f"FAIL {sys.argv[3]}: covered, or not there: {file}: {text}")
    print(f"\n{'FAIL' if bad else 'PASS'} coverage: {len(seen)} lines not covered, {bad} without their reason")
    sys.exit(1 if bad else 0)


main()
