# Files that travel inside the program: the OpenAPI document, SQL migrations, the price catalogue, the dashboard.
# pare_assets declares struct asset assets[]: see core/base/asset.h.
set(asset_c ${CMAKE_BINARY_DIR}/generated/assets.c)
file(GLOB asset_files CONFIGURE_DEPENDS
  ${PROJECT_SOURCE_DIR}/advisor/http/openapi.json
  ${PROJECT_SOURCE_DIR}/db/migrations/*.sql
  ${PROJECT_SOURCE_DIR}/advisor/decide/prices.json
  ${PROJECT_SOURCE_DIR}/build/web/*
  ${PROJECT_SOURCE_DIR}/build/web/assets/*)
list(FILTER asset_files EXCLUDE REGEX "/assets$")
add_custom_command(
  OUTPUT ${asset_c}
  COMMAND bash ${PROJECT_SOURCE_DIR}/scripts/embed-assets.sh ${PROJECT_SOURCE_DIR} ${asset_c} ${asset_files}
  DEPENDS ${asset_files} ${PROJECT_SOURCE_DIR}/scripts/embed-assets.sh
  VERBATIM)
add_library(pare_assets STATIC ${asset_c})
target_link_libraries(pare_assets PUBLIC pare_settings)
