#include "core/formats/wire.h"

enum { MAX_VARINT_BYTES = 10 };

bool wire_varint(struct wire *w, uint64_t *ret) {
    uint64_t value = 0;
    for (unsigned i = 0; i < MAX_VARINT_BYTES && w->p < w->end; i++) {
        uint8_t b = *w->p++;
        if (i == MAX_VARINT_BYTES - 1 && b > 1) {
            return false;
        }
        value |= (uint64_t)(b & 0x7fu) << (7 * i);
        if (!(b & 0x80u)) {
            *ret = value;
            return true;
        }
    }
    return false;
}

static enum wire_step take_bytes(struct wire *w, struct wire_field *field) {
    if (!wire_varint(w, &field->value) || field->value > (uint64_t)(w->end - w->p)) {
        return WIRE_BROKEN;
    }
    field->bytes = (struct wire){w->p, w->p + field->value};
    w->p += field->value;
    return WIRE_FIELD;
}

static enum wire_step take_fixed(struct wire *w, struct wire_field *field, unsigned size) {
    if ((size_t)(w->end - w->p) < size) {
        return WIRE_BROKEN;
    }
    for (unsigned i = 0; i < size; i++) {
        field->value |= (uint64_t)*w->p++ << (8 * i);
    }
    return WIRE_FIELD;
}

enum wire_step wire_next(struct wire *w, struct wire_field *field) {
    uint64_t tag;
    *field = (struct wire_field){0};
    if (w->p == w->end) {
        return WIRE_END;
    }
    if (!wire_varint(w, &tag) || tag >> 3 == 0 || tag > UINT32_MAX) {
        return WIRE_BROKEN;
    }
    field->number = (uint32_t)(tag >> 3);
    field->type = (enum wire_type)(tag & 7);
    switch (field->type) {
    case WIRE_VARINT:
        return wire_varint(w, &field->value) ? WIRE_FIELD : WIRE_BROKEN;
    case WIRE_FIXED64:
        return take_fixed(w, field, 8);
    case WIRE_BYTES:
        return take_bytes(w, field);
    case WIRE_FIXED32:
        return take_fixed(w, field, 4);
    }
    return WIRE_BROKEN;
}
