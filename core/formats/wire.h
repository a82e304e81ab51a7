/* wire.h -- walks over the fields of a protobuf message without knowing its schema
 * (developers.google.com/protocol-buffers, "Encoding"). Internal to core/formats. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct wire {
    const uint8_t *p, *end;
};

enum wire_type { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

struct wire_field {
    uint32_t number;
    enum wire_type type;
    uint64_t value;    /* varint and fixed */
    struct wire bytes; /* WIRE_BYTES */
};

enum wire_step { WIRE_FIELD, WIRE_END, WIRE_BROKEN };

/* The next field. WIRE_BROKEN: a bad tag, a varint over 64 bits, a group, or a field that ends after its
 * message. In the last case *field has the number, and field->value the length that it claims. */
enum wire_step wire_next(struct wire *w, struct wire_field *field);

/* One varint; false at a broken one. */
bool wire_varint(struct wire *w, uint64_t *ret);
