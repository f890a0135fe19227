# ARM64 Windows programs, by the clang, libc++ and MinGW that Zig ships (scripts/arm64.sh). Compiled and linked, never run.
set(CMAKE_SYSTEM_NAME Windows)
set(CMAKE_SYSTEM_PROCESSOR ARM64)
set(CMAKE_CXX_COMPILER "${REACTOR_ZIG}" c++ -target aarch64-windows-gnu)
set(CMAKE_C_COMPILER "${REACTOR_ZIG}" cc -target aarch64-windows-gnu)
set(CMAKE_TRY_COMPILE_PLATFORM_VARIABLES REACTOR_ZIG)
set(CMAKE_AR "${CMAKE_CURRENT_LIST_DIR}/../build/zig/ar" CACHE FILEPATH "")
set(CMAKE_RANLIB "${CMAKE_CURRENT_LIST_DIR}/../build/zig/ranlib" CACHE FILEPATH "")
