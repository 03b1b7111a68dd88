# Messages and helpers of the tests about what peers may send: target tests-untrusted.
set(untrusted_gen ${CMAKE_CURRENT_BINARY_DIR}/untrusted)
file(MAKE_DIRECTORY ${untrusted_gen})
foreach(name untrusted untrusted_proto2)
  add_custom_command(
    OUTPUT ${untrusted_gen}/${name}.pb-c.c ${untrusted_gen}/${name}.pb-c.h
    COMMAND ${PROTOC_EXECUTABLE} -I ${CMAKE_CURRENT_LIST_DIR}/rpc --c_out=${untrusted_gen} ${name}.proto
    DEPENDS ${CMAKE_CURRENT_LIST_DIR}/rpc/${name}.proto
    VERBATIM)
  list(APPEND untrusted_sources ${untrusted_gen}/${name}.pb-c.c ${untrusted_gen}/${name}.pb-c.h)
endforeach()
add_library(tests-untrusted STATIC ${untrusted_sources} rpc/random_message.c rpc/unpack_check.c
                                   rpc/wire.c)
target_include_directories(tests-untrusted PUBLIC ${untrusted_gen} ${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/tests)
target_link_libraries(tests-untrusted PUBLIC tether tether-warnings PkgConfig::PROTOBUF_C)
