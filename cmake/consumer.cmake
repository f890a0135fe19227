# cmake -DSETTINGS=<file> -DHOW=<how> -P consumer.cmake
# Plays somebody who uses the library: configures, builds and runs tests/consumer/ with the compiler of the outer build.
#   install           puts the outer build into an install tree and moves that to another folder
#   find_package      from that tree, by reactorConfig.cmake
#   pkg_config        from that tree, by reactor.pc
#   add_subdirectory  from the sources
#   fetch_content     from the sources
#   shared            a shared library of its own: what it exports, then as find_package
# SETTINGS is what tests/CMakeLists.txt knows of the outer build.
cmake_minimum_required(VERSION 3.25)
include("${SETTINGS}")
set(work "${BINARY_DIR}/consumer/${HOW}")
set(prefix "${BINARY_DIR}/consumer/prefix")

function(run)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE code)
  if(NOT code EQUAL 0)
    message(FATAL_ERROR "${HOW}: exit code ${code} from: ${ARGN}")
  endif()
endfunction()

# CMake hands a list over as one argument only when its semicolons survive run(); none of these has one.
set(outer -G "${GENERATOR}" "-DCMAKE_BUILD_TYPE=${CONFIG}" "-DCMAKE_CXX_FLAGS=${CXX_FLAGS}")
if(PLATFORM)
  list(APPEND outer -A "${PLATFORM}")
endif()
if(TOOLSET)
  list(APPEND outer -T "${TOOLSET}")
endif()
if(TOOLCHAIN)
  list(APPEND outer "-DCMAKE_TOOLCHAIN_FILE=${TOOLCHAIN}")
elseif(NOT GENERATOR MATCHES "Visual Studio")
  list(APPEND outer "-DCMAKE_CXX_COMPILER=${CXX_COMPILER}")
endif()

# A consumer who turns warnings on gets none from our headers: it builds them as errors.
set(strict "${CXX_FLAGS} -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wold-style-cast -Werror")
if(MSVC)
  set(strict "${CXX_FLAGS} /W4 /WX /EHsc")
endif()

function(configure source build)
  file(REMOVE_RECURSE "${build}")
  run("${CMAKE_COMMAND}" -S "${source}" -B "${build}" ${outer} ${ARGN})
endfunction()

function(build_and_run build)
  run("${CMAKE_COMMAND}" --build "${build}" --config ${CONFIG})
  file(GLOB programs "${build}/app" "${build}/app.exe" "${build}/${CONFIG}/app.exe")
  run(${EMULATOR} ${programs})
endfunction()

# A toolchain that looks for packages in its own root only has to be told where this one is.
function(consume prefix)
  set(found_in "-Dreactor_DIR=${prefix}/${LIBDIR}/cmake/reactor")
  if(NOT TOOLCHAIN)
    set(found_in "-DCMAKE_PREFIX_PATH=${prefix}")
  endif()
  configure("${SOURCE_DIR}/tests/consumer/find_package" "${work}" "${found_in}" "-DCMAKE_CXX_FLAGS=${strict}" ${ARGN})
  build_and_run("${work}")
endfunction()

# What of the compiler's own a MinGW program needs beside it, when it is not linked statically.
set(link_statically "")
if(MINGW)
  set(link_statically "-DCMAKE_EXE_LINKER_FLAGS=-static")
endif()

function(make_runtime_findable prefix)
  set(folders "${prefix}/bin")
  if(MINGW)
    foreach(library libstdc++-6.dll libgcc_s_seh-1.dll libwinpthread-1.dll)
      execute_process(COMMAND "${CXX_COMPILER}" -print-file-name=${library} OUTPUT_VARIABLE file
                      OUTPUT_STRIP_TRAILING_WHITESPACE)
      get_filename_component(folder "${file}" DIRECTORY)
      list(APPEND folders "${folder}")
    endforeach()
  endif()
  list(REMOVE_DUPLICATES folders)
  if(EMULATOR)
    list(TRANSFORM folders PREPEND "Z:")
    set(ENV{WINEPATH} "${folders}")
  elseif(WIN32)
    cmake_path(CONVERT "${folders}" TO_NATIVE_PATH_LIST folders)
    set(ENV{PATH} "${folders};$ENV{PATH}")
  endif()
endfunction()

if(HOW STREQUAL "install")
  file(REMOVE_RECURSE "${work}" "${prefix}")
  run("${CMAKE_COMMAND}" --install "${BINARY_DIR}" --config ${CONFIG} --prefix "${work}")
  file(RENAME "${work}" "${prefix}")
  file(GLOB_RECURSE installed RELATIVE "${prefix}" "${prefix}/include/*")
  list(SORT installed)
  set(public address event export poller result socket)
  list(TRANSFORM public REPLACE "(.+)" "include/reactor/\\1.hpp")
  if(NOT installed STREQUAL public)
    message(FATAL_ERROR "installed headers: expected ${public}, came ${installed}")
  endif()
elseif(HOW STREQUAL "find_package")
  consume("${prefix}" ${link_statically})
elseif(HOW STREQUAL "pkg_config")
  set(ENV{PKG_CONFIG_PATH} "${prefix}/${LIBDIR}/pkgconfig")
  run("${PKG_CONFIG}" --exact-version=${VERSION} reactor)
  execute_process(COMMAND "${PKG_CONFIG}" --cflags --libs reactor OUTPUT_VARIABLE flags COMMAND_ERROR_IS_FATAL ANY)
  separate_arguments(flags UNIX_COMMAND "${CXX_FLAGS} ${flags}")
  file(MAKE_DIRECTORY "${work}")
  run("${CXX_COMPILER}" -std=c++23 "${SOURCE_DIR}/tests/consumer/app.cpp" -o "${work}/app" ${flags})
  run("${work}/app")
elseif(HOW STREQUAL "add_subdirectory")
  configure("${SOURCE_DIR}/tests/consumer/add_subdirectory" "${work}" "-DREACTOR_SOURCE=${SOURCE_DIR}"
            "-DCMAKE_CXX_FLAGS=${strict}" ${link_statically})
  build_and_run("${work}")
elseif(HOW STREQUAL "fetch_content")
  configure("${SOURCE_DIR}/tests/consumer/fetch_content" "${work}" "-DFETCHCONTENT_SOURCE_DIR_REACTOR=${SOURCE_DIR}"
            "-DCMAKE_CXX_FLAGS=${strict}" ${link_statically})
  build_and_run("${work}")
elseif(HOW STREQUAL "shared")
  configure("${SOURCE_DIR}" "${work}.library" -DBUILD_SHARED_LIBS=ON -DREACTOR_GATES=OFF -DREACTOR_EXAMPLES=OFF
            -DREACTOR_WARNINGS_AS_ERRORS=ON)
  run("${CMAKE_COMMAND}" --build "${work}.library" --config ${CONFIG})
  file(REMOVE_RECURSE "${work}.prefix")
  run("${CMAKE_COMMAND}" --install "${work}.library" --config ${CONFIG} --prefix "${work}.prefix")
  if(NOT MSVC)
    include("${SOURCE_DIR}/cmake/check_exports.cmake")
  endif()
  make_runtime_findable("${work}.prefix")
  consume("${work}.prefix")
else()
  message(FATAL_ERROR "no such way to consume the library: '${HOW}'")
endif()
