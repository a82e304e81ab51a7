/* Checks the protobuf encoding before protobuf-c sees it. protobuf-c calls itself for every nested message,
 * about a KiB of stack each, and a file of 100 kB can nest 20,000 deep; here the levels are a small array.
 * The message types come from the generated descriptors, so that bytes and strings are never taken for
 * messages. */
#include <string.h>

#include "compressors/onnx/graph_internal.h"

enum { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };

struct level {
    const ProtobufCMessageDescriptor *type;
    size_t end;
};

struct reader {
    const uint8_t *data;
    size_t at;
};

static bool read_varint(struct reader *r, size_t end, uint64_t *value) {
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 64 && r->at < end; shift += 7) {
        uint8_t byte = r->data[r->at++];
        v |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80)) {
            *value = v;
            return true;
        }
    }
    return false;
}

static bool skip(struct reader *r, size_t end, uint64_t bytes) {
    if (bytes > end - r->at) {
        return false;
    }
    r->at += (size_t)bytes;
    return true;
}

/* Reads one field of the innermost level; a nested message opens a new one. False: malformed. */
static bool read_field(struct reader *r, struct level *levels, size_t *depth) {
    const struct level *top = &levels[*depth - 1];
    uint64_t tag, value;
    if (!read_varint(r, top->end, &tag) || tag >> 3 == 0 || tag >> 3 > (1u << 29) - 1) {
        return false;
    }
    switch (tag & 7) {
    case WIRE_VARINT:
        return read_varint(r, top->end, &value);
    case WIRE_64:
        return skip(r, top->end, 8);
    case WIRE_32:
        return skip(r, top->end, 4);
    case WIRE_BYTES:
        break;
    default:
        return false;
    }
    if (!read_varint(r, top->end, &value) || value > top->end - r->at) {
        return false;
    }
    const ProtobufCFieldDescriptor *field =
        protobuf_c_message_descriptor_get_field(top->type, (unsigned)(tag >> 3));
    if (field && field->type == PROTOBUF_C_TYPE_MESSAGE && *depth <= GRAPH_MAX_DEPTH) {
        levels[*depth] = (struct level){field->descriptor, r->at + (size_t)value};
        (*depth)++;
        return true;
    }
    return skip(r, top->end, value);
}

enum rc graph_wire_check(const uint8_t *data, size_t size, struct err *err) {
    struct level levels[GRAPH_MAX_DEPTH + 1];
    struct reader r = {data, 0};
    size_t depth = 1;
    levels[0] = (struct level){&onnx__model_proto__descriptor, size};
    while (depth > 0) {
        if (depth > GRAPH_MAX_DEPTH) {
            return err_set(err, RC_INPUT,
                           "not a usable ONNX model: nested more than %d levels deep at byte %zu",
                           GRAPH_MAX_DEPTH, r.at);
        }
        if (r.at == levels[depth - 1].end) {
            depth--;
        } else if (!read_field(&r, levels, &depth)) {
            return err_set(
                err, RC_INPUT,
                "not an ONNX model, or a truncated one: no valid protobuf field at byte %zu of %zu "
                "(inside %s)",
                r.at, size, levels[depth - 1].type->name);
        }
    }
    return RC_OK;
}
