# ONNX's message types in C, generated from the onnx.proto of Debian's libonnx-dev.
find_program(PROTOC_C protoc-c REQUIRED)
find_file(ONNX_PROTO onnx/onnx.proto PATHS /usr/include REQUIRED)
set(out ${CMAKE_BINARY_DIR}/generated/onnx)
file(MAKE_DIRECTORY ${out})
get_filename_component(ONNX_PROTO_DIR ${ONNX_PROTO} DIRECTORY)
add_custom_command(
  OUTPUT ${out}/onnx.pb-c.c ${out}/onnx.pb-c.h
  COMMAND ${PROTOC_C} --c_out=${out} -I ${ONNX_PROTO_DIR} onnx.proto
  DEPENDS ${ONNX_PROTO}
  VERBATIM)
add_library(pare_onnx_proto STATIC ${out}/onnx.pb-c.c ${out}/onnx.pb-c.h)
target_include_directories(pare_onnx_proto SYSTEM PUBLIC ${CMAKE_BINARY_DIR}/generated/onnx)
target_compile_options(pare_onnx_proto PRIVATE -w)
target_link_libraries(pare_onnx_proto PUBLIC dep_protobuf_c)
