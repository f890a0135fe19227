# A port for vcpkg: copy this folder to an overlay, or to ports/reactor. When a version is published, REPO and SHA512 are set:
# `sha512sum` of the tag's archive.
vcpkg_from_github(
    OUT_SOURCE_PATH SOURCE_PATH
    REPO "reactor/reactor"
    REF "v${VERSION}"
    SHA512 0
    HEAD_REF main
)

vcpkg_check_features(OUT_FEATURE_OPTIONS FEATURE_OPTIONS
    FEATURES
        c-ares REACTOR_CARES
        loop REACTOR_LOOP
        sim REACTOR_SIM
)

vcpkg_cmake_configure(
    SOURCE_PATH "${SOURCE_PATH}"
    OPTIONS
        -DREACTOR_TESTS=OFF
        -DREACTOR_EXAMPLES=OFF
        -DREACTOR_GATES=OFF
        -DREACTOR_MODULE=OFF
        ${FEATURE_OPTIONS}
)
vcpkg_cmake_install()
vcpkg_cmake_config_fixup(PACKAGE_NAME reactor CONFIG_PATH lib/cmake/reactor)
vcpkg_fixup_pkgconfig()
vcpkg_copy_pdbs()

file(REMOVE_RECURSE
    "${CURRENT_PACKAGES_DIR}/debug/include"
    "${CURRENT_PACKAGES_DIR}/debug/share"
    "${CURRENT_PACKAGES_DIR}/share/doc"
    "${CURRENT_PACKAGES_DIR}/share/licenses"
)
file(INSTALL "${CMAKE_CURRENT_LIST_DIR}/usage" DESTINATION "${CURRENT_PACKAGES_DIR}/share/${PORT}")
vcpkg_install_copyright(FILE_LIST "${SOURCE_PATH}/LICENSE")
