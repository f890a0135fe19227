#!/usr/bin/env python3
"""The table of scripts/coverage.sh, and whether what is not covered is what docs/coverage-exceptions.txt says.

usage: coverage.py COVERAGE.json SHOWN.txt EXCEPTIONS.txt

COVERAGE.json is llvm-cov's export, SHOWN.txt its annotated sources. A line of EXCEPTIONS.txt is

  file: text of the line <- reason
  file: text of the line [never true: condition] <- reason

the first for a line that is never run, the second for one side of a branch (or `never false`; of a switch, `never true`
is that no case fits). The text, not the number, so that it lasts. Fails for what is neither covered nor excepted, and
for an exception that is none.
"""
import collections
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


def branches_of(entry):
    """{(line, column, end line, end column): [times true, times false]}: a branch of a template or of an inline function
    is one branch, covered where any instantiation covers it."""
    counts = collections.defaultdict(lambda: [0, 0])
    for *place, times_true, times_false, _, _, _ in entry["branches"]:
        counts[tuple(place)][0] += times_true
        counts[tuple(place)][1] += times_false
    return counts


def uncovered_sides(entry):
    """(line number, text of the line with the side) of each side of a branch that was never taken."""
    source = pathlib.Path(entry["filename"]).read_text(encoding="utf-8").splitlines()
    for (line, column, end_line, end_column), counts in sorted(branches_of(entry).items()):
        parts = source[line - 1:end_line]
        parts[-1] = parts[-1][:end_column - 1]
        parts[0] = parts[0][column - 1:]
        condition = " ".join(part.strip() for part in parts)
        for side, count in zip(("true", "false"), counts):
            if count == 0:
                yield line, f"{source[line - 1].strip()} [never {side}: {condition}]"


def name_of(entry):
    return str(pathlib.Path(entry["filename"]).relative_to(ROOT))


def read_exceptions(path):
    exceptions = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        where, reason = line.split(SEPARATOR)
        file, text = where.split(": ", 1)
        exceptions[file, text.strip()] = reason
    return exceptions


def share(covered, count):
    return f"{covered:6} / {count:5} " + ("      -" if count == 0 else f"{100 * covered / count:6.1f}%")


def print_table(files):
    total = [0, 0, 0, 0]
    print(f"{'':36}{'lines':>14}{'':8}{'branches':>14}")
    for entry in files:
        lines, sides = entry["summary"]["lines"], [side for counts in branches_of(entry).values() for side in counts]
        row = [lines["covered"], lines["count"], sum(side > 0 for side in sides), len(sides)]
        total = [a + b for a, b in zip(total, row)]
        print(f"{name_of(entry):36}{share(*row[:2])} {share(*row[2:])}")
    print(f"{'all':36}{share(*total[:2])} {share(*total[2:])}")


def main():
    data = json.loads(pathlib.Path(sys.argv[1]).read_text(encoding="utf-8"))["data"][0]
    files = sorted(data["files"], key=lambda entry: entry["filename"])
    lines = uncovered_lines(pathlib.Path(sys.argv[2]).read_text(encoding="utf-8", errors="replace"))
    lines_at = {(file, number) for file, number, _ in lines}
    # Of a line that is never run, no side is taken: that is said once.
    sides = [(name_of(entry), *side) for entry in files for side in uncovered_sides(entry)
             if (name_of(entry), side[0]) not in lines_at]
    exceptions = read_exceptions(pathlib.Path(sys.argv[3]))
    print_table(files)
    bad = 0
    seen = set()
    for title, uncovered in ("lines not covered", lines), ("sides of branches not covered", sides):
        print(f"\n{title}:")
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
    print(f"\n{'FAIL' if bad else 'PASS'} coverage: {len(lines)} lines and {len(sides)} sides of branches not covered, "
          f"{bad} without their reason")
    sys.exit(1 if bad else 0)


main()
