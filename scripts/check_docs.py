#!/usr/bin/env python3
"""Checks the documents: links lead somewhere, and each command is run by a test or says why not.

usage: check_docs.py          links to files and headings, and the marks of commands
       check_docs.py --run    also run the commands that are marked so (after the presets linux and wine were built)

Above each block of commands (sh, powershell) stands one of these comments:
  <!-- run -->               run here, from the root of the repository, with the programs of build/linux on the PATH
  <!-- run: these lines -->  the same, and the page has each line of the output
  <!-- run by FILE -->       this file runs them; it has to name each command's program
  <!-- not run: REASON -->   the reader knows why
"""
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```")
COMMANDS = ("sh", "powershell")
MARK = re.compile(r"<!-- (?:(run(?:: these lines)?)|run by (\S+)|not run: (.+)) -->$")
PATHS = ("tests", "examples", "bench")
DEADLINE_S = 600


def pages():
    names = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"], cwd=ROOT,
                           capture_output=True, text=True, check=True).stdout.split()
    return [name for name in names if (ROOT / name).exists()]


def text_lines(text):
    """The lines that are no code, with their numbers; code within a line is cut out."""
    is_code = False
    for number, line in enumerate(text.split("\n"), 1):
        if FENCE.match(line):
            is_code = not is_code
        elif not is_code:
            yield number, re.sub(r"`[^`]*`", "`code`", line), line


def headings(text):
    """The headings of a page, as GitHub names them."""
    for _, _, line in text_lines(text):
        if match := re.match(r"#+ (.*)", line):
            yield re.sub(r"[^\w\- ]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", match[1]).lower()).replace(" ", "-")


def breaches_of_links(name):
    for number, line, _ in text_lines((ROOT / name).read_text(encoding="utf-8")):
        for link in LINK.findall(line):
            target, _, anchor = link.partition("#")
            if re.match(r"[a-z]+:", target):
                continue
            path = (ROOT / name).parent / target if target else ROOT / name
            if not path.exists():
                yield f"{name}:{number}: a link to nowhere: {link}"
            elif anchor and path.suffix == ".md" and anchor not in headings(path.read_text(encoding="utf-8")):
                yield f"{name}:{number}: no such heading: {link}"


def blocks_of(name):
    """(line, mark or None, commands) of each block of commands."""
    lines = (ROOT / name).read_text(encoding="utf-8").split("\n")
    at = 0
    while at < len(lines):
        if FENCE.match(lines[at]):
            end = next(i for i in range(at + 1, len(lines)) if lines[i].startswith("```"))
            if lines[at][3:].strip() in COMMANDS:
                yield at + 1, MARK.match(lines[at - 1]), lines[at + 1:end]
            at = end
        at += 1


def breaches_of_marks(name):
    for number, mark, commands in blocks_of(name):
        if not mark:
            yield f"{name}:{number}: no mark above these commands: run, run by FILE, or not run: REASON"
        elif by := mark[2]:
            text = (ROOT / by).read_text(encoding="utf-8") if (ROOT / by).exists() else ""
            for command in commands:
                program = pathlib.Path(command.split()[0]).name
                if program not in text and program not in ("g++", "cc"):
                    yield f"{name}:{number}: {by} does not run {program}"


def run(name):
    folders = [str(ROOT / "build/linux" / folder) for folder in PATHS]
    environment = {**os.environ, "PATH": os.pathsep.join([*folders, os.environ["PATH"]])}
    for number, mark, commands in blocks_of(name):
        if not (mark and mark[1]):
            continue
        try:
            done = subprocess.run(["bash", "-euo", "pipefail", "-c", "\n".join(commands)], cwd=ROOT, env=environment,
                                  capture_output=True, text=True, timeout=DEADLINE_S, check=False)
        except subprocess.TimeoutExpired:
            yield f"{name}:{number}: did not end within {DEADLINE_S} s"
            continue
        page = (ROOT / name).read_text(encoding="utf-8").split("\n")
        absent = [line for line in done.stdout.split("\n") if line not in page] if mark[1] != "run" else []
        if absent or (mark[1] != "run" and not done.stdout):
            yield f"{name}:{number}: the page has not all of what this prints: {absent[:3]}"
        elif done.returncode != 0:
            yield f"{name}:{number}: exit code {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
        else:
            print(f"ran {name}:{number}: {'; '.join(commands)}", flush=True)


def main():
    if sys.argv[1:] not in ([], ["--run"]):
        sys.exit(__doc__)
    found = [breach for name in pages() for check in (breaches_of_links, breaches_of_marks) for breach in check(name)]
    if not found and sys.argv[1:]:
        found = [breach for name in pages() for breach in run(name)]
    if found:
        sys.exit("\n".join(found))


if __name__ == "__main__":
    main()
