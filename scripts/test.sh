#!/usr/bin/env bash
# Passes all tests: installs what is missing, checks format and lint, builds and tests each preset, ends with a table.
#   scripts/test.sh [PART]...              (all of them when none is named; `all` below is the list)
# The parts `mutations` and `coverage` judge the tests and not a change, and `docs` builds the site and runs the commands
# of the documents: they run when they are named.
# So do the witnesses, which are too slow for each change or need other releases of Debian (as root, by debootstrap):
#   wine-10          the gates, the conformance suite, parity, sockets and the C API under the Wine 10 of Debian trixie
#   wine-x86         the same as 32-bit programs
#   arm64-linux      the portable tests as ARM64 programs under qemu-user
#   arm64-windows    the library and the gates for Windows on ARM64, compiled and linked, not run
#   packages         the packages of a release, made and used: .deb, zip, recipes for vcpkg and Conan, C++20 modules
#   compilers        GCC 12 to 16, clang 16 to 22, libstdc++ and libc++: no warning, and the quick tests; 32-bit MinGW
#   scripts/test.sh --without PART...      all but these
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

all=(format linux linux-clang-asan linux-clang-tsan linux-clang-fuzz wine lint)
parts=("$@") left_out=()
if [ "${1:-}" = --without ]; then
  left_out=("${@:2}")
  parts=()
  for part in "${all[@]}"; do
    [[ " ${left_out[*]} " == *" $part "* ]] || parts+=("$part")
  done
elif [ $# -eq 0 ]; then
  parts=("${all[@]}")
fi

sources() { git ls-files --cached --others --exclude-standard '*.cpp' '*.hpp' '*.c' '*.h'; }

# What is compiled for Windows alone. The consumer projects are compiled against an install tree, by their own tests.
windows_sources='^(poc/.*|reactor/net/win.*|reactor/nt/(mutex|object_waits|system_kernel)|reactor/(afd|notify)/system_backend|reactor/capi/.*)\.cpp$'

# As the users of other libraries write, for docs/coming-from.md.
peers_style='^examples/coming_from/(asio|epoll|libuv|wepoll)'

# The output of a part goes to its log, and what it counted to $counted.
run_format() {
  sources | xargs clang-format-19 --dry-run --Werror
  counted="$(sources | wc -l) files"
}

run_lint() {
  local preset
  shellcheck scripts/*.sh scripts/hooks/* .ci/run
  python3 -m compileall -q scripts bench
  scripts/hooks/pre-commit  # with the house rules
  scripts/check_readme.py
  scripts/check_docs.py
  bench/readme_chart.py --check
  scripts/cookbook.py --check
  scripts/interface.py
  scripts/check_recipes.py
  for preset in linux wine; do
    env -u REACTOR_QUICK_BUILD cmake --preset "$preset" -B "build/tidy-$preset" -DCMAKE_UNITY_BUILD=OFF
  done
  # The tests, the benchmark and the simulation are left out of clang-tidy: its analyzer spends minutes on doctest's macros,
  # on Asio and on the simulator's steps.
  sources | grep -E '^(reactor|examples)/.*\.cpp$' | grep -vE "$windows_sources|^reactor/(sim/|net/sim_)|^examples/replicated_log/|$peers_style" |
    xargs scripts/tidy.py build/tidy-linux
  sources | grep -E "$windows_sources" | xargs scripts/tidy.py build/tidy-wine
  counted="$(awk '/^clang-tidy: / { n += $2 } END { print n }' "$log") files"
}

run_preset() {  # PRESET
  cmake --preset "$1"
  cmake --build --preset "$1"
  ctest --preset "$1"
  local ran failed
  ran=$(sed -n 's/.*tests passed, [0-9]* tests failed out of \([0-9]*\).*/\1/p' "$log" | tail -n 1)
  failed=$(sed -n 's/.*tests passed, \([0-9]*\) tests failed out of.*/\1/p' "$log" | tail -n 1)
  counted="$((ran - failed)) of $ran tests"
  passed_tests=$((ran - failed))
  if [ "$1" = wine ] && [ -x build/linux/tests/parity_test ]; then
    scripts/compare_parity.py build/linux/tests/parity_test -- scripts/wine.sh build/wine/tests/parity_test.exe
    counted="$counted; the same parity tests as on Linux"
  fi
}

# What doctest's programs and the C programs say they have passed, by the log.
count_programs() {
  passed_tests=$(awk '/^\[doctest\] test cases:/ { n += $6 } /^PASS [a-z0-9_]+$/ { n++ } END { print n }' "$log")
}

run_witness() {  # PRESET: by Wine 10
  cmake --preset "$1"
  # The programs alone, not the whole of ctest: the rest is tested with Wine 8.
  local programs=(kernel_test parity_test socket_test address_test result_test afd_test) c_programs program
  mapfile -t c_programs < <(basename -s .c -a tests/epoll/*_test.c)
  c_programs=("${c_programs[@]/#/epoll_}")
  cmake --build --preset "$1" --target gates "${programs[@]}" "${c_programs[@]}"
  trap 'scripts/wine10.sh --stop' EXIT
  scripts/wine10.sh --start
  python3 scripts/gates.py --suite "build/$1/tests/kernel_test.exe" "build/$1/poc" "build/gates-$1.json" -- scripts/wine10.sh
  python3 scripts/facts.py --check "build/gates-$1.json"
  for program in "${programs[@]}"; do
    scripts/wine10.sh "build/$1/tests/$program.exe"
  done
  for program in "${c_programs[@]}"; do
    scripts/wine10.sh "build/$1/tests/epoll/$program.exe"
  done
  count_programs
  counted="gates, and $passed_tests tests of $((${#programs[@]} + ${#c_programs[@]})) programs"
}

run_compilers() {
  scripts/compilers.sh
  counted=$(tail -n 1 "$log")
}

run_packages() {
  scripts/package.sh
  scripts/check_packages.sh
  counted="$(grep -c '^PASS ' "$log") kinds of packages"
}

run_arm64() {  # linux or windows
  scripts/arm64.sh "$1"
  count_programs
  counted=$(tail -n 1 "$log")
}

run_mutations() {
  scripts/mutate.py
  counted="$(grep -c '^caught' "$log") deliberate defects, each caught"
}

run_coverage() {
  scripts/coverage.sh
  counted=$(sed -n 's/^all  *//p' "$log" | tail -n 1 | tr -s ' ')
}

run_docs() {
  scripts/docs.sh --shots
  cmake --preset linux
  cmake --build --preset linux --target parity_test sim_check sim_replay
  cmake --preset wine
  cmake --build --preset wine --target stage0_wake stage2_echo
  scripts/check_docs.py --run
  counted="$(grep -c '^ran ' "$log") blocks of commands, $(sed -n 's/^PASS docs: \([0-9]* pages and [0-9]* headers\).*/\1/p' "$log")"
}

needs() {  # PART: what scripts/setup.sh installs for it
  case $1 in
    format) echo lint ;;
    lint) echo lint linux wine ;;
    mutations) echo clang ;;
    coverage) echo coverage ;;
    docs) echo docs linux wine ;;
    linux) echo linux ;;
    linux-clang-*) echo clang ;;
    wine) echo wine ;;
    wine-10) echo wine roots ;;
    wine-x86) echo wine wine-x86 roots ;;
    arm64-linux | arm64-windows) echo "$1" ;;
    packages) echo packages ;;
    compilers) echo roots linux wine-x86 ;;
    *)
      echo "test.sh: no part '$1': ${all[*]}" >&2
      return 1
      ;;
  esac
}

for part in "${left_out[@]}"; do
  needs "$part" >/dev/null  # there is such a part
done
setup=()
for part in "${parts[@]}"; do
  needed=$(needs "$part")
  # shellcheck disable=SC2206  # words on purpose
  setup+=($needed)
done
scripts/setup.sh "${setup[@]}"

mkdir -p build/log
rows=() total=0 failed_parts=0

run_part() {  # PART: its output goes to its log, what it counted to a file
  local part=$1
  set -e  # the first command that fails ends the part
  SECONDS=0
  counted='' passed_tests=0
  rm -f "build/log/$part.counts"
  log=build/log/$part.log
  case $part in
    format) run_format ;;
    lint) run_lint ;;
    mutations) run_mutations ;;
    coverage) run_coverage ;;
    docs) run_docs ;;
    wine-10 | wine-x86) run_witness "$part" ;;
    arm64-*) run_arm64 "${part#arm64-}" ;;
    compilers) run_compilers ;;
    packages) run_packages ;;
    *) run_preset "$part" ;;
  esac >"$log" 2>&1
  printf '%s\n%s\n%s\n' "$counted" "$passed_tests" "$SECONDS" >"build/log/$part.counts"
}

report_part() {  # PART
  local part=$1 counted tests seconds verdict=PASS
  if [ -e "build/log/$part.counts" ]; then
    { read -r counted && read -r tests && read -r seconds; } <"build/log/$part.counts"
    total=$((total + tests))
  else
    verdict=FAIL counted="see build/log/$part.log" seconds='?'
    failed_parts=$((failed_parts + 1))
    tail -n 60 "build/log/$part.log"
  fi
  rows+=("$(printf '%-18s %-5s %5s s  %s' "$part" "$verdict" "$seconds" "$counted")")
}

for part in "${parts[@]}"; do
  printf '%s ...\n' "$part"
  (run_part "$part") &  # in the background, since `(...) || true` would switch its `set -e` off
  wait $! || true
  report_part "$part"
done

printf '\n%-18s %-5s %7s  %s\n' part verdict time checked
printf '%s\n' "${rows[@]}"
if [ $failed_parts -gt 0 ]; then
  printf '\nFAIL tests: %s of %s parts failed\n' "$failed_parts" "${#parts[@]}"
  exit 1
fi
printf '\nPASS tests: all %s parts\n%s passed, 0 failed\n' "${#parts[@]}" "$total"
