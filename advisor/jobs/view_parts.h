/* view_parts.h -- what the views share: pages of a list. */
#pragma once

#include <jansson.h>

#include "advisor/jobs/views.h"
#include "core/base/err.h"
#include "db/store.h"

/* The page to ask the store for: its limit is one more than is shown, to see whether there is a next one. */
MUST_USE enum rc view_page_read(const struct view_page *page, struct store_page *ret, struct err *err);

/* {"items", "next"}; `items` is taken over, n rows were read, last_row is that of the last one shown. */
MUST_USE enum rc view_list(json_t *items, size_t n, const struct store_page *page, int64_t last_row,
                           json_t **ret, struct err *err);
