# Every third-party library as a target dep_NAME, so that a folder's libraries read as a list of names.
find_package(PkgConfig REQUIRED)

function(pare_pkg name module)
  pkg_check_modules(${name} REQUIRED IMPORTED_TARGET ${module})
  add_library(dep_${name} INTERFACE)
  target_link_libraries(dep_${name} INTERFACE PkgConfig::${name})
endfunction()

pare_pkg(jansson jansson)
pare_pkg(sodium libsodium)
pare_pkg(curl libcurl)
pare_pkg(zip libzip)
pare_pkg(zlib zlib)
pare_pkg(hwloc hwloc)
pare_pkg(seccomp libseccomp)
pare_pkg(protobuf_c libprotobuf-c)

add_library(dep_papi INTERFACE)
find_library(PAPI_LIBRARY papi REQUIRED)
target_link_libraries(dep_papi INTERFACE ${PAPI_LIBRARY})

add_library(dep_lapacke INTERFACE)
find_library(OPENBLAS_LIBRARY openblas REQUIRED)
find_library(LAPACKE_LIBRARY lapacke REQUIRED)
target_link_libraries(dep_lapacke INTERFACE ${LAPACKE_LIBRARY} ${OPENBLAS_LIBRARY} m)

if(PARE_SERVICE)
  pare_pkg(sqlite sqlite3)
  pare_pkg(uv libuv)

  # llhttp: a library on Debian 13, C sources in the package node-llhttp on Debian 12.
  find_library(LLHTTP_LIBRARY llhttp)
  if(LLHTTP_LIBRARY)
    add_library(dep_llhttp INTERFACE)
    target_link_libraries(dep_llhttp INTERFACE ${LLHTTP_LIBRARY})
  else()
    set(llhttp /usr/share/llhttp)
    add_library(dep_llhttp STATIC ${llhttp}/api.c ${llhttp}/http.c ${llhttp}/llhttp.c)
    target_include_directories(dep_llhttp SYSTEM PUBLIC /usr/share/include/llhttp)
    target_compile_definitions(dep_llhttp PRIVATE LLHTTP_STRICT_MODE=1) # as Debian 13's is
    target_compile_options(dep_llhttp PRIVATE -w)
  endif()
endif()

# The inference runtimes, brought by scripts/fetch-runtimes.sh (shared by all build folders).
set(PARE_DEPS ${PROJECT_SOURCE_DIR}/build/deps CACHE PATH "Where scripts/fetch-runtimes.sh put the runtimes")

add_library(dep_onnxruntime INTERFACE)
if(NOT EXISTS ${PARE_DEPS}/onnxruntime/lib/libonnxruntime.so)
  message(FATAL_ERROR "ONNX Runtime is missing: run scripts/fetch-runtimes.sh (or make build)")
endif()
target_include_directories(dep_onnxruntime SYSTEM INTERFACE ${PARE_DEPS}/onnxruntime/include)
target_link_libraries(dep_onnxruntime INTERFACE ${PARE_DEPS}/onnxruntime/lib/libonnxruntime.so)

# Without libllama everything else still builds; runtimes/llama.c then answers "built without libllama".
add_library(dep_llama INTERFACE)
file(GLOB LLAMA_LIBRARY ${PARE_DEPS}/llama/lib/libllama.v*.so)
file(GLOB GGML_LIBRARY ${PARE_DEPS}/llama/lib/libggml.v*.so)
if(PARE_LLAMA AND LLAMA_LIBRARY)
  target_include_directories(dep_llama SYSTEM INTERFACE ${PARE_DEPS}/llama/include)
  target_link_libraries(dep_llama INTERFACE ${LLAMA_LIBRARY} ${GGML_LIBRARY} ${PARE_DEPS}/llama/lib/libggml-base.so)
  target_compile_definitions(dep_llama INTERFACE PARE_HAVE_LLAMA=1)
else()
  message(STATUS "libllama is not here: GGUF models will be refused with a message")
endif()
