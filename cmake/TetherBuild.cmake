# Compiler settings of every target, and the helpers that leaf CMakeLists.txt files use.
set(CMAKE_C_STANDARD 11)
set(CMAKE_C_EXTENSIONS ON)
set(CMAKE_C_VISIBILITY_PRESET hidden)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE RelWithDebInfo)
endif()

# Several build trees of the same sources are usual here (dev, sanitizers, clang): ccache pays where present.
find_program(CCACHE_EXECUTABLE ccache)
if(CCACHE_EXECUTABLE AND NOT DEFINED CMAKE_C_COMPILER_LAUNCHER)
  set(CMAKE_C_COMPILER_LAUNCHER ${CCACHE_EXECUTABLE})
endif()

find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(PROTOBUF_C REQUIRED IMPORTED_TARGET libprotobuf-c)
pkg_check_modules(JANSSON REQUIRED IMPORTED_TARGET jansson)
find_package(nng CONFIG REQUIRED)
find_package(OpenSSL 3.0 REQUIRED)

# What every target of ours is compiled with; never part of what is installed.
add_library(tether-warnings INTERFACE)
target_compile_options(tether-warnings INTERFACE -Wall -Wextra -Werror -Wstrict-prototypes -Wmissing-prototypes
                                                 -Wshadow -Wvla)
target_compile_definitions(tether-warnings INTERFACE _GNU_SOURCE $<$<BOOL:${TETHER_DEBUG}>:TETHER_DEBUG>)

if(TETHER_SANITIZE)
  add_compile_options(-fsanitize=${TETHER_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${TETHER_SANITIZE})
endif()

# Before 1.0 a minor version may break what was linked with the one before it.
set(TETHER_SOVERSION ${PROJECT_VERSION_MAJOR})
if(PROJECT_VERSION_MAJOR EQUAL 0)
  set(TETHER_SOVERSION 0.${PROJECT_VERSION_MINOR})
endif()

# tether_library(NAME SOURCES... ): a static library (for tests and in-tree programs, with private symbols
# visible) and the shared one that is installed, from the same objects. Objects of another target, given as
# $<TARGET_OBJECTS:...>, go into both.
function(tether_library name)
  set(sources ${ARGN})
  set(objects ${ARGN})
  list(FILTER sources EXCLUDE REGEX "TARGET_OBJECTS")
  list(FILTER objects INCLUDE REGEX "TARGET_OBJECTS")
  add_library(${name}-objects OBJECT ${sources})
  target_include_directories(${name}-objects PUBLIC $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
                                                    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}>)
  target_link_libraries(${name}-objects PRIVATE tether-warnings)
  add_library(${name} STATIC $<TARGET_OBJECTS:${name}-objects> ${objects})
  add_library(${name}-shared SHARED $<TARGET_OBJECTS:${name}-objects> ${objects})
  set_target_properties(${name}-shared PROPERTIES OUTPUT_NAME ${name} VERSION ${PROJECT_VERSION}
                                                  SOVERSION ${TETHER_SOVERSION} EXPORT_NAME ${name}
                                                  INSTALL_RPATH "$ORIGIN") # libtether finds libtether-ctx
  if(NOT TETHER_SANITIZE) # whose own symbols come with the executable
    target_link_options(${name}-shared PRIVATE -Wl,-z,defs)
  endif()
  foreach(target ${name} ${name}-shared)
    target_include_directories(${target} PUBLIC $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
                                                $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  endforeach()
endfunction()
