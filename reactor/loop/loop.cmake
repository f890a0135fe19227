# reactor::loop: coroutines, timers and sockets on the Poller's public interface. A library of its own.
if(NOT REACTOR_LOOP)
  return()
endif()
set(loop_headers condition.hpp context.hpp export.hpp group.hpp io.hpp loop.hpp memory.hpp names.hpp reader.hpp signals.hpp sockets.hpp stop_token.hpp task.hpp time.hpp timers.hpp)
set(loop_sources condition.cpp context.cpp group.cpp io.cpp loop.cpp memory.cpp names.cpp reader.cpp signals.cpp sockets.cpp time.cpp timers.cpp)
list(TRANSFORM loop_headers PREPEND loop/)
list(TRANSFORM loop_sources PREPEND loop/)
if(WIN32)
  set(loop_system_sources net/names.cpp net/windows_signals.cpp)
else()
  set(loop_system_sources net/names.cpp net/posix_signals.cpp)
endif()
add_library(reactor_loop ${unless_linked} ${loop_sources} ${loop_system_sources})
add_library(reactor::loop ALIAS reactor_loop)
target_sources(reactor_loop PUBLIC FILE_SET HEADERS BASE_DIRS "${PROJECT_SOURCE_DIR}" FILES ${loop_headers})
target_link_libraries(reactor_loop PUBLIC reactor)
if(WIN32)
  target_link_libraries(reactor_loop PRIVATE ws2_32)
else()
  target_link_libraries(reactor_loop PRIVATE Threads::Threads)
endif()
set_target_properties(reactor_loop PROPERTIES
  EXPORT_NAME loop
  VERSION ${PROJECT_VERSION}
  SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR}
  CXX_EXTENSIONS OFF
  CXX_VISIBILITY_PRESET hidden
  VISIBILITY_INLINES_HIDDEN ON
  POSITION_INDEPENDENT_CODE ON)
if(type STREQUAL "SHARED_LIBRARY")
  target_compile_definitions(reactor_loop PRIVATE REACTOR_LOOP_BUILDING)
  if(UNIX)
    target_link_options(reactor_loop PRIVATE "LINKER:--version-script=${CMAKE_CURRENT_SOURCE_DIR}/loop/exports.map")
    set_property(TARGET reactor_loop PROPERTY LINK_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/loop/exports.map")
  endif()
endif()
if(PROJECT_IS_TOP_LEVEL)
  target_compile_options(reactor_loop PRIVATE $<TARGET_PROPERTY:reactor_build_options,INTERFACE_COMPILE_OPTIONS>)
  target_compile_definitions(reactor_loop PRIVATE $<TARGET_PROPERTY:reactor_build_options,INTERFACE_COMPILE_DEFINITIONS>)
endif()

# reactor::loop_sim: the same over reactor::sim, for programs that are linked with that.
if(TARGET reactor_sim)
  add_library(reactor_loop_sim STATIC ${unless_linked} ${loop_sources} net/sim_names.cpp)
  add_library(reactor::loop_sim ALIAS reactor_loop_sim)
  target_sources(reactor_loop_sim PUBLIC FILE_SET HEADERS BASE_DIRS "${PROJECT_SOURCE_DIR}" FILES ${loop_headers})
  target_link_libraries(reactor_loop_sim PUBLIC reactor_sim)
  set_target_properties(reactor_loop_sim PROPERTIES EXPORT_NAME loop_sim CXX_EXTENSIONS OFF)
  if(PROJECT_IS_TOP_LEVEL)
    target_compile_options(reactor_loop_sim PRIVATE $<TARGET_PROPERTY:reactor_build_options,INTERFACE_COMPILE_OPTIONS>)
    target_compile_definitions(reactor_loop_sim PRIVATE $<TARGET_PROPERTY:reactor_build_options,INTERFACE_COMPILE_DEFINITIONS>)
  endif()
endif()
