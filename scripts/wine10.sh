#!/usr/bin/env bash
# scripts/wine.sh with the Wine 10 of Debian trixie, for 64-bit and 32-bit programs, in a prefix of its own.
#   scripts/wine10.sh PROGRAM.exe [ARGUMENT...] | --start | --stop | --is-up
# That Debian is made in build/roots at the first --start (scripts/roots.sh). Needs root.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/roots.sh
. "$root/scripts/roots.sh"
dlls=/usr/lib/x86_64-linux-gnu/wine

# Debian's Wine for amd64 can run 32-bit programs (WoW64), but has no DLLs for them: those of i386 are beside it.
add_32_bit_dlls() {
  [ ! -e "$roots/trixie$dlls/i386-windows/ntdll.dll" ] || return 0
  # shellcheck disable=SC2016  # for the shell in there
  in_root trixie bash -ec 'dpkg --add-architecture i386
    apt-get update
    cd /tmp
    apt-get download libwine:i386
    dpkg -x libwine_*_i386.deb libwine
    cp -rn libwine/usr/lib/i386-linux-gnu/wine/i386-windows/. "$1/i386-windows/"
    rm -rf libwine libwine_*' - "$dlls"
}

mkdir -p "$roots"
exec 8>"$roots/trixie.lock"
flock 8
if [ ! -e "$roots/trixie/wine" ]; then
  {
    make_root trixie
    install_in trixie wine wine64
    add_32_bit_dlls
    touch "$roots/trixie/wine"
  } >"$roots/trixie-wine.log" 2>&1 8>&- || {
    cat "$roots/trixie-wine.log" >&2
    exit 1
  }
fi
exec 8>&-
export REACTOR_WINEPREFIX=${REACTOR_WINEPREFIX:-$root/build/wineprefix-10}
in_root trixie "$root/scripts/wine.sh" "$@"
