#!/usr/bin/env bash
# clang-tidy for one source of the Windows build: clang needs the path of the headers of GCC's MinGW, and must not get an
# option that only GCC has.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
case $1 in
  bench/*) build=build/bench-wine ;;
  *) build=build/wine ;;
esac
mkdir -p $build/tidy
sed 's/ -fno-keep-inline-dllexport//' $build/compile_commands.json >$build/tidy/compile_commands.$$
mv $build/tidy/compile_commands.$$ $build/tidy/compile_commands.json
arguments=(--extra-arg=--target=x86_64-w64-windows-gnu --extra-arg=-nostdinc++)
while read -r folder; do
  arguments+=("--extra-arg=-isystem$folder")
done < <(x86_64-w64-mingw32-g++-posix -E -x c++ -v /dev/null 2>&1 >/dev/null | sed -n 's,^ \(/.*/include/c++.*\),\1,p')
exec clang-tidy-19 --quiet -p $build/tidy "${arguments[@]}" "$1"
