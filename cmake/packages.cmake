# What CPack makes; scripts/package.sh runs it over a static and a shared build together.
#   Debian   libreactor (runtime) and libreactor-dev (dev), configured with -DREACTOR_DEBIAN=ON
#   Windows  one zip
#   sources  TGZ, from a folder that has what is in git and nothing else
set(CPACK_PACKAGE_NAME reactor)
set(CPACK_PACKAGE_VENDOR "The reactor authors")
set(CPACK_PACKAGE_CONTACT "The reactor authors <reactor@reactor.invalid>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "${PROJECT_DESCRIPTION}")
set(CPACK_RESOURCE_FILE_LICENSE "${PROJECT_SOURCE_DIR}/LICENSE")
set(CPACK_PACKAGE_CHECKSUM SHA256)
set(CPACK_STRIP_FILES ON)
set(CPACK_THREADS 0)
set(CPACK_SOURCE_GENERATOR TGZ)
set(CPACK_SOURCE_PACKAGE_FILE_NAME "reactor-${PROJECT_VERSION}")
set(CPACK_SOURCE_IGNORE_FILES "/\\\\.git/;/\\\\.git$;/build/;/out/;__pycache__")
set(CPACK_COMPONENTS_ALL runtime dev)

if(WIN32)
  set(CPACK_GENERATOR ZIP)
  string(TOLOWER "${CMAKE_SYSTEM_PROCESSOR}" processor)
  set(compiler msvc)
  if(MINGW)
    set(compiler mingw)
  endif()
  set(CPACK_PACKAGE_FILE_NAME "reactor-${PROJECT_VERSION}-windows-${processor}-${compiler}")
elseif(REACTOR_DEBIAN)
  set(CPACK_GENERATOR DEB)
  set(CPACK_DEB_COMPONENT_INSTALL ON)
  set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
  set(CPACK_DEBIAN_PACKAGE_RELEASE 1)
  set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
  set(CPACK_DEBIAN_COMPRESSION_TYPE xz)
  set(CPACK_DEBIAN_RUNTIME_PACKAGE_NAME libreactor)
  set(CPACK_DEBIAN_RUNTIME_PACKAGE_SECTION libs)
  set(CPACK_DEBIAN_RUNTIME_PACKAGE_SHLIBDEPS ON)
  set(CPACK_DEBIAN_RUNTIME_PACKAGE_CONTROL_EXTRA "${CMAKE_CURRENT_BINARY_DIR}/debian/shlibs;${CMAKE_CURRENT_BINARY_DIR}/debian/triggers")
  set(CPACK_DEBIAN_DEV_PACKAGE_NAME libreactor-dev)
  set(CPACK_DEBIAN_DEV_PACKAGE_SECTION libdevel)
  set(CPACK_DEBIAN_DEV_PACKAGE_DEPENDS "libreactor (= ${PROJECT_VERSION}-1), libstdc++-12-dev | libstdc++-dev")
  set(CPACK_DEBIAN_DEV_PACKAGE_SUGGESTS "cmake, pkgconf")
  set(CPACK_COMPONENT_RUNTIME_DESCRIPTION
      "readiness of sockets for Windows and Linux, shared libraries\nA reactor says when sockets are ready. This one has one interface\nfor Linux and Windows.\n.\nThis package has the shared libraries that linked programs need.")
  set(CPACK_COMPONENT_DEV_DESCRIPTION
      "readiness of sockets for Windows and Linux, to build programs\nA reactor says when sockets are ready. This one has one interface\nfor Linux and Windows.\n.\nThis package has the headers, the static libraries, the files for CMake\nand pkg-config, and the documents.")
  # What Debian wants in each package.
  set(debian ${CMAKE_CURRENT_BINARY_DIR}/debian)
  file(READ LICENSE license)
  file(WRITE ${debian}/copyright "${license}")
  file(WRITE ${debian}/changelog "libreactor (${PROJECT_VERSION}-1) unstable; urgency=medium

  * Version ${PROJECT_VERSION}: see CHANGELOG.md in libreactor-dev.

 -- ${CPACK_PACKAGE_CONTACT}  Thu, 01 Jan 2026 00:00:00 +0000
")
  set(soversion ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR})
  set(shlibs "libreactor ${soversion} libreactor (>= ${PROJECT_VERSION})\n")
  if(TARGET reactor_loop)
    string(APPEND shlibs "libreactor_loop ${soversion} libreactor (>= ${PROJECT_VERSION})\n")
  endif()
  file(WRITE ${debian}/shlibs "${shlibs}")
  file(WRITE ${debian}/triggers "activate-noawait ldconfig\n")
  find_program(GZIP gzip REQUIRED)
  execute_process(COMMAND ${GZIP} -9nf ${debian}/changelog COMMAND_ERROR_IS_FATAL ANY)
  file(RENAME ${debian}/changelog.gz ${debian}/changelog.Debian.gz)
  foreach(component runtime dev)
    string(TOUPPER ${component} upper)
    install(FILES ${debian}/copyright ${debian}/changelog.Debian.gz
            DESTINATION share/doc/${CPACK_DEBIAN_${upper}_PACKAGE_NAME} COMPONENT ${component})
  endforeach()
endif()

include(GNUInstallDirs)
set(documents ${CMAKE_INSTALL_DOCDIR})
if(REACTOR_DEBIAN)
  set(documents share/doc/libreactor-dev)
endif()
install(FILES README.md CHANGELOG.md DESTINATION ${documents} COMPONENT dev)
install(DIRECTORY docs DESTINATION ${documents} COMPONENT dev FILES_MATCHING PATTERN *.md PATTERN *.svg PATTERN *.in.md EXCLUDE
        PATTERN facts EXCLUDE)
include(CPack)
