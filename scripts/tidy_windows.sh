#!/usr/bin/env bash
# clang-tidy for one source of the Windows build: clang needs the path of the headers of GCC's MinGW, and must not get an
# option that only GCC has.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
commands=build/tidy-wine/clang
mkdir -p $commands
sed 's/ -fno-keep-inline-dllexport//' build/tidy-wine/compile_commands.json >$commands/compile_commands.$$
mv $commands/compile_commands.$$ $commands/compile_commands.json
arguments=(--extra-arg=--target=x86_64-w64-windows-gnu --extra-arg=-nostdinc++)
while read -r folder; do
  arguments+=("--extra-arg=-isystem$folder")
done < <(x86_64-w64-mingw32-g++-posix -E -x c++ -v /dev/null 2>&1 >/dev/null | sed -n 's,^ \(/.*/include/c++.*\),\1,p')
exec clang-tidy-19 --quiet -p $commands "${arguments[@]}" "$1"
