#!/usr/bin/env bash
# Installs by package name what is missing for the parts named, and is quiet when nothing is.
#   scripts/setup.sh [PART]...      (wine linux clang coverage lint bench docs when none is named)
set -euo pipefail

packages_for() {
  case $1 in
    wine) echo cmake ninja-build python3 g++-mingw-w64-x86-64-posix wine64 doctest-dev netcat-openbsd curl socat wrk ;;
    linux) echo cmake ninja-build make git python3 g++ doctest-dev netcat-openbsd curl socat wrk libc-ares-dev libssl-dev openssl pkgconf libasio-dev libuv1-dev libglib2.0-dev gdb libgtest-dev catch2 tshark abigail-tools ;;
    clang)
      packages_for linux
      echo clang-19 libclang-rt-19-dev
      ;;
    coverage)
      packages_for clang
      echo llvm-19
      ;;
    bench)
      packages_for linux
      packages_for wine
      echo libasio-dev libuv1-dev libevent-dev libbenchmark-dev python3-matplotlib util-linux
      ;;
    wine-x86) echo g++-mingw-w64-i686-posix ;;
    arm64-linux) echo cmake ninja-build python3 doctest-dev g++-aarch64-linux-gnu qemu-user ;;
    arm64-windows) echo cmake ninja-build python3 ;;  # and npm, from wherever it comes
    roots) echo debootstrap ;;
    packages)
      packages_for linux
      packages_for wine
      packages_for roots
      echo dpkg-dev file gzip lintian
      ;;
    lint) echo python3 clang-format-19 clang-tidy-19 shellcheck ;;
    cache) echo ccache ;;
    docs) echo python3 doxygen doxygen-awesome-css chromium fonts-dejavu-core ;;
    *)
      echo "setup.sh: no part '$1': wine, linux, clang, coverage, lint, bench, docs, cache, wine-x86, arm64-linux, arm64-windows, packages or roots" >&2
      return 1
      ;;
  esac
}

parts=("$@")
[ ${#parts[@]} -gt 0 ] || parts=(wine linux clang coverage lint bench docs)
missing=()
for part in "${parts[@]}"; do
  packages=$(packages_for "$part")
  for package in $packages; do
    case " ${missing[*]} " in *" $package "*) continue ;; esac
    state=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$state" = installed ] || missing+=("$package")
  done
done
[ ${#missing[@]} -gt 0 ] || exit 0

echo "setup: installing ${missing[*]}"
as_root=()
[ "$(id -u)" -eq 0 ] || as_root=(sudo)
log=$(mktemp)
run() {
  for attempt in 1 2 3; do
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive "$@" >>"$log" 2>&1 && return
    echo "setup: '$*' failed, attempt $attempt of 3" >&2
    sleep $((attempt * 5))
  done
  cat "$log" >&2
  exit 1
}
# A machine that has just started may be installing packages itself: wait for its lock, and repeat what was interrupted.
apt() { run apt-get -o DPkg::Lock::Timeout=300 -o Acquire::Retries=5 "$@"; }
apt update
apt install -y --no-install-recommends "${missing[@]}"
rm -f "$log"
