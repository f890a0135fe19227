#!/usr/bin/env bash
# Measures the reactor beside its peers: installs what is missing, builds, runs, prints tables and writes build/bench/.
#   scripts/bench.sh [--full] [--only SCENARIO,...] [--servers SERVER,...] [--system wine|linux]    (--help tells all)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
scripts/setup.sh bench
exec python3 bench/run.py "$@"
