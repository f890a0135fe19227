# reactor::module is `import reactor;`, reactor::loop_module is `import reactor.loop;`. Where the tools have modules.
set(has_modules OFF)
if(CMAKE_VERSION VERSION_GREATER_EQUAL 3.28 AND CMAKE_GENERATOR MATCHES "Ninja" AND
   ((CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_GREATER_EQUAL 15) OR
    (CMAKE_CXX_COMPILER_ID STREQUAL "Clang" AND CMAKE_CXX_COMPILER_VERSION VERSION_GREATER_EQUAL 17 AND
     CMAKE_CXX_COMPILER_CLANG_SCAN_DEPS)))
  set(has_modules ${PROJECT_IS_TOP_LEVEL})
endif()
option(REACTOR_MODULE "Build the C++20 modules: CMake 3.28 and Ninja, with clang 17 and clang-scan-deps, or GCC 15" ${has_modules})
if(NOT REACTOR_MODULE)
  return()
endif()

function(reactor_add_module target name library file)
  add_library(${target} STATIC ${unless_linked})
  add_library(reactor::${name} ALIAS ${target})
  target_sources(${target} PUBLIC FILE_SET CXX_MODULES BASE_DIRS "${CMAKE_CURRENT_SOURCE_DIR}/modules" FILES modules/${file})
  target_link_libraries(${target} PUBLIC ${library})
  set_target_properties(${target} PROPERTIES EXPORT_NAME ${name} CXX_EXTENSIONS OFF POSITION_INDEPENDENT_CODE ON)
endfunction()
reactor_add_module(reactor_module module reactor reactor.cppm)
if(TARGET reactor_loop)
  reactor_add_module(reactor_loop_module loop_module reactor_loop reactor_loop.cppm)
  target_link_libraries(reactor_loop_module PUBLIC reactor_module)
endif()
