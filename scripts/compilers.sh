#!/usr/bin/env bash
# Compiles each source of the library, its tests and examples with each compiler, warnings as errors, and runs the quick tests.
#   scripts/compilers.sh [COMPILER]...     gcc-14, clang-19 (libstdc++), clang-19-libc++; all when none is named
#   scripts/compilers.sh --list            their names
# The compilers come from three releases of Debian, by debootstrap into build/roots (REACTOR_ROOTS names another
# folder). Needs root. No release of Debian has clang 20 any more. mingw-i686 is the machine's own: it compiles the
# sources for 32-bit Windows, and runs nothing.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/roots.sh
. "$root/scripts/roots.sh"

all=(gcc-12 clang-16 clang-16-libc++
  gcc-13 gcc-14 clang-17 clang-17-libc++ clang-18 clang-18-libc++ clang-19 clang-19-libc++
  gcc-15 gcc-16 clang-21 clang-21-libc++ clang-22 clang-22-libc++
  mingw-i686)

programs=(result_test address_test format_test socket_test epoll_backend_test)  # that are run

suite_of() {  # COMPILER
  case $1 in
    gcc-12 | clang-16*) echo bookworm ;;
    gcc-13 | gcc-14 | clang-17* | clang-18* | clang-19*) echo trixie ;;
    gcc-15 | gcc-16 | clang-21* | clang-22*) echo sid ;;
    mingw-i686) echo here ;;
    *)
      echo "compilers.sh: no compiler '$1': ${all[*]}" >&2
      return 1
      ;;
  esac
}

# Two versions of libc++ cannot be installed side by side, so each is unpacked in a folder of its own, and linked statically.
unpack_libcxx() {  # SUITE VERSION
  [ ! -e "$roots/$1/opt/libc++-$2/done" ] || return 0
  # shellcheck disable=SC2016  # for the shell in there
  in_root "$1" bash -ec 'mkdir -p "/opt/libc++-$1" && cd "/opt/libc++-$1"
    apt-get download "libc++-$1-dev" "libc++abi-$1-dev"
    for package in *.deb; do dpkg -x "$package" .; done
    touch done' - "$2"
}

build_for_windows() {
  "$root/scripts/setup.sh" linux wine-x86
  cmake --preset wine-x86 -B "$root/build/mingw-i686" -DCMAKE_CXX_FLAGS_RELWITHDEBINFO=-O2
  python3 scripts/compile_each.py "$root/build/mingw-i686"
}

build() {  # COMPILER
  local compiler=$1 suite version cxx flags='' link='' libraries='' how=() failed=0
  if [ "$compiler" = mingw-i686 ]; then
    build_for_windows
    return
  fi
  suite=$(suite_of "$compiler")
  version=${compiler#*-}
  version=${version%-libc++}
  make_root "$suite"
  install_in "$suite" ccache cmake ninja-build python3 doctest-dev pkgconf libasio-dev libglib2.0-dev \
    libc-ares-dev libssl-dev libuv1-dev libgtest-dev catch2
  case $compiler in
    gcc-*)
      install_in "$suite" "g++-$version"
      cxx=g++-$version
      ;;
    *-libc++)
      install_in "$suite" "clang-$version"
      unpack_libcxx "$suite" "$version"
      cxx=clang++-$version
      local llvm=/opt/libc++-$version/usr/lib/llvm-$version
      flags="-nostdinc++ -isystem $llvm/include/c++/v1"
      link="-nostdlib++ -L$llvm/lib"
      libraries="-l:libc++.a -l:libc++abi.a"
      ;;
    *)
      install_in "$suite" "clang-$version" g++
      cxx=clang++-$version
      # Before 19 it has what libstdc++'s std::expected needs, without the macro by which that is asked.
      [ "$version" -ge 19 ] || flags="-D__cpp_concepts=202002L -Wno-builtin-macro-redefined -Wno-macro-redefined"
      if [ "$version" = 17 ]; then  # it cannot compile std::thread of libstdc++ 14 as C++23
        install_in "$suite" g++-13
        flags="$flags --gcc-install-dir=/usr/lib/gcc/x86_64-linux-gnu/13"
      fi
      ;;
  esac
  # clang finds its warnings before it generates code; GCC some of its own as it optimizes (tests are compiled with -O0).
  local optimization=-O1 folder=/root/build/$compiler together=ON
  # Several files as one, but where doctest names its test cases by their lines; so the newest libraries find a missing include.
  [[ $cxx != clang++-* || $version -lt 22 ]] || together=OFF
  how=(--syntax-only)
  if [ "$cxx" = "g++-$version" ]; then
    optimization=-O2
    how=()
  fi
  in_root "$suite" cmake --fresh -S . -B "$folder" -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo \
    -DCMAKE_CXX_FLAGS_RELWITHDEBINFO=$optimization -DCMAKE_CXX_COMPILER="$cxx" \
    -DCMAKE_C_COMPILER="${compiler%-libc++}" \
    -DCMAKE_CXX_COMPILER_LAUNCHER=ccache -DCMAKE_C_COMPILER_LAUNCHER=ccache \
    -DCMAKE_CXX_EXTENSIONS=OFF -DCMAKE_CXX_FLAGS="$flags" -DCMAKE_EXE_LINKER_FLAGS="$link" \
    -DCMAKE_CXX_STANDARD_LIBRARIES="$libraries" \
    -DCMAKE_EXPORT_COMPILE_COMMANDS=ON -DREACTOR_ASSERTIONS=ON -DREACTOR_WARNINGS_AS_ERRORS=ON \
    -DCMAKE_UNITY_BUILD=$together -DREACTOR_MODULE=OFF  # scripts/check_packages.sh builds the modules
  # What is run is built, the rest compiled. After a failure both go on: one run shows all there is to see.
  in_root "$suite" ninja -k 0 -C "$folder" "${programs[@]}" || failed=1
  in_root "$suite" python3 scripts/compile_each.py "$folder" "${how[@]}" || failed=1
  [ $failed -eq 0 ] || return 1
  local names
  names=$(IFS='|'; printf '%s' "${programs[*]}")
  in_root "$suite" ctest --test-dir "$folder" --output-on-failure --no-tests=error --timeout 120 -R "^($names)\\."
}

case ${1:-} in
  --list)
    printf '%s\n' "${all[@]}"
    exit
    ;;
  --help)
    sed -n '2,8s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
    exit
    ;;
esac
compilers=("$@")
[ $# -gt 0 ] || compilers=("${all[@]}")
for compiler in "${compilers[@]}"; do
  suite_of "$compiler" >/dev/null  # there is such a compiler
done
mkdir -p "$root/build/log"
rows=() failed=0
for compiler in "${compilers[@]}"; do
  log=$root/build/log/$compiler.log
  start=$SECONDS
  # A subshell with errexit: the first command that fails ends it.
  set +e
  (
    set -e
    build "$compiler"
  ) >"$log" 2>&1 </dev/null
  code=$?
  set -e
  if [ $code -eq 0 ]; then
    tests=$(sed -n 's/.* tests failed out of \([0-9]*\)$/\1/p' "$log" | tail -n 1)
    verdict="PASS  no warning in $(sed -n 's/ files compiled$//p' "$log") files, ${tests:-no} tests"
  else
    verdict="FAIL  see $log"
    failed=$((failed + 1))
    tail -n 30 "$log"
  fi
  rows+=("$(printf '%-16s %-9s %5s s  %s' "$compiler" "$(suite_of "$compiler")" "$((SECONDS - start))" "$verdict")")
  printf '%s\n' "${rows[-1]}"
done
printf '%s of %s compilers passed\n' "$((${#compilers[@]} - failed))" "${#compilers[@]}"
[ $failed -eq 0 ]
