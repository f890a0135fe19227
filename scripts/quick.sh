#!/usr/bin/env bash
# Judges a change of the library while you work on it: the format, the build for Linux, and the tests over simulated
# kernels, which need no network and no Wine. scripts/test.sh runs all tests.
#   scripts/quick.sh [TEST...]      with these test programs too, for example: epoll_backend_test parity_test
# REACTOR_SEED is the first of 2000 seeds of the model check (default 400).
# shellcheck disable=SC2317  # check calls the functions
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

case ${1:-} in
  -*)
    sed -n '2,5s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
    exit
    ;;
esac
tests=(afd_test notify_test sim_test model_test sweep_test "$@")
log=build/log/quick
failed=0 start=$SECONDS

# Inside `||` no error ends a function by itself, so those that are checked chain their commands by &&.
check() {  # NAME COMMAND...: its output is shown if it fails
  local began=$SECONDS verdict=PASS
  "${@:2}" >"$log/$1" 2>&1 || verdict=FAIL
  printf '%-20s %s %3s s\n' "$1" "$verdict" "$((SECONDS - began))"
  [ $verdict = PASS ] && return
  tail -n 40 "$log/$1"
  return 1
}

format() {
  git ls-files --cached --others --exclude-standard '*.cpp' '*.hpp' '*.c' '*.h' |
    xargs -P "$(nproc)" -n 50 clang-format-19 --dry-run --Werror &&
    scripts/check_house.py
}

build() {
  { [ -e build/linux/build.ninja ] || cmake --preset linux; } &&
    cmake --build --preset linux --target "${tests[@]}" sim_check
}

scripts/setup.sh linux lint
mkdir -p "$log"
check format format || failed=1
check build build || { echo "FAIL quick: it does not build" && exit 1; }
running=()
for test in "${tests[@]}"; do
  check "$test" "build/linux/tests/$test" &
  running+=($!)
done
check model_check build/linux/tests/sim_check --seeds "${REACTOR_SEED:-400}" 2000 &
running+=($!)
for job in "${running[@]}"; do
  wait "$job" || failed=1
done

[ $failed = 0 ] && verdict=PASS || verdict=FAIL
echo "$verdict quick: $((SECONDS - start)) s; scripts/test.sh runs all tests"
exit $failed
