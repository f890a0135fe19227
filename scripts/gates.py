#!/usr/bin/env python3
"""Runs the gates in order, stops at the first red one, prints a table, and writes all facts to one JSON file.

usage: gates.py [--deadline SECONDS] [--suite KERNEL_TEST] [--gate "NAME ARGUMENT..."] FOLDER OUT.json [-- EMULATOR...]

A gate prints a line for each fact, `  id asked -> answer`, with "~" in front when it is a figure, which differs from
run to run, and ends with "PASS stageN: verdict" or "FAIL ...", or with "SKIP stageN: reason" and exit code 77. The conformance suite (--suite) prints the same lines for
its own facts, runs after the gates, and is not shown: its facts are many. --gate runs that gate alone, with arguments.
"""
import argparse
import json
import pathlib
import re
import struct
import subprocess
import sys
import threading
import time

GATES = ["stage0_wake", "stage1_accept", "stage2_echo", "stage3_stress", "stage4_notify"]
SKIPPED = 77  # the exit code of a gate whose subject this system does not have
SUITE = "kernel_test"
FACT = re.compile(r"([ ~]) ([a-z]\w*\.[\w.]+)\s+(.*?)\s+-> (.*)")
VERDICT = re.compile(r"(PASS|FAIL|SKIP) \w+: (.*)")
SUITE_COUNTS = re.compile(r"test cases: +(\d+) \| +(\d+) passed")
MACHINES = {0x14C: "x86", 0x8664: "x64", 0xAA64: "arm64"}


def run(command, deadline_s, shown):
    """Its lines, its exit code (None: ended at the deadline), and how many seconds it took."""
    start, lines, ended = time.monotonic(), [], threading.Event()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, encoding="utf-8", errors="replace") as process:
        def end():
            ended.set()
            process.kill()
        watchdog = threading.Timer(deadline_s, end)
        watchdog.start()
        for line in process.stdout:
            lines.append(line.rstrip())
            if shown:
                print(lines[-1], flush=True)
        code = process.wait()
        watchdog.cancel()
    return lines, None if ended.is_set() else code, round(time.monotonic() - start, 1)


def facts_in(lines):
    found = {}
    for line in lines:
        if match := FACT.fullmatch(line):
            mark, fact_id, asked, answer = match.groups()
            if found.get(fact_id, {}).get("answer", answer) != answer:
                sys.exit(f"FAIL gates: two answers to {fact_id}: {found[fact_id]['answer']}, {answer}")
            found[fact_id] = {"kind": "figure" if mark == "~" else "fact", "id": fact_id, "asked": asked,
                              "answer": answer}
    return list(found.values())


def run_gate(name, program, arguments, deadline_s, emulator):
    lines, code, seconds = run([*emulator, str(program), *arguments], deadline_s, shown=True)
    verdicts = [match for line in lines if (match := VERDICT.fullmatch(line))]
    if code is None:
        verdict = f"no end within {deadline_s} s: ended by the runner"
    elif not verdicts:
        verdict = f"ended with exit code {code} and without a verdict"
    else:
        verdict = verdicts[-1][2]
    ending = (code, verdicts[-1][1] if verdicts else None)
    return {"gate": name, "facts": facts_in(lines), "seconds": seconds, "verdict": verdict,
            "passed": ending == (0, "PASS"), "skipped": ending == (SKIPPED, "SKIP")}


def run_suite(program, deadline_s, emulator):
    only_real = "-tc=*the?kernel?of?this?system*"
    lines, code, seconds = run([*emulator, str(program), "--facts", only_real, "--no-colors"], deadline_s, shown=False)
    facts = facts_in(lines)
    counts = next((match for line in lines if (match := SUITE_COUNTS.search(line))), None)
    if code is None:
        verdict = f"no end within {deadline_s} s: ended by the runner"
    elif counts is None:
        verdict = f"ended with exit code {code} and without counting its tests"
    else:
        verdict = f"{counts[2]} of {counts[1]} tests of what the library relies on passed, with {len(facts)} facts more"
    passed = code == 0 and counts is not None and bool(facts)
    if not passed:
        print("\n".join(lines))
    return {"gate": SUITE, "facts": facts, "seconds": seconds, "verdict": verdict, "passed": passed, "skipped": False}


def system_of(program, emulator):
    """The process's architecture, not the machine's: an x86 program on an x64 machine is x86."""
    image = pathlib.Path(program).read_bytes()
    (header,) = struct.unpack_from("<I", image, 0x3C)
    (machine,) = struct.unpack_from("<H", image, header + 4)

    def said(pattern, *command):
        try:
            output = subprocess.run([*emulator, *command], capture_output=True, text=True, errors="replace", timeout=60,
                                    check=False).stdout
        except (OSError, subprocess.TimeoutExpired):
            return None
        match = re.search(pattern, output)
        return match[1] if match else None
    return {"windows": said(r"(\d+\.\d+\.\d+)", "cmd", "/c", "ver"),
            "wine": said(r"wine-(\S+)", "--version") if emulator else None,
            "architecture": MACHINES.get(machine, hex(machine))}


def print_table(names, found):
    print(f"\n{'gate':<14} {'verdict':<8} {'time':>6}  what it found")
    for name in names:
        gate = next((g for g in found if g["gate"] == name), None)
        if gate is None:
            print(f"{name:<14} {'not run':<8} {'':>6}  a gate before it failed")
        else:
            verdict = "PASS" if gate["passed"] else "SKIP" if gate["skipped"] else "FAIL"
            print(f"{name:<14} {verdict:<8} {gate['seconds']:>4.1f} s  {gate['verdict']}")


def main():
    own, emulator = sys.argv[1:], []
    if "--" in own:
        own, emulator = own[:own.index("--")], own[own.index("--") + 1:]
    parser = argparse.ArgumentParser(description=__doc__, usage=argparse.SUPPRESS,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--deadline", type=int, default=300)
    parser.add_argument("--suite")
    parser.add_argument("--gate")
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    options = parser.parse_args(own)
    gates = [options.gate.split()] if options.gate else [[name] for name in GATES]
    names = [gate[0] for gate in gates]
    programs = {name: options.folder / f"{name}.exe" for name in names}
    if missing := [str(program) for program in programs.values() if not program.exists()]:
        sys.exit(f"FAIL gates: not built: {', '.join(missing)}")

    found = []
    for name, *arguments in gates:
        print(name, *arguments, flush=True)
        found.append(run_gate(name, programs[name], arguments, options.deadline, emulator))
        print(flush=True)
        if not found[-1]["passed"] and not found[-1]["skipped"]:
            break
    gates_passed = sum(g["passed"] for g in found)
    gates_skipped = sum(g["skipped"] for g in found)
    if options.suite:
        names.append(SUITE)
        if gates_passed + gates_skipped == len(gates):
            print(f"{SUITE}: the conformance suite, its facts are not shown here", flush=True)
            found.append(run_suite(options.suite, options.deadline, emulator))
    system = system_of(programs[names[0]], emulator)
    options.out.write_text(json.dumps({"system": system, "gates": found}, indent=1) + "\n", encoding="utf-8")

    print_table(names, found)
    windows = f"Windows {system['windows']}"
    where = f"Wine {system['wine']} as {windows}" if system["wine"] else windows
    passed = all(g["passed"] or g["skipped"] for g in found) and len(found) == len(names)
    skipped = f", {gates_skipped} skipped" if gates_skipped else ""
    suite = f", {SUITE} failed," if gates_passed + gates_skipped == len(gates) and not passed else ""
    print(f"\n{'PASS' if passed else 'FAIL'} gates: {gates_passed} of {len(gates)} passed{skipped}{suite} on {where}, "
          f"{system['architecture']}; all facts are in {options.out}", flush=True)
    sys.exit(0 if passed else 1)


main()
