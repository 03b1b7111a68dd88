# What is installed: the public headers, both libraries (shared, and static beside them), the modules that were built
# (modules/CMakeLists.txt), the generator, the .proto file that users import, and two ways of finding all that: pkg-config
# (tether-ctx, tether, tether-<module>) and CMake (find_package(tether): tether::tether-ctx, tether::tether,
# tether::<module>, tether::protoc-gen-tether, tether_generate).
include(CMakePackageConfigHelpers)

option(TETHER_INSTALL_STATIC "Install the static libraries too" ON)

set(TETHER_CMAKE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/tether)

get_property(modules GLOBAL PROPERTY TETHER_MODULES)
get_property(TETHER_MODULE_PACKAGES GLOBAL PROPERTY TETHER_MODULE_PACKAGES)

# A module's header is there if the module is.
file(GLOB left_out RELATIVE ${PROJECT_SOURCE_DIR}/modules ${PROJECT_SOURCE_DIR}/modules/*)
list(REMOVE_ITEM left_out CMakeLists.txt ${modules})
list(TRANSFORM left_out REPLACE "(.+)" "PATTERN;\\1.h;EXCLUDE")
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/tether DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
        FILES_MATCHING ${left_out} PATTERN *.h)
install(FILES ${PROJECT_SOURCE_DIR}/proto/tether/options.proto DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/tether)
install(TARGETS tether-ctx-shared tether-shared EXPORT tether-targets)
if(TETHER_INSTALL_STATIC)
  install(TARGETS tether-ctx tether)
endif()
foreach(module ${modules})
  install(TARGETS tether-${module}-shared EXPORT tether-targets)
  if(TETHER_INSTALL_STATIC)
    install(TARGETS tether-${module})
  endif()
endforeach()
if(TARGET protoc-gen-tether)
  install(TARGETS protoc-gen-tether EXPORT tether-targets)
endif()

install(EXPORT tether-targets NAMESPACE tether:: DESTINATION ${TETHER_CMAKE_DIR})
configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/tether-config.cmake.in ${PROJECT_BINARY_DIR}/tether-config.cmake
                              INSTALL_DESTINATION ${TETHER_CMAKE_DIR})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/tether-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/tether-config.cmake ${PROJECT_BINARY_DIR}/tether-config-version.cmake
              ${CMAKE_CURRENT_LIST_DIR}/TetherGenerate.cmake
        DESTINATION ${TETHER_CMAKE_DIR})

# Relative to where they are found, so that an installed tree can be moved.
file(RELATIVE_PATH TETHER_PC_TO_PREFIX ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
string(REGEX REPLACE "/$" "" TETHER_PC_TO_PREFIX "${TETHER_PC_TO_PREFIX}")
foreach(package tether-ctx tether)
  configure_file(${CMAKE_CURRENT_LIST_DIR}/${package}.pc.in ${PROJECT_BINARY_DIR}/${package}.pc @ONLY)
  install(FILES ${PROJECT_BINARY_DIR}/${package}.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
endforeach()
foreach(module ${modules})
  get_property(description GLOBAL PROPERTY TETHER_MODULE_${module}_DESCRIPTION)
  get_property(requires GLOBAL PROPERTY TETHER_MODULE_${module}_REQUIRES)
  get_property(requires_private GLOBAL PROPERTY TETHER_MODULE_${module}_REQUIRES_PRIVATE)
  configure_file(${CMAKE_CURRENT_LIST_DIR}/tether-module.pc.in ${PROJECT_BINARY_DIR}/tether-${module}.pc @ONLY)
  install(FILES ${PROJECT_BINARY_DIR}/tether-${module}.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
endforeach()
