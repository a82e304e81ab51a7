#include "advisor/http/handlers.h"
#include "advisor/http/route.h"
#include "core/base/container.h"

#define KIB(n) ((uint64_t)(n) << 10)
#define MIB(n) ((uint64_t)(n) << 20)
#define GIB(n) ((uint64_t)(n) << 30)

enum { ROLES_BOTH = ROLES_USER | ROLES_AGENT };

static const struct route routes[] = {
    /* method, pattern, handler, roles, flags, most bytes of a body */
    {METHOD_PUT, "/v1/blobs/{sha256}", handle_blob_put, ROLES_BOTH, ROUTE_UPLOAD | ROUTE_QUIET, GIB(1024)},
    {METHOD_GET, "/v1/blobs/{sha256}", handle_blob_get, ROLES_BOTH, ROUTE_QUIET, 0},
    {METHOD_POST, "/v1/blobs", handle_blob_post, ROLES_BOTH, ROUTE_UPLOAD, GIB(1024)},

    {METHOD_POST, "/v1/models", handle_model_post, ROLES_USER, ROUTE_REPEATABLE, MIB(1)},
    {METHOD_GET, "/v1/models", handle_model_list, ROLES_USER, 0, 0},
    {METHOD_GET, "/v1/models/{id}", handle_model_get, ROLES_USER, 0, 0},
    {METHOD_DELETE, "/v1/models/{id}", handle_model_delete, ROLES_USER, 0, 0},
    {METHOD_POST, "/v1/datasets", handle_dataset_post, ROLES_USER, ROUTE_REPEATABLE, MIB(1)},
    {METHOD_GET, "/v1/datasets", handle_dataset_list, ROLES_USER, 0, 0},
    {METHOD_GET, "/v1/datasets/{id}", handle_dataset_get, ROLES_USER, 0, 0},
    {METHOD_DELETE, "/v1/datasets/{id}", handle_dataset_delete, ROLES_USER, 0, 0},
    {METHOD_GET, "/v1/recipes", handle_recipe_list, ROLES_USER, 0, 0},

    {METHOD_POST, "/v1/studies", handle_study_post, ROLES_USER, ROUTE_REPEATABLE, MIB(1)},
    {METHOD_GET, "/v1/studies", handle_study_list, ROLES_USER, 0, 0},
    {METHOD_GET, "/v1/studies/{id}", handle_study_get, ROLES_USER, 0, 0},
    {METHOD_DELETE, "/v1/studies/{id}", handle_study_cancel, ROLES_USER, 0, 0},
    {METHOD_GET, "/v1/studies/{id}/events", handle_study_events, ROLES_USER, 0, 0},
    {METHOD_POST, "/v1/studies/{id}/bundles", handle_bundle_post, ROLES_USER, 0, KIB(64)},
    {METHOD_POST, "/v1/imports", handle_import_post, ROLES_USER, 0, KIB(4)},
    {METHOD_GET, "/v1/variants/{id}", handle_variant_get, ROLES_USER, 0, 0},
    {METHOD_GET, "/v1/variants/{id}/artifact", handle_variant_artifact, ROLES_USER, 0, 0},
    {METHOD_GET, "/v1/profiles/{id}", handle_profile_get, ROLES_USER, 0, 0},
    {METHOD_GET, "/v1/evaluations/{id}", handle_evaluation_get, ROLES_USER, 0, 0},

    {METHOD_POST, "/v1/recommendations", handle_recommendation_post, ROLES_USER, ROUTE_REPEATABLE, MIB(1)},
    {METHOD_GET, "/v1/recommendations/{id}", handle_recommendation_get, ROLES_USER, 0, 0},
    {METHOD_GET, "/v1/recommendations/{id}/rejected", handle_recommendation_rejected, ROLES_USER, 0, 0},
    {METHOD_POST, "/v1/compare", handle_compare, ROLES_USER, ROUTE_REPEATABLE, MIB(1)},
    {METHOD_GET, "/v1/comparisons/{id}", handle_comparison_get, ROLES_USER, 0, 0},
    {METHOD_DELETE, "/v1/comparisons/{id}", handle_comparison_cancel, ROLES_USER, 0, 0},
    {METHOD_POST, "/v1/gates/{name}/runs", handle_gate_run, ROLES_USER, ROUTE_REPEATABLE, MIB(1)},
    {METHOD_GET, "/v1/gates", handle_gate_list, ROLES_USER, 0, 0},
    {METHOD_GET, "/v1/gates/{name}", handle_gate_get, ROLES_USER, 0, 0},

    {METHOD_GET, "/v1/targets", handle_target_list, ROLES_USER, 0, 0},
    {METHOD_GET, "/v1/machine-types", handle_machine_type_list, ROLES_USER, 0, 0},
    {METHOD_GET, "/v1/machine-types/{id}", handle_machine_type_get, ROLES_USER, 0, 0},
    {METHOD_PUT, "/v1/machine-types/{id}", handle_machine_type_put, ROLES_USER, 0, KIB(64)},
    {METHOD_GET, "/v1/prices", handle_price_list, ROLES_USER, 0, 0},

    {METHOD_POST, "/v1/tokens", handle_token_post, ROLES_ADMIN, 0, KIB(4)},
    {METHOD_GET, "/v1/tokens", handle_token_list, ROLES_ADMIN, 0, 0},
    {METHOD_DELETE, "/v1/tokens/{id}", handle_token_delete, ROLES_ADMIN, 0, 0},

    {METHOD_POST, "/v1/agents/register", handle_agent_register, ROLES_AGENT, 0, MIB(1)},
    {METHOD_POST, "/v1/agents/claim", handle_agent_claim, ROLES_AGENT, ROUTE_QUIET, KIB(64)},
    {METHOD_POST, "/v1/agents/jobs/{id}/heartbeat", handle_agent_heartbeat, ROLES_AGENT, ROUTE_QUIET,
     KIB(64)},
    {METHOD_POST, "/v1/agents/jobs/{id}/result", handle_agent_result, ROLES_AGENT, 0, MIB(8)},
    {METHOD_POST, "/v1/agents/jobs/{id}/failure", handle_agent_failure, ROLES_AGENT, 0, MIB(1)},

    {METHOD_GET, "/v2/health/live", handle_health_live, ROLES_ANYONE, ROUTE_QUIET, 0},
    {METHOD_GET, "/v2/health/ready", handle_health_ready, ROLES_ANYONE, ROUTE_QUIET, 0},
    {METHOD_GET, "/metrics", handle_metrics, ROLES_BOTH, ROUTE_QUIET, 0},
    {METHOD_GET, "/openapi.json", handle_openapi, ROLES_ANYONE, 0, 0},
    {METHOD_GET, "/*", handle_dashboard, ROLES_ANYONE, 0, 0},
};

const struct route *routes_all(size_t *count) {
    *count = ARRAY_SIZE(routes);
    return routes;
}
