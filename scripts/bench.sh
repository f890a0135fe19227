#!/usr/bin/env bash
# Measures the reactor beside its peers: installs what is missing, builds, runs, prints tables and writes build/bench/.
#   scripts/bench.sh [--full] [--only SCENARIO,...] [--servers SERVER,...] [--system wine|linux]    (--help lists all)
#   scripts/bench.sh --size [--doc] [--wepoll FOLDER]      sizes and compile times instead (bench/size.py)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
scripts/setup.sh bench
if [ "${1:-}" = --size ]; then
  exec python3 bench/size.py "${@:2}"
fi
# Debian's matplotlib is for Debian's own Python, which need not be the first on the PATH.
python=python3
"$python" -c 'import matplotlib' 2>/dev/null || python=/usr/bin/python3
exec "$python" bench/run.py "$@"
