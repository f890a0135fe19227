#!/usr/bin/env bash
# Measures the reactor beside its peers: installs what is missing, builds, runs, prints tables and writes build/bench/.
#   scripts/bench.sh [--full] [--only SCENARIO,...] [--servers SERVER,...] [--system wine|linux]    (--help lists all)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
scripts/setup.sh bench
# Debian's matplotlib is for Debian's own Python, which need not be the first on the PATH.
python=python3
"$python" -c 'import matplotlib' 2>/dev/null || python=/usr/bin/python3
exec "$python" bench/run.py "$@"
