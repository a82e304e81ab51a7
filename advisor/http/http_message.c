#include "advisor/http/http_message.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "core/base/container.h"
#include "core/base/json.h"

static const char *find_pair(const struct http_pair *pairs, size_t count, const char *name) {
    for (size_t i = 0; i < count; i++) {
        if (strcmp(pairs[i].name, name) == 0) {
            return pairs[i].value;
        }
    }
    return NULL;
}

const char *http_header(const struct http_request *req, const char *name) {
    return find_pair(req->headers, req->header_count, name);
}

const char *http_query(const struct http_request *req, const char *name) {
    return find_pair(req->query, req->query_count, name);
}

enum rc http_query_int(const struct http_request *req, const char *name, int64_t min, int64_t max,
                       int64_t *ret, struct err *err) {
    const char *text = http_query(req, name);
    char *end;
    if (!text) {
        return RC_OK;
    }
    errno = 0;
    long long n = strtoll(text, &end, 10);
    if (errno || end == text || *end || n < min || n > max) {
        return err_set(err, RC_INPUT, "the query's \"%s\" must be a whole number from %lld to %lld", name,
                       (long long)min, (long long)max);
    }
    *ret = n;
    return RC_OK;
}

/* "application/json", also with parameters behind it. */
static bool is_json_type(const char *type) {
    static const char json[] = "application/json";
    size_t n = sizeof(json) - 1;
    return type && strncasecmp(type, json, n) == 0 && (type[n] == '\0' || type[n] == ';' || type[n] == ' ');
}

/* A run of decimal digits that fits; *text moves behind it. */
static bool take_number(const char **text, uint64_t *ret) {
    const char *start = *text;
    for (*ret = 0; **text >= '0' && **text <= '9'; (*text)++) {
        uint64_t digit = (uint64_t)(**text - '0');
        if (*ret > (UINT64_MAX - digit) / 10) {
            return false;
        }
        *ret = *ret * 10 + digit;
    }
    return *text > start;
}

static bool take_char(const char **text, char c) {
    bool there = **text == c;
    *text += there;
    return there;
}

enum rc http_content_range(const char *text, struct http_range *ret, struct err *err) {
    struct http_range r;
    const char *p = text;
    bool whole = strncmp(p, "bytes ", 6) == 0;
    p += whole ? 6 : 0;
    if (!whole || !take_number(&p, &r.first) || !take_char(&p, '-') || !take_number(&p, &r.last) ||
        !take_char(&p, '/') || !take_number(&p, &r.total) || *p != '\0' || r.first > r.last ||
        r.last >= r.total) {
        return err_set(err, RC_INPUT, "Content-Range \"%.80s\" is not of the form \"bytes FIRST-LAST/TOTAL\"",
                       text);
    }
    *ret = r;
    return RC_OK;
}

bool http_body_is_json(const struct http_request *req) {
    return is_json_type(http_header(req, "content-type"));
}

enum rc http_body_json(const struct http_request *req, struct http_response *res, json_t **ret,
                       struct err *err) {
    if (!http_body_is_json(req)) {
        res->status = 415;
        return err_set(err, RC_USAGE, "the body must be JSON, sent with Content-Type: application/json");
    }
    if (req->body_size == 0) {
        return err_set(err, RC_INPUT, "the body is empty; it must be a JSON object");
    }
    json_t *value = NULL;
    enum rc rc = json_parse(req->body, req->body_size, &value, err);
    if (rc == RC_OK && !json_is_object(value)) {
        json_decref(value);
        rc = err_set(err, RC_INPUT, "the body must be a JSON object");
    }
    if (rc == RC_OK) {
        *ret = value;
    }
    return rc;
}

enum rc http_answer_json(struct http_response *res, int status, json_t *value, struct err *err) {
    char *text = value ? json_dumps(value, JSON_COMPACT) : NULL;
    json_decref(value);
    if (!text) {
        return err_memory(err);
    }
    enum rc rc = http_answer_text(res, status, "application/json", text, strlen(text), err);
    free(text);
    return rc;
}

enum rc http_answer_text(struct http_response *res, int status, const char *content_type, const void *data,
                         size_t size, struct err *err) {
    res->kind = ANSWER_WHOLE;
    res->status = status;
    res->content_type = content_type;
    return buf_add(&res->body, data, size, err);
}

enum rc http_answer_header(struct http_response *res, const char *name, const char *value, struct err *err) {
    if (!value || res->header_count == HTTP_HEADERS_MAX || strpbrk(value, "\r\n")) {
        return err_set(err, RC_INTERNAL, "the header %s cannot be added to the answer", name);
    }
    res->headers[res->header_count++] = (struct http_pair){name, value};
    return RC_OK;
}

void http_response_init(struct http_response *res, size_t max_body_bytes) {
    *res = (struct http_response){.fd = -1};
    buf_init(&res->body, max_body_bytes);
}

static void close_file(struct http_response *res) {
    if (res->fd >= 0) {
        close(res->fd);
        res->fd = -1;
    }
}

void http_response_release(struct http_response *res) {
    buf_free(&res->body);
    close_file(res);
}

void http_response_problem(struct http_response *res, const struct err *err, const char *request_id) {
    int status = res->status >= 400 ? res->status : rc_http_status(err->rc);
    json_t *document =
        json_pack("{s:s, s:s, s:i, s:s, s:s, s:s}", "type", "about:blank", "title", http_status_text(status),
                  "status", status, "detail", err->text, "code", rc_name(err->rc), "request_id", request_id);
    char *text = document ? json_dumps(document, JSON_COMPACT) : NULL;
    struct err ignored;
    close_file(res);
    buf_clear(&res->body);
    res->kind = ANSWER_WHOLE;
    res->status = status;
    res->content_type = "application/problem+json";
    if (!text || buf_add_text(&res->body, text, &ignored) != RC_OK) {
        buf_clear(&res->body); /* out of memory: the status alone must do */
    }
    free(text);
    json_decref(document);
}

const char *http_status_text(int status) {
    static const struct {
        int status;
        const char *text;
    } table[] = {
        {100, "Continue"},
        {200, "OK"},
        {201, "Created"},
        {202, "Accepted"},
        {204, "No Content"},
        {206, "Partial Content"},
        {304, "Not Modified"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {411, "Length Required"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {415, "Unsupported Media Type"},
        {416, "Range Not Satisfiable"},
        {417, "Expectation Failed"},
        {421, "Misdirected Request"},
        {422, "Unprocessable Content"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        if (table[i].status == status) {
            return table[i].text;
        }
    }
    return "Status";
}

static int hex_digit(char c) {
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Decodes percent escapes (and '+' in a query) of text[0..size) in place and ends it with a NUL. */
static enum rc decode(char *text, size_t size, char plus, struct err *err) {
    char *out = text;
    for (size_t i = 0; i < size; i++) {
        char c = text[i];
        if (c == '%') {
            int high = i + 2 < size ? hex_digit(text[i + 1]) : -1,
                low = high >= 0 ? hex_digit(text[i + 2]) : -1;
            if (low < 0 || (high == 0 && low == 0)) {
                return err_set(err, RC_INPUT, "the address has an escape that is not %%01 to %%FF");
            }
            c = (char)(high * 16 + low);
            i += 2;
        } else if (c == '+') {
            c = plus;
        }
        *out++ = c;
    }
    *out = '\0';
    return RC_OK;
}

enum { QUERY_MAX = 32 };

static enum rc parse_query(char *text, struct http_request *req, struct err *err) {
    struct http_pair *pairs = arena_calloc(req->arena, QUERY_MAX, sizeof(*pairs));
    size_t count = 0;
    enum rc rc = RC_OK;
    if (!pairs) {
        return err_memory(err);
    }
    for (char *next; rc == RC_OK && text && *text; text = next) {
        next = strchr(text, '&');
        size_t size = next ? (size_t)(next - text) : strlen(text);
        if (next) {
            *next++ = '\0';
        }
        char *equals = memchr(text, '=', size);
        size_t name_size = equals ? (size_t)(equals - text) : size;
        if (count == QUERY_MAX) {
            return err_set(err, RC_INPUT, "the query has more than %d parameters", QUERY_MAX);
        }
        pairs[count].value = equals ? equals + 1 : "";
        pairs[count].name = text;
        rc = equals ? decode(equals + 1, size - name_size - 1, ' ', err) : RC_OK;
        if (rc == RC_OK) {
            rc = decode(text, name_size, ' ', err);
        }
        count += size > 0;
    }
    req->query = pairs;
    req->query_count = count;
    return rc;
}

enum rc http_target_parse(const char *target, struct http_request *req, struct err *err) {
    if (target[0] != '/') {
        return err_set(err, RC_INPUT, "the address must begin with \"/\"");
    }
    char *copy = arena_strdup(req->arena, target);
    if (!copy) {
        return err_memory(err);
    }
    char *end = strchr(copy, '#');
    if (end) {
        *end = '\0';
    }
    char *question = strchr(copy, '?');
    size_t path_size = question ? (size_t)(question - copy) : strlen(copy);
    enum rc rc = question ? parse_query(question + 1, req, err) : RC_OK;
    if (rc == RC_OK) {
        rc = decode(copy, path_size, '+', err);
    }
    req->path = copy;
    return rc;
}
