#include "advisor/cli/client_options.h"

enum rc client_options_open(const struct client_options *o, struct client *c, enum output *output,
                            struct err *err) {
    *output = OUTPUT_TABLE;
    enum rc rc = o->output ? output_parse(o->output, output, err) : RC_OK;
    return rc == RC_OK ? client_open(c, o->server, o->token, err) : rc;
}

enum rc client_options_list(json_t *body, const char *key, const struct option_list *list, struct err *err) {
    if (list->count == 0) {
        return RC_OK;
    }
    json_t *array = json_array();
    for (size_t i = 0; i < list->count; i++) {
        if (json_array_append_new(array, json_string(list->items[i])) != 0) {
            json_decref(array);
            return err_set(err, RC_USAGE, "an option's value is not valid UTF-8");
        }
    }
    return json_object_set_new(body, key, array) == 0 ? RC_OK : err_memory(err);
}
