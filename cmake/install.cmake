# What `cmake --install` installs: the public headers, the library, and how CMake and pkg-config find them.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/reactor)

set(installed_targets reactor reactor_epoll reactor_loop)
if(TARGET reactor_sim)
  list(APPEND installed_targets reactor_sim reactor_loop_sim)
endif()
install(TARGETS ${installed_targets} EXPORT reactorTargets
        FILE_SET HEADERS DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
        RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR}
        LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(FILES ${PROJECT_SOURCE_DIR}/reactor/compat/wepoll.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT reactorTargets NAMESPACE reactor:: DESTINATION ${package_dir})

get_target_property(type reactor TYPE)
set(needs_threads OFF)
set(system_libraries -lws2_32)
if(NOT WIN32)
  set(system_libraries -pthread)
  set(needs_threads ON)  # of reactor::sim, which is static, if not of reactor::reactor
endif()
configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/reactorConfig.cmake.in
                              ${PROJECT_BINARY_DIR}/reactorConfig.cmake INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/reactorConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/reactorConfig.cmake ${PROJECT_BINARY_DIR}/reactorConfigVersion.cmake
        DESTINATION ${package_dir})

# A shared library brings what it needs; with a static one, the program that links it must name that.
if(type STREQUAL "SHARED_LIBRARY")
  set(pc_libs_private ${system_libraries})
  set(pc_cflags -DREACTOR_SHARED)
else()
  set(pc_libs ${system_libraries})
endif()
# Relative to where the file lies, so that an installed tree may be moved; absolute where the folders are.
set(pc_prefix ${CMAKE_INSTALL_PREFIX})
if(NOT IS_ABSOLUTE "${CMAKE_INSTALL_LIBDIR}")
  file(RELATIVE_PATH up "/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/")
  string(REGEX REPLACE "/$" "" up "${up}")
  set(pc_prefix "\${pcfiledir}/${up}")
endif()
foreach(folder LIBDIR INCLUDEDIR)
  string(TOLOWER pc_${folder} pc_folder)
  set(${pc_folder} ${CMAKE_INSTALL_${folder}})
  if(NOT IS_ABSOLUTE "${CMAKE_INSTALL_${folder}}")
    set(${pc_folder} "\${prefix}/${CMAKE_INSTALL_${folder}}")
  endif()
endforeach()
# The C API: on Linux a header alone, on Windows a library that C programs link, with or without a C++ compiler.
if(NOT WIN32)
  set(pc_epoll_libs "")
elseif(type STREQUAL "SHARED_LIBRARY")
  set(pc_epoll_libs "-L\${libdir} -lreactor_epoll")
else()
  set(pc_epoll_libs "-L\${libdir} -lreactor_epoll -lreactor -lws2_32 -lstdc++")
endif()
configure_file(${PROJECT_SOURCE_DIR}/cmake/reactor.pc.in ${PROJECT_BINARY_DIR}/reactor.pc @ONLY)
configure_file(${PROJECT_SOURCE_DIR}/cmake/reactor-loop.pc.in ${PROJECT_BINARY_DIR}/reactor-loop.pc @ONLY)
configure_file(${PROJECT_SOURCE_DIR}/cmake/reactor-epoll.pc.in ${PROJECT_BINARY_DIR}/reactor-epoll.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/reactor.pc ${PROJECT_BINARY_DIR}/reactor-loop.pc ${PROJECT_BINARY_DIR}/reactor-epoll.pc
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DATAROOTDIR}/licenses/reactor)
