# What `cmake --install` installs: the public headers, the library, and how CMake and pkg-config find them. A static and a
# shared build may be installed into one folder. Component `runtime` is what a linked program needs, `dev` the rest.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/reactor)

set(installed_targets reactor reactor_epoll)
foreach(target reactor_loop reactor_sim reactor_loop_sim)
  if(TARGET ${target})
    list(APPEND installed_targets ${target})
  endif()
endforeach()
get_target_property(type reactor TYPE)
set(form static)
if(type STREQUAL "SHARED_LIBRARY")
  set(form shared)
endif()
install(TARGETS ${installed_targets} EXPORT reactorTargets
        FILE_SET HEADERS DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT dev
        RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT runtime
        LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT runtime NAMELINK_COMPONENT dev
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT dev)
install(FILES ${PROJECT_SOURCE_DIR}/reactor/compat/wepoll.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT dev)
install(EXPORT reactorTargets NAMESPACE reactor:: DESTINATION ${package_dir} FILE reactorTargets-${form}.cmake COMPONENT dev)

# Apart from the others: CMake before 3.28 refuses to read them.
if(TARGET reactor_module)
  set(modules reactor_module)
  if(TARGET reactor_loop_module)
    list(APPEND modules reactor_loop_module)
  endif()
  install(TARGETS ${modules} EXPORT reactorModules
          FILE_SET CXX_MODULES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/reactor/modules COMPONENT dev
          ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT dev)
  install(EXPORT reactorModules NAMESPACE reactor:: DESTINATION ${package_dir} FILE reactorModules-${form}.cmake
          CXX_MODULES_DIRECTORY modules-${form} COMPONENT dev)
endif()

set(needs_threads OFF)
set(system_libraries -lws2_32)
if(NOT WIN32)
  set(system_libraries -pthread)
  set(needs_threads ON)  # of reactor::sim, which is static, if not of reactor::reactor
endif()
if(has_cares AND NOT type STREQUAL "SHARED_LIBRARY")
  set(pc_loop_libs -lcares)
  install(FILES ${PROJECT_SOURCE_DIR}/cmake/FindCAres.cmake DESTINATION ${package_dir} COMPONENT dev)
endif()
configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/reactorConfig.cmake.in
                              ${PROJECT_BINARY_DIR}/reactorConfig.cmake INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/reactorConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/reactorConfig.cmake ${PROJECT_BINARY_DIR}/reactorConfigVersion.cmake
        DESTINATION ${package_dir} COMPONENT dev)

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
set(pc_files ${PROJECT_BINARY_DIR}/reactor.pc ${PROJECT_BINARY_DIR}/reactor-epoll.pc)
if(TARGET reactor_loop)
  list(APPEND pc_files ${PROJECT_BINARY_DIR}/reactor-loop.pc)
endif()
install(FILES ${pc_files}
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT dev)

if(NOT REACTOR_DEBIAN)  # there it is the file `copyright` of each package
  install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DATAROOTDIR}/licenses/reactor COMPONENT dev)
endif()
