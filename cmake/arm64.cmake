# Cross-building for 64-bit ARM with Debian's own cross compiler and the sysroot that scripts/fetch-arm64.sh unpacked.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)

get_filename_component(arm64_folder "${CMAKE_CURRENT_LIST_DIR}/../build/arm64" ABSOLUTE)
set(arm64_usr ${arm64_folder}/sysroot/usr)
set(arm64_lib ${arm64_usr}/lib/aarch64-linux-gnu)

# The compiler brings its own C library; only the other libraries come from the sysroot. Linking takes what is used and no more:
# the worker and the runner need no libcurl, which core/base links for others.
set(CMAKE_C_FLAGS_INIT "-isystem ${arm64_usr}/include -isystem ${arm64_usr}/include/aarch64-linux-gnu/openblas-pthread")
set(CMAKE_EXE_LINKER_FLAGS_INIT
  "-Wl,--as-needed -Wl,--allow-shlib-undefined -Wl,-rpath-link,${arm64_lib}")
set(CMAKE_LIBRARY_PATH ${arm64_lib} ${arm64_lib}/openblas-pthread)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_USE_CMAKE_SYSTEM_PATH OFF)

set(ENV{PKG_CONFIG_SYSROOT_DIR} ${arm64_folder}/sysroot)
set(ENV{PKG_CONFIG_LIBDIR} ${arm64_lib}/pkgconfig:${arm64_usr}/share/pkgconfig)

set(PARE_DEPS ${arm64_folder}/deps CACHE PATH "Where scripts/fetch-arm64.sh put the runtimes")
set(PARE_LLAMA OFF CACHE BOOL "libllama is not packaged for arm64 by the release that is used here")
set(PARE_SERVICE OFF CACHE BOOL "The service runs on the machine that builds")
set(PARE_TESTS OFF CACHE BOOL "Tests run on the machine that builds")
