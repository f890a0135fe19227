# reactor::epoll, the C API. On Windows a library: a static one stands on reactor::reactor; a DLL has in it what it needs
# and exports wepoll's five functions and epoll_post. On Linux there is nothing to build: its header includes the system's.
if(NOT WIN32)
  add_library(reactor_epoll INTERFACE)
  set(scope INTERFACE)
else()
  set(scope PUBLIC)
  set(epoll_sources capi/epoll.cpp capi/epoll_post.cpp capi/last_error.cpp capi/port.cpp)
  if(BUILD_SHARED_LIBS)
    add_library(reactor_epoll SHARED ${epoll_sources} ${sources})
    target_compile_definitions(reactor_epoll PRIVATE "WEPOLL_EXPORT=__declspec(dllexport)")
    target_link_libraries(reactor_epoll PRIVATE ws2_32)
    if(MINGW)
      target_link_options(reactor_epoll PRIVATE -static)  # C programs have no C++ runtime to bring
    endif()
  else()
    add_library(reactor_epoll STATIC ${epoll_sources})
    target_link_libraries(reactor_epoll PRIVATE reactor)
    if(MINGW)
      target_link_libraries(reactor_epoll INTERFACE stdc++)  # for projects that have C alone
    endif()
  endif()
  target_include_directories(reactor_epoll PRIVATE "${PROJECT_SOURCE_DIR}")
  target_compile_features(reactor_epoll PRIVATE cxx_std_23)
  set_target_properties(reactor_epoll PROPERTIES
    CXX_EXTENSIONS OFF
    CXX_VISIBILITY_PRESET hidden
    VISIBILITY_INLINES_HIDDEN ON
    POSITION_INDEPENDENT_CODE ON)
  if(PROJECT_IS_TOP_LEVEL)
    target_compile_options(reactor_epoll PRIVATE $<TARGET_PROPERTY:reactor_build_options,INTERFACE_COMPILE_OPTIONS>)
    target_compile_definitions(reactor_epoll PRIVATE
                               $<TARGET_PROPERTY:reactor_build_options,INTERFACE_COMPILE_DEFINITIONS>)
  endif()
endif()
add_library(reactor::epoll ALIAS reactor_epoll)
set_target_properties(reactor_epoll PROPERTIES EXPORT_NAME epoll)
target_sources(reactor_epoll ${scope} FILE_SET HEADERS BASE_DIRS "${PROJECT_SOURCE_DIR}" FILES epoll.h epoll_post.h)
# The folder that has wepoll.h and nothing else.
target_include_directories(reactor_epoll ${scope} "$<BUILD_INTERFACE:${CMAKE_CURRENT_SOURCE_DIR}/compat>")
