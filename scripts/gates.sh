#!/usr/bin/env bash
# Proves AFD_POLL step by step: installs what is missing, builds the gates and the conformance suite kernel_test,
# runs them in order under Wine, stops at the first red one, prints a table of what was found, and compares all facts with
# those on record. Writes build/gates.json.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

scripts/setup.sh wine
mkdir -p build/log
if ! { cmake --preset wine && cmake --build --preset wine --target gates kernel_test; } >build/log/gates-build.log 2>&1; then
  cat build/log/gates-build.log >&2
  echo "FAIL gates: the build failed" >&2
  exit 1
fi

# Shuts Wine down at the end only if it was not running before.
scripts/wine.sh --is-up || trap 'scripts/wine.sh --stop' EXIT
scripts/wine.sh --start

python3 scripts/gates.py --suite build/wine/tests/kernel_test.exe build/wine/poc build/gates.json -- scripts/wine.sh
python3 scripts/facts.py --check build/gates.json
