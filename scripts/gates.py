#!/usr/bin/env python3
"""Runs the gates in order, stops at the first red one, prints a table and writes all they found to one JSON file.

usage: gates.py FOLDER_OF_THE_GATES OUT.json [-- EMULATOR [ARGUMENT...]]
"""
import json
import pathlib
import subprocess
import sys
import time

GATES = ["stage0_wake", "stage1_accept", "stage2_echo", "stage3_stress"]


def run_gate(program, json_path, emulator):
    """The gate's own words go straight to the screen; what it found comes back from its JSON file."""
    json_path.unlink(missing_ok=True)
    start = time.monotonic()
    code = subprocess.run([*emulator, str(program), "--json", str(json_path)], check=False).returncode
    seconds = time.monotonic() - start
    try:
        found = json.loads(json_path.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError):
        found = {"gate": program.stem, "system": None, "facts": [], "passed": False,
                 "verdict": f"it ended with exit code {code} before it could write its JSON to the end"}
    found["seconds"] = round(seconds, 1)
    found["passed"] = found["passed"] and code == 0
    return found


def main():
    arguments = sys.argv[1:]
    emulator = []
    if "--" in arguments:
        split = arguments.index("--")
        arguments, emulator = arguments[:split], arguments[split + 1:]
    if len(arguments) != 2:
        sys.exit(__doc__)
    folder, out = pathlib.Path(arguments[0]), pathlib.Path(arguments[1])
    found = []
    for name in GATES:
        found.append(run_gate(folder / f"{name}.exe", folder / f"{name}.json", emulator))
        print(flush=True)
        if not found[-1]["passed"]:
            break
    out.write_text(json.dumps({"system": found[0]["system"], "gates": found}, indent=1) + "\n", encoding="utf-8")

    print(f"{'gate':<14} {'verdict':<8} {'time':>6}  what it found")
    for name in GATES:
        gate = next((g for g in found if g["gate"] == name), None)
        if gate is None:
            print(f"{name:<14} {'not run':<8} {'':>6}  a gate before it failed")
        else:
            verdict = "PASS" if gate["passed"] else "FAIL"
            print(f"{name:<14} {verdict:<8} {gate['seconds']:>4.1f} s  {gate['verdict']}")
    system = found[0]["system"] or {"windows": "?", "wine": None, "architecture": "?"}
    where = f"Wine {system['wine']} as Windows {system['windows']}" if system["wine"] else f"Windows {system['windows']}"
    passed = sum(g["passed"] for g in found)
    print(f"\n{'PASS' if passed == len(GATES) else 'FAIL'} gates: {passed} of {len(GATES)} passed on {where}, "
          f"{system['architecture']}; all facts are in {out}", flush=True)
    sys.exit(0 if passed == len(GATES) else 1)


main()
