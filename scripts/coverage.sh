#!/usr/bin/env bash
# Line and branch coverage of reactor/ by all tests on Linux together: a table, and each line that no test reaches. Those
# have to stand with their reason in docs/coverage-exceptions.txt, and nothing else may stand there.
#   scripts/coverage.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

scripts/setup.sh coverage
build=build/linux-clang-coverage
cmake --preset linux-clang-coverage >/dev/null
cmake --build --preset linux-clang-coverage
rm -rf "$build/profiles"
# %c: counted in the file as it runs, also in a forked child that calls _exit (hence -runtime-counter-relocation).
LLVM_PROFILE_FILE="$PWD/$build/profiles/%c%p-%m.profraw" ctest --preset linux-clang-coverage
find "$build/profiles" -name '*.profraw' >"$build/profiles/list"
llvm-profdata-19 merge -sparse -f "$build/profiles/list" -o "$build/profiles/all.profdata"

programs=()
for program in "$build"/tests/*_test "$build"/tests/*/*_test "$build"/tests/sim_check; do
  [ ! -x "$program" ] || programs+=(-object "$program")
done
sources=$(git ls-files 'reactor/*.cpp' 'reactor/*.hpp')
# shellcheck disable=SC2086  # words on purpose
llvm-cov-19 export "${programs[@]:1}" -instr-profile="$build/profiles/all.profdata" -format=text $sources \
  >"$build/coverage.json"
# shellcheck disable=SC2086
llvm-cov-19 show "${programs[@]:1}" -instr-profile="$build/profiles/all.profdata" $sources >"$build/coverage.txt"
scripts/coverage.py "$build/coverage.json" "$build/coverage.txt" docs/coverage-exceptions.txt
