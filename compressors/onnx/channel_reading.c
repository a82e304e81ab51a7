#include "compressors/onnx/channel_reading.h"

static bool has_units(const struct channel_groups *c, const struct channel_axis *a) {
    for (uint32_t i = 0; i < a->length; i++) {
        if (c->unit_of[a->first + i] != CHANNEL_NO_UNIT) {
            return true;
        }
    }
    return false;
}

bool channel_reading_of(const struct graph *g, const struct channel_groups *groups, size_t i,
                        struct channel_reading *ret) {
    const struct channel_contraction *c = &groups->contractions[i];
    const char *why;
    *ret = (struct channel_reading){.groups = groups, .axis = &groups->axes[c->axis]};
    return has_units(groups, ret->axis) && product_layer_of(g, c->node, &ret->layer, &why) &&
           ret->layer.weights.slot == c->slot;
}

size_t channel_reading_rows(const struct channel_reading *r, size_t group, uint32_t unit, size_t *rows) {
    const struct channel_unit *u = &r->groups->units[unit];
    size_t count = 0, per = r->layer.rows_per_channel, width = r->layer.rows.width;
    for (uint32_t i = 0; i < u->count; i++) {
        uint32_t atom = r->groups->atoms[u->first + i];
        if (atom < r->axis->first || atom >= r->axis->first + r->axis->length) {
            continue;
        }
        size_t channel = atom - r->axis->first;
        if (r->layer.weights.kind == WEIGHTS_CONV_TRANSPOSE) { /* the axis has the channels of all groups */
            if (channel / width != group) {
                continue;
            }
            channel %= width;
        }
        for (size_t k = 0; k < per && count < width; k++) {
            rows[count++] = channel * per + k;
        }
    }
    return count;
}

bool channel_reading_has(const struct channel_reading *r, const struct channel_family *f) {
    for (uint32_t i = 0; i < r->axis->length; i++) {
        uint32_t unit = r->groups->unit_of[r->axis->first + i];
        if (unit != CHANNEL_NO_UNIT && unit >= f->first && unit < f->first + f->count) {
            return true;
        }
    }
    return false;
}
