#!/usr/bin/env bash
# Makes the packages of a release in build/packages/: the source archive first, the others from what it unpacks to.
#   scripts/package.sh [source|debian|windows]...      (all three when none is named)
# debian: libreactor and libreactor-dev. windows: a zip, by MinGW. Both have the static and the shared library.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$PWD
kinds=("$@")
[ ${#kinds[@]} -gt 0 ] || kinds=(source debian windows)
out=$root/build/packages
version=$(sed -n 's/^project(reactor VERSION \([0-9.]*\).*/\1/p' CMakeLists.txt)
"$root/scripts/setup.sh" packages

make_source() {
  local tree
  tree=$(mktemp -d)  # not below build/, which the archive leaves out
  rm -rf "$out/source" "$out/reactor-$version"
  git ls-files -z --cached --others --exclude-standard | while IFS= read -r -d '' file; do
    [ ! -e "$file" ] || printf '%s\0' "$file"
  done | tar --null --files-from=- -cf - | tar -xf - -C "$tree"
  cmake -S "$tree" -B "$out/source" -G Ninja -DREACTOR_TESTS=OFF -DREACTOR_EXAMPLES=OFF
  cpack --config "$out/source/CPackSourceConfig.cmake" -B "$out"
  rm -rf "$out/_CPack_Packages" "$tree"
  tar -xzf "$out/reactor-$version.tar.gz" -C "$out"
}

make_binary() {  # KIND, the one of static and shared whose reactor.pc serves both, OPTION...
  local kind=$1 last=$2 first=static form projects=''
  [ "$last" = shared ] || first=shared
  for form in "$first" "$last"; do
    cmake -S "$out/reactor-$version" -B "$out/$kind-$form" -G Ninja -DCMAKE_BUILD_TYPE=Release -DREACTOR_TESTS=OFF \
      -DREACTOR_EXAMPLES=OFF -DREACTOR_GATES=OFF -DREACTOR_CARES=OFF -DBUILD_SHARED_LIBS="$([ "$form" = shared ] && echo ON || echo OFF)" "${@:3}"
    cmake --build "$out/$kind-$form"
    projects="$projects;$out/$kind-$form;reactor;ALL;/"
  done
  (umask 022 && cpack --config "$out/$kind-shared/CPackConfig.cmake" -B "$out" -D "CPACK_INSTALL_CMAKE_PROJECTS=${projects#;}")
  rm -rf "$out/_CPack_Packages"
}

mkdir -p "$out"
[[ " ${kinds[*]} " == *" source "* ]] || [ -e "$out/reactor-$version" ] || kinds=(source "${kinds[@]}")
for kind in "${kinds[@]}"; do
  case $kind in
    source) make_source ;;
    # The shared library is what `-lreactor` means; its reactor.pc names no more than that.
    debian) make_binary debian shared -DREACTOR_DEBIAN=ON -DCMAKE_INSTALL_PREFIX=/usr ;;
    # The static library's reactor.pc lets MinGW link either, since nothing but functions is imported.
    windows) make_binary windows static -DCMAKE_TOOLCHAIN_FILE="$out/reactor-$version/cmake/mingw-w64-x86-64.cmake" ;;
    *)
      echo "package.sh: no kind '$kind': source, debian or windows" >&2
      exit 1
      ;;
  esac
done
