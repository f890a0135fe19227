#!/usr/bin/env python3
"""Parity means the same tests on both systems: compares the names that two builds of parity_test list.

usage: compare_parity.py PROGRAM [ARGUMENT...] -- PROGRAM [ARGUMENT...]      (an emulator may stand first)
"""
import subprocess
import sys


def names(command):
    done = subprocess.run([*command, "--list-test-cases", "--no-version"], capture_output=True, text=True, check=False)
    lines = [line.strip() for line in done.stdout.splitlines()]
    found = [line for line in lines if line and not line.startswith(("=====", "[doctest]"))]
    if done.returncode != 0 or not found:
        sys.exit(f"FAIL parity: {' '.join(command)} lists no tests (exit code {done.returncode})")
    return found


def main():
    if "--" not in sys.argv:
        sys.exit(__doc__)
    split = sys.argv.index("--")
    one, other = names(sys.argv[1:split]), names(sys.argv[split + 1:])
    for missing, where in ((set(one) - set(other), "second"), (set(other) - set(one), "first")):
        for name in sorted(missing):
            print(f"not in the {where}: {name}")
    if sorted(one) != sorted(other):
        sys.exit("FAIL parity: the two systems do not run the same tests")
    print(f"PASS parity: the same {len(one)} tests on both systems")


main()
