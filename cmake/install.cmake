# make install: both programs with the shared libraries they need, and a systemd unit.
include(GNUInstallDirs)
set(private_lib ${CMAKE_INSTALL_LIBDIR}/pare)
foreach(program ${programs})
  set_target_properties(${program} PROPERTIES INSTALL_RPATH "$ORIGIN/../${private_lib}")
endforeach()
install(TARGETS ${programs} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(FILES ${PARE_DEPS}/onnxruntime/lib/libonnxruntime.so.1 DESTINATION ${private_lib})
if(PARE_LLAMA AND LLAMA_LIBRARY)
  file(GLOB llama_libs ${PARE_DEPS}/llama/lib/libllama.v*.so ${PARE_DEPS}/llama/lib/libggml*.so)
  install(FILES ${llama_libs} DESTINATION ${private_lib})
endif()
# Written while installing, because the prefix may be chosen only then (cmake --install --prefix).
install(CODE "
  set(PARE_BIN_FOLDER \"\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_BINDIR}\")
  set(unit \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/lib/systemd/system/pare.service\")
  configure_file(\"${PROJECT_SOURCE_DIR}/docker/pare.service.in\" \"\${unit}\" @ONLY)
  message(STATUS \"Installing: \${unit}\")
")
