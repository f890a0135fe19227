#!/usr/bin/env python3
"""Compiles each source of a build for its warnings, once: of objects that differ in nothing that their source names, the first.

usage: compile_each.py FOLDER                 FOLDER was configured for Ninja, with compile_commands.json
       compile_each.py FOLDER --syntax-only   without generating code, before which clang has found its warnings

After a failure it goes on, so that one run shows all there is to see.
"""
import concurrent.futures
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys


def output_of(command):
    return command[command.index("-o") + 1]


def chosen(entries):
    """One command for each source and what it is compiled with. The sources of the loop are compiled again for the
    simulation, with a macro less that one of them asks for."""
    once = {}
    for entry in entries:
        command = shlex.split(entry["command"])
        source = pathlib.Path(entry["file"])
        macros = {word for word in command if word.startswith("-D")}
        if source.suffix != ".c":  # a header of theirs is named by a macro
            text = source.read_text(encoding="utf-8")
            macros = {macro for macro in macros if re.search(rf"\b{re.match('-D([^=]*)', macro)[1]}\b", text)}
        once.setdefault((source, frozenset(macros)), command)
    return once


def check_syntax(folder, command):
    at = command.index("-o")
    command = [*command[:at], *command[at + 2:]]
    command[command.index("-c")] = "-fsyntax-only"
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.stdout or done.returncode:
        print(f"FAILED: {shlex.join(command)}\n{done.stdout}", flush=True)
    return done.returncode == 0 and not done.stdout


def main():
    folder = pathlib.Path(sys.argv[1])
    targets = subprocess.run(["ninja", "-C", folder, "-t", "targets", "all"], stdout=subprocess.PIPE, text=True, check=True).stdout
    generated = re.findall(r"^(cmake_object_order_depends_target_\w+):", targets, re.MULTILINE)
    subprocess.run(["ninja", "-C", folder, *generated], check=True)
    once = chosen(json.loads((folder / "compile_commands.json").read_text(encoding="utf-8")))
    commands = list(once.values())
    # CMake's file for several of ours includes each of them.
    files = set()
    for source, _ in once:
        text = source.read_text(encoding="utf-8") if "Unity" in source.parts else ""
        files.update(re.findall('#include "(.*)"', text) or [str(source)])
    if len(files) < 200:
        sys.exit(f"FAIL compile_each: {len(files)} files in {folder} are not all")
    if sys.argv[2:] == ["--syntax-only"]:
        # What is compiled already is left out.
        left = [command for command in commands if not (folder / output_of(command)).exists()]
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            passed = all(list(pool.map(lambda command: check_syntax(folder, command), left)))
    else:
        passed = subprocess.run(["ninja", "-k", "0", "-C", folder, *map(output_of, commands)], check=False).returncode == 0
    if not passed:
        sys.exit(1)
    print(f"{len(files)} files compiled")


main()
