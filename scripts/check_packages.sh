#!/usr/bin/env bash
# Uses the packages that scripts/package.sh has made as their users would.
#   scripts/check_packages.sh [source|debian|windows|recipes|module]...      (all when none is named)
# debian: lintian; both packages in a fresh Debian 12, where the program of README.md is built and run.
# windows: the unpacked zip; programs of a user, built by MinGW, run under Wine.
# recipes: what packaging/ has for vcpkg and Conan, as far as that can be checked without them.
# module: `import reactor;` by clang and GCC, in later releases of Debian.
# Needs root, for debootstrap (scripts/roots.sh).
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
# shellcheck source=scripts/roots.sh
. "$root/scripts/roots.sh"
unset CMAKE_CXX_COMPILER_LAUNCHER CMAKE_C_COMPILER_LAUNCHER  # the machine's own, which a fresh Debian does not have
kinds=("$@")
[ ${#kinds[@]} -gt 0 ] || kinds=(source debian windows recipes module)
out=$root/build/packages
version=$(sed -n 's/^project(reactor VERSION \([0-9.]*\).*/\1/p' CMakeLists.txt)
greeting='received 6 bytes: hello'

fail() {
  echo "FAIL packages: $*" >&2
  exit 1
}

check_source() {
  local listed archived
  listed=$(git ls-files --cached --others --exclude-standard | while IFS= read -r file; do
    [ ! -e "$file" ] || echo "$file"
  done | LC_ALL=C sort)
  archived=$(tar -tzf "$out/reactor-$version.tar.gz" | grep -v '/$' | sed 's|^[^/]*/||' | LC_ALL=C sort)
  diff <(echo "$listed") <(echo "$archived") || fail "the source archive has other files than git"
  echo "PASS source archive: $(wc -l <<<"$archived") files"
}

# The program of README.md, which is examples/first_program.cpp, in a folder of its own.
begin_project() {  # FOLDER
  rm -rf "$1"
  mkdir -p "$1"
  cp examples/first_program.cpp "$1/app.cpp"
  cat >"$1/CMakeLists.txt" <<'END'
cmake_minimum_required(VERSION 3.25)
project(app LANGUAGES CXX)
find_package(reactor 0.2 REQUIRED COMPONENTS ${FORM} loop epoll)
add_executable(app app.cpp)
target_link_libraries(app reactor::reactor)
END
}

check_debian() {
  local packages=("$out"/libreactor*_"$version"-1_*.deb) user=$out/user-debian form links
  [ ${#packages[@]} -eq 2 ] || fail "expected two packages: ${packages[*]}"
  lintian --allow-root --fail-on error "${packages[@]}"
  make_root bookworm bookworm-fresh
  rm -rf "${roots:?}/bookworm-user"
  cp -a "$roots/bookworm-fresh" "$roots/bookworm-user"
  in_root bookworm-user apt-get update
  in_root bookworm-user apt-get install -y "${packages[@]}" g++ cmake make pkgconf
  begin_project "$user"
  for form in static shared; do
    in_root bookworm-user cmake -S "$user" -B "$user/$form" -DFORM="$form"
    in_root bookworm-user cmake --build "$user/$form"
  done
  # shellcheck disable=SC2016  # for the shell in there
  in_root bookworm-user sh -c 'g++ -std=c++23 "$1/app.cpp" -o "$1/by_pkg_config" $(pkg-config --cflags --libs reactor)' - "$user"
  # Linked programs need libreactor alone.
  in_root bookworm-user apt-get remove -y libreactor-dev
  for form in static/app shared/app by_pkg_config; do
    in_root bookworm-user "$user/$form" | grep -F "$greeting" || fail "$form did not print '$greeting'"
    links=$(in_root bookworm-user ldd "$user/$form" | grep -c "libreactor.so.${version%.*}" || true)
    [ "$links" = "$([ "$form" = static/app ] && echo 0 || echo 1)" ] || fail "$form is linked with the wrong form of the library"
  done
  rm -rf "${roots:?}/bookworm-user"
  echo "PASS Debian packages: $(basename -a "${packages[@]}" | paste -sd ' ')"
}

check_windows() {
  local zip=$out/reactor-$version-windows-amd64-mingw.zip user=$out/user-windows form project program flags links
  rm -rf "$user"
  mkdir -p "$user/unpacked"
  (cd "$user/unpacked" && cmake -E tar xf "$zip")
  for form in static shared; do
    flags=
    [ "$form" = shared ] || flags=-static
    for project in find_package epoll; do
      cmake -S "tests/consumer/$project" -B "$user/$form-$project" -G Ninja -DCMAKE_BUILD_TYPE=Release \
        -DCMAKE_TOOLCHAIN_FILE="$root/cmake/mingw-w64-x86-64.cmake" \
        -DCMAKE_PREFIX_PATH="$(echo "$user"/unpacked/*)" -DCMAKE_EXE_LINKER_FLAGS="$flags" \
        -DBUILD_SHARED_LIBS="$([ "$form" = shared ] && echo ON || echo OFF)"
      cmake --build "$user/$form-$project"
      if [ "$form" = shared ]; then
        cp "$user"/unpacked/*/bin/*.dll "$user/$form-$project/"
        for program in libstdc++-6.dll libgcc_s_seh-1.dll libwinpthread-1.dll; do
          cp "$(x86_64-w64-mingw32-g++-posix -print-file-name=$program)" "$user/$form-$project/"
        done
      fi
    done
    for program in find_package/app find_package/app_loop epoll/app epoll/app_wepoll; do
      scripts/wine.sh "$user/$form-$program.exe" || fail "$form-$program.exe: exit code $?"
    done
    links=$(x86_64-w64-mingw32-objdump -p "$user/$form-find_package/app.exe" | grep -c 'DLL Name: libreactor' || true)
    [ "$links" = "$([ "$form" = shared ] && echo 1 || echo 0)" ] || fail "$form-find_package/app.exe is linked with the wrong form of the library"
  done
  echo "PASS Windows zip: $(basename "$zip"), 8 programs under Wine"
}

build_module() {  # SUITE COMPILER PACKAGE...
  local suite=$1 compiler=$2 user=$out/user-module-$2
  make_root "$suite"
  install_in "$suite" cmake ninja-build "${@:3}"
  rm -rf "$user"
  in_root "$suite" cmake -S "$root" -B "$user/build" -G Ninja -DCMAKE_CXX_COMPILER="$compiler" -DCMAKE_BUILD_TYPE=Release \
    -DREACTOR_TESTS=OFF -DREACTOR_EXAMPLES=OFF -DREACTOR_SIM=OFF -DREACTOR_MODULE=ON
  in_root "$suite" cmake --build "$user/build"
  in_root "$suite" cmake --install "$user/build" --prefix "$user/prefix"
  in_root "$suite" cmake -S "$root/tests/consumer/module" -B "$user/app" -G Ninja -DCMAKE_CXX_COMPILER="$compiler" \
    -DCMAKE_PREFIX_PATH="$user/prefix"
  in_root "$suite" cmake --build "$user/app"
  in_root "$suite" "$user/app/app" | grep -F "$greeting" || fail "$compiler: the program did not print '$greeting'"
  in_root "$suite" "$user/app/app_loop" | grep -F "$greeting" || fail "$compiler: app_loop did not print '$greeting'"
  echo "PASS module: $compiler"
}

check_module() {
  build_module trixie clang++-19 clang-19 clang-tools-19 g++
  build_module sid g++-15 g++-15
}

for kind in "${kinds[@]}"; do
  case $kind in
    recipes) scripts/check_recipes.py --build ;;
    source | debian | windows | module) "check_$kind" ;;
    *) fail "no kind '$kind': source, debian, windows, recipes or module" ;;
  esac
done
