# tether_generate(TARGET <target> PROTOS <file>... [BASE <dir>] [IMPORT_DIRS <dir>...])
# tether_generate(<target> <file>... [BASE <dir>] [IMPORT_DIRS <dir>...])
#
# Compiles .proto files with protoc-c and protoc-gen-tether and adds the result to <target>: x.proto gives
# x.pb-c.{h,c} with the messages and x.tether.{h,c} with the stubs. The target, and what links it, can include them
# as "x.pb-c.h" and "x.tether.h"; it must link tether (tether::tether where tether is installed) itself. To be called
# in the directory that makes the target.
#
#   PROTOS       relative to the current source directory, or to an import directory: PROTOS shop/v1/cart.proto, or,
#                as protobuf-c ships no C code for the well-known types, PROTOS google/protobuf/empty.proto
#   BASE         the directory that names of files are relative to, so that BASE/shop/v1/cart.proto is imported, and
#                included, as shop/v1/cart; default: the current source directory
#   IMPORT_DIRS  further directories to look for imports in; only files listed in PROTOS are compiled
#
# "tether/options.proto" and what comes with protoc and protobuf-c can always be imported. A changed import rebuilds
# what imports it.
cmake_policy(VERSION 3.22) # of this file alone
find_program(PROTOC_EXECUTABLE protoc)
find_program(PROTOC_C_EXECUTABLE protoc-gen-c)
find_path(TETHER_PROTOC_INCLUDE_DIR google/protobuf/descriptor.proto)
find_path(TETHER_PROTOBUF_C_INCLUDE_DIR protobuf-c/protobuf-c.proto)
mark_as_advanced(PROTOC_EXECUTABLE PROTOC_C_EXECUTABLE TETHER_PROTOC_INCLUDE_DIR TETHER_PROTOBUF_C_INCLUDE_DIR)

# Sets <var> to the directory of tether/options.proto: where the package says; else beside this file in the source
# tree, or under share or include of the prefix it is installed in, three levels up (lib/cmake/tether) or four
# (lib/<architecture>/cmake/tether).
function(_tether_proto_dir var)
  if(TETHER_PROTO_DIR)
    set(${var} ${TETHER_PROTO_DIR} PARENT_SCOPE)
    return()
  endif()
  foreach(dir ../proto ../../../share/tether/proto ../../../../share/tether/proto ../../../include ../../../../include)
    if(EXISTS ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/${dir}/tether/options.proto)
      get_filename_component(dir ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/${dir} ABSOLUTE)
      set(${var} ${dir} PARENT_SCOPE)
      return()
    endif()
  endforeach()
  message(FATAL_ERROR "tether_generate: no tether/options.proto near ${CMAKE_CURRENT_FUNCTION_LIST_DIR}")
endfunction()

function(tether_generate)
  cmake_parse_arguments(PARSE_ARGV 0 arg "" "TARGET;BASE" "PROTOS;IMPORT_DIRS")
  if(NOT DEFINED arg_TARGET AND NOT DEFINED arg_PROTOS)
    list(POP_FRONT arg_UNPARSED_ARGUMENTS arg_TARGET)
    set(arg_PROTOS ${arg_UNPARSED_ARGUMENTS})
    set(arg_UNPARSED_ARGUMENTS "")
  endif()
  if(arg_UNPARSED_ARGUMENTS OR arg_KEYWORDS_MISSING_VALUES)
    message(FATAL_ERROR "tether_generate: unknown or empty: ${arg_UNPARSED_ARGUMENTS} ${arg_KEYWORDS_MISSING_VALUES}")
  endif()
  if(NOT TARGET "${arg_TARGET}")
    message(FATAL_ERROR "tether_generate: TARGET \"${arg_TARGET}\" is no target")
  endif()
  if(NOT arg_PROTOS)
    message(FATAL_ERROR "tether_generate: no PROTOS")
  endif()
  foreach(need PROTOC_EXECUTABLE PROTOC_C_EXECUTABLE TETHER_PROTOC_INCLUDE_DIR TETHER_PROTOBUF_C_INCLUDE_DIR)
    if(NOT ${need})
      message(FATAL_ERROR "tether_generate: ${need} is not set and was not found")
    endif()
  endforeach()

  if(NOT DEFINED arg_BASE)
    set(arg_BASE ${CMAKE_CURRENT_SOURCE_DIR})
  endif()
  _tether_proto_dir(options_dir)
  set(roots "")
  foreach(dir ${arg_BASE} ${arg_IMPORT_DIRS} ${options_dir} ${TETHER_PROTOBUF_C_INCLUDE_DIR}
              ${TETHER_PROTOC_INCLUDE_DIR})
    get_filename_component(dir ${dir} ABSOLUTE)
    list(APPEND roots ${dir})
  endforeach()
  list(REMOVE_DUPLICATES roots)
  list(TRANSFORM roots PREPEND -I OUTPUT_VARIABLE imports)

  set(out ${CMAKE_CURRENT_BINARY_DIR}/${arg_TARGET}.tether)
  file(MAKE_DIRECTORY ${out})
  foreach(proto ${arg_PROTOS})
    _tether_find_proto(${proto} "${roots}" path name)
    _tether_generate_one(${path} ${name} ${out} "${imports}" generated)
    target_sources(${arg_TARGET} PRIVATE ${generated})
  endforeach()
  target_include_directories(${arg_TARGET} PUBLIC $<BUILD_INTERFACE:${out}>)
endfunction()

# Finds `proto`, and the name protoc knows it by: its path below the first of `roots` that contains it.
function(_tether_find_proto proto roots path_var name_var)
  get_filename_component(path ${proto} ABSOLUTE)
  if(NOT EXISTS ${path})
    foreach(root ${roots})
      if(NOT EXISTS ${path} AND EXISTS ${root}/${proto})
        set(path ${root}/${proto})
      endif()
    endforeach()
  endif()
  if(NOT EXISTS ${path})
    message(FATAL_ERROR "tether_generate: no ${proto} in ${CMAKE_CURRENT_SOURCE_DIR} or any import directory")
  endif()
  foreach(root ${roots})
    cmake_path(IS_PREFIX root ${path} NORMALIZE inside)
    if(inside)
      cmake_path(RELATIVE_PATH path BASE_DIRECTORY ${root} OUTPUT_VARIABLE name)
      set(${path_var} ${path} PARENT_SCOPE)
      set(${name_var} ${name} PARENT_SCOPE)
      return()
    endif()
  endforeach()
  message(FATAL_ERROR "tether_generate: ${path} is neither under BASE nor under any of IMPORT_DIRS")
endfunction()

# One run of protoc per file: only then does protoc say what the file imports. Our plugin comes first, because its
# errors say more than protoc-c's.
function(_tether_generate_one path name out imports generated_var)
  string(REGEX REPLACE "\\.proto$" "" stem ${name})
  # In the order of protoc's dependency file: Ninja looks for the first one there.
  set(outputs ${out}/${stem}.pb-c.c ${out}/${stem}.pb-c.h ${out}/${stem}.tether.c ${out}/${stem}.tether.h)
  add_custom_command(
    OUTPUT ${outputs}
    COMMAND ${PROTOC_EXECUTABLE} --plugin=protoc-gen-tether=$<TARGET_FILE:tether::protoc-gen-tether>
            --plugin=protoc-gen-c=${PROTOC_C_EXECUTABLE} ${imports} --dependency_out=${out}/${stem}.d
            --tether_out=${out} --c_out=${out} ${name}
    DEPENDS ${path} tether::protoc-gen-tether
    DEPFILE ${out}/${stem}.d
    COMMENT "Generating ${stem}.tether.{h,c} and ${stem}.pb-c.{h,c}"
    VERBATIM)
  set(${generated_var} ${outputs} PARENT_SCOPE)
endfunction()
