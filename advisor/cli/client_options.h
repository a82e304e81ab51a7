/* client_options.h -- the options that every verb talking to a service has, as rows of its table. */
#pragma once

#include "advisor/cli/client.h"
#include "advisor/cli/options.h"
#include "advisor/cli/table.h"

struct client_options {
    const char *server, *token, *output;
};

/* Rows for a struct option_spec table, with `o` a struct client_options. */
#define CLIENT_OPTION_ROWS(o)                                                                                \
    {.name = "server",                                                                                       \
     .kind = OPTION_TEXT,                                                                                    \
     .argument = "URL",                                                                                      \
     .env = "PARE_SERVER",                                                                                   \
     .help = "the service (default http://127.0.0.1:7878)",                                                  \
     .value = &(o).server},                                                                                  \
        {.name = "token",                                                                                    \
         .kind = OPTION_TEXT,                                                                                \
         .argument = "TOKEN",                                                                                \
         .env = "PARE_TOKEN",                                                                                \
         .help = "a token of the service, where it asks for one",                                            \
         .value = &(o).token},                                                                               \
    {                                                                                                        \
        .name = "output", .letter = 'o', .kind = OPTION_TEXT, .argument = "FORMAT", .env = "PARE_OUTPUT",    \
        .help = "table (default), json, csv or md", .value = &(o).output                                     \
    }

/* Checks --output and opens the client. */
MUST_USE enum rc client_options_open(const struct client_options *o, struct client *c, enum output *output,
                                     struct err *err);

/* Sets `key` of a request body to the list's items, where there are any. */
MUST_USE enum rc client_options_list(json_t *body, const char *key, const struct option_list *list,
                                     struct err *err);
