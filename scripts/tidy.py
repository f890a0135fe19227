#!/usr/bin/env python3
"""clang-tidy over sources of a build.

usage: tidy.py FOLDER SOURCE...    FOLDER was configured with compile_commands.json and without UNITY_BUILD

Most of clang-tidy's time goes into the headers of the system, so the sources of one target are read several as one, with
all checks, and each by itself with those that look at nothing but the file that is compiled. That finds a missing include.
"""
import collections
import concurrent.futures
import functools
import json
import os
import pathlib
import shlex
import subprocess
import sys

TOGETHER = 10
ALONE = ("-*,bugprone-suspicious-include,misc-unused-using-decls,modernize-deprecated-headers,"
         "readability-redundant-preprocessor,clang-diagnostic-*")
ONLY_GCC_HAS = {"-fno-keep-inline-dllexport"}


@functools.cache
def mingw_arguments():
    """clang needs the path of the headers of GCC's MinGW."""
    found = subprocess.run(["x86_64-w64-mingw32-g++-posix", "-E", "-x", "c++", "-v", "/dev/null"], stdout=subprocess.DEVNULL,
                           stderr=subprocess.PIPE, text=True, check=True).stderr
    folders = [line.strip() for line in found.splitlines() if line.startswith(" /") and "/include/c++" in line]
    return ["--target=x86_64-w64-windows-gnu", "-nostdinc++", *(f"-isystem{folder}" for folder in folders)]


def main():
    folder = pathlib.Path(sys.argv[1])
    wanted = {str(pathlib.Path(source).resolve()) for source in sys.argv[2:]}
    targets = collections.defaultdict(list)
    for entry in json.loads((folder / "compile_commands.json").read_text(encoding="utf-8")):
        if entry["file"] in wanted:
            command = [word for word in shlex.split(entry["command"]) if word not in ONLY_GCC_HAS]
            if "mingw" in command[0]:
                command += mingw_arguments()
            output = pathlib.PurePath(command[command.index("-o") + 1])
            targets[output.parts[:output.parts.index("CMakeFiles") + 2]].append((entry, command))

    ours = folder / "tidy"
    ours.mkdir(exist_ok=True)
    entries, jobs = [], []

    def add(file, entry, command, *options):
        words = [file if word == entry["file"] else word for word in command]
        entries.append({"directory": entry["directory"], "file": file, "command": shlex.join(words)})
        jobs.append(["clang-tidy-19", "--quiet", "-p", str(ours), *options, file])

    seen = set()
    for number, of_target in enumerate(targets.values()):
        of_target = [each for each in of_target if each[0]["file"] not in seen]
        seen.update(entry["file"] for entry, _ in of_target)
        for start in range(0, len(of_target), TOGETHER):
            several = of_target[start:start + TOGETHER]
            if len(several) > 1:
                together = ours / f"{number}-{start}.cpp"
                together.write_text("".join(f'#include "{entry["file"]}"\n' for entry, _ in several), encoding="utf-8")
                add(str(together.resolve()), *several[0], "--checks=-bugprone-suspicious-include")
            for entry, command in several:
                add(entry["file"], entry, command, *([f"--checks={ALONE}"] if len(several) > 1 else []))
    missed = wanted - seen
    if missed:
        sys.exit(f"FAIL tidy: not compiled in {folder}: {' '.join(sorted(missed))}")
    (ours / "compile_commands.json").write_text(json.dumps(entries), encoding="utf-8")

    def run(job):
        done = subprocess.run(job, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if done.returncode:
            print(f"FAILED: {shlex.join(job)}\n{done.stdout}", flush=True)
        return done.returncode == 0

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        passed = list(pool.map(run, jobs))
    print(f"clang-tidy: {len(seen)} files of {folder}, {len(jobs)} runs")
    sys.exit(0 if all(passed) else 1)


main()
