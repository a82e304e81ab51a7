#include "core/base/http_client.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/event_stream.h"
#include "core/base/file.h"
#include "core/base/json.h"

enum {
    CONNECT_TIMEOUT_MS = 10 * 1000,
    DEFAULT_TIMEOUT_MS = 30 * 1000,
    DEFAULT_BODY_BYTES = 64 << 20,
    PROBLEM_BYTES = 64 << 10, /* of an answer that is not the file or stream that was asked for */
    EVENT_BYTES = 1 << 20,    /* of one event of a stream */
    STALL_S = 300,            /* a transfer without an own limit ends when nothing moved for so long */
    STREAM_STALL_S = 60       /* the service sends a comment every 15 s */
};

struct http_client {
    CURL *curl;
    struct curl_slist *headers; /* sent with every request */
    char *base_url;             /* without a final '/' */
    uint64_t max_body_bytes;
    bool loopback;          /* never through a proxy */
    const atomic_int *stop; /* borrowed; NULL: requests are never given up from outside */
};

static void init_curl_once(void) {
    curl_global_init(CURL_GLOBAL_ALL);
}

/* True where the host of `url` can only be this machine. */
static bool is_loopback(const char *url) {
    static const char *const hosts[] = {"127.", "localhost", "[::1]"};
    const char *host = strstr(url, "://");
    for (size_t i = 0; host && i < sizeof(hosts) / sizeof(hosts[0]); i++) {
        if (strncmp(host + 3, hosts[i], strlen(hosts[i])) == 0) {
            return true;
        }
    }
    return false;
}

static enum rc check_url(const char *url, struct err *err) {
    const char *rest = NULL;
    if (url && strncmp(url, "http://", 7) == 0) {
        rest = url + 7;
    } else if (url && strncmp(url, "https://", 8) == 0) {
        rest = url + 8;
    }
    if (!rest || *rest == '\0' || *rest == '/' || strpbrk(rest, " \t\r\n?#")) {
        return err_set(err, RC_INPUT,
                       "\"%.200s\" is not the URL of a service; it must look like http://127.0.0.1:7878",
                       url ? url : "");
    }
    return RC_OK;
}

static enum rc add_token(struct http_client *c, const char *token, struct err *err) {
    char header[1024];
    if (strpbrk(token, "\r\n") || strlen(token) > 900) {
        return err_set(err, RC_INPUT, "the token is too long or holds a line break");
    }
    snprintf(header, sizeof(header), "Authorization: Bearer %s", token);
    c->headers = curl_slist_append(NULL, header);
    return c->headers ? RC_OK : err_memory(err);
}

enum rc http_client_new(const struct http_client_opts *opts, struct http_client **ret, struct err *err) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    enum rc rc = check_url(opts->base_url, err);
    if (rc != RC_OK) {
        return rc;
    }
    pthread_once(&once, init_curl_once);
    struct http_client *c = calloc(1, sizeof(*c));
    if (!c) {
        return err_memory(err);
    }
    c->max_body_bytes = opts->max_body_bytes ? opts->max_body_bytes : DEFAULT_BODY_BYTES;
    c->loopback = is_loopback(opts->base_url);
    c->base_url = strdup(opts->base_url);
    c->curl = curl_easy_init();
    rc = c->base_url && c->curl ? RC_OK : err_memory(err);
    if (rc == RC_OK && opts->token && *opts->token) {
        rc = add_token(c, opts->token, err);
    }
    if (rc != RC_OK) {
        http_client_free(c);
        return rc;
    }
    for (size_t n = strlen(c->base_url); n > 0 && c->base_url[n - 1] == '/'; n--) {
        c->base_url[n - 1] = '\0';
    }
    *ret = c;
    return RC_OK;
}

void http_client_free(struct http_client *c) {
    if (c) {
        curl_easy_cleanup(c->curl);
        curl_slist_free_all(c->headers);
        free(c->base_url);
        free(c);
    }
}

void http_client_stop_with(struct http_client *c, const atomic_int *stop) {
    c->stop = stop;
}

void http_answer_init(struct http_answer *a) {
    *a = (struct http_answer){0};
    buf_init(&a->body, DEFAULT_BODY_BYTES);
}

void http_answer_free(struct http_answer *a) {
    buf_free(&a->body);
}

/* One transfer: what the callbacks of libcurl need. */
struct transfer {
    struct http_client *client;
    struct curl_slist *headers; /* own list of this request */
    char *url;
    char curl_error[CURL_ERROR_SIZE];
    struct buf body;    /* the answer, or the problem document in its place */
    struct err err;     /* why a callback stopped the transfer */
    const char *upload; /* bytes still to send */
    size_t upload_left;
    FILE *file;      /* what is uploaded from or downloaded to */
    uint64_t offset; /* where the upload begins in it */
    void (*on_progress)(void *user, uint64_t sent, uint64_t total);
    void *user;
    struct event_stream events;
};

static bool is_success(const struct transfer *t) {
    long status = 0;
    curl_easy_getinfo(t->client->curl, CURLINFO_RESPONSE_CODE, &status);
    return status >= 200 && status < 300;
}

static size_t on_body(char *data, size_t size, size_t count, void *user) {
    struct transfer *t = user;
    return buf_add(&t->body, data, size * count, &t->err) == RC_OK ? size * count : 0;
}

static size_t on_file_body(char *data, size_t size, size_t count, void *user) {
    struct transfer *t = user;
    if (!is_success(t)) {
        return on_body(data, size, count, user);
    }
    if (fwrite(data, 1, size * count, t->file) != size * count) {
        err_set(&t->err, RC_IO, "cannot write the file: %s", strerror(errno));
        return 0;
    }
    return size * count;
}

static size_t on_upload(char *data, size_t size, size_t count, void *user) {
    struct transfer *t = user;
    size_t n = size * count < t->upload_left ? size * count : t->upload_left;
    if (t->file) {
        n = fread(data, 1, size * count, t->file);
        return ferror(t->file) ? CURL_READFUNC_ABORT : n;
    }
    memcpy(data, t->upload, n);
    t->upload += n;
    t->upload_left -= n;
    return n;
}

/* libcurl rewinds where the service closed an old connection before it read the body. */
static int on_seek(void *user, curl_off_t offset, int origin) {
    struct transfer *t = user;
    if (!t->file || origin != SEEK_SET) {
        return CURL_SEEKFUNC_CANTSEEK;
    }
    return fseeko(t->file, (off_t)t->offset + (off_t)offset, SEEK_SET) == 0 ? CURL_SEEKFUNC_OK
                                                                            : CURL_SEEKFUNC_FAIL;
}

static int on_transfer(void *user, curl_off_t down_total, curl_off_t down, curl_off_t up_total,
                       curl_off_t up) {
    struct transfer *t = user;
    (void)down_total, (void)down;
    if (t->on_progress && up_total > 0) {
        t->on_progress(t->user, t->offset + (uint64_t)up, t->offset + (uint64_t)up_total);
    }
    return t->client->stop && atomic_load(t->client->stop) != 0;
}

static void transfer_release(struct transfer *t) {
    curl_slist_free_all(t->headers);
    free(t->url);
    buf_free(&t->body);
    event_stream_free(&t->events);
    curl_easy_reset(t->client->curl); /* forgets the pointers into this transfer, keeps the connection */
}

static enum rc add_header(struct transfer *t, const char *name, const char *value, struct err *err) {
    char header[512];
    snprintf(header, sizeof(header), "%s: %s", name, value);
    struct curl_slist *list = curl_slist_append(t->headers, header);
    if (!list) {
        return err_memory(err);
    }
    t->headers = list;
    return RC_OK;
}

static enum rc copy_headers(struct transfer *t, struct err *err) {
    for (const struct curl_slist *h = t->client->headers; h; h = h->next) {
        struct curl_slist *list = curl_slist_append(t->headers, h->data);
        if (!list) {
            return err_memory(err);
        }
        t->headers = list;
    }
    return RC_OK;
}

/* A transfer for `path`; on failure there is nothing to release. */
static enum rc transfer_init(struct transfer *t, struct http_client *c, const char *path, struct err *err) {
    *t = (struct transfer){.client = c};
    buf_init(&t->body, c->max_body_bytes);
    event_stream_init(&t->events, EVENT_BYTES);
    if (path[0] != '/' || strpbrk(path, " \t\r\n")) {
        return err_set(err, RC_INPUT, "\"%.100s\" is not a path of a service", path);
    }
    if (asprintf(&t->url, "%s%s", c->base_url, path) < 0) {
        t->url = NULL;
        return err_memory(err);
    }
    enum rc rc = copy_headers(t, err);
    if (rc != RC_OK) {
        transfer_release(t);
        return rc;
    }
    curl_easy_setopt(c->curl, CURLOPT_URL, t->url);
    curl_easy_setopt(c->curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(c->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c->curl, CURLOPT_USERAGENT, "pare/" PARE_VERSION);
    curl_easy_setopt(c->curl, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_TIMEOUT_MS);
    curl_easy_setopt(c->curl, CURLOPT_ERRORBUFFER, t->curl_error);
    curl_easy_setopt(c->curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(c->curl, CURLOPT_WRITEDATA, t);
    curl_easy_setopt(c->curl, CURLOPT_READFUNCTION, on_upload);
    curl_easy_setopt(c->curl, CURLOPT_READDATA, t);
    curl_easy_setopt(c->curl, CURLOPT_SEEKFUNCTION, on_seek);
    curl_easy_setopt(c->curl, CURLOPT_SEEKDATA, t);
    if (c->loopback) {
        curl_easy_setopt(c->curl, CURLOPT_PROXY, "");
    }
    if (c->stop) {
        curl_easy_setopt(c->curl, CURLOPT_XFERINFOFUNCTION, on_transfer);
        curl_easy_setopt(c->curl, CURLOPT_XFERINFODATA, t);
        curl_easy_setopt(c->curl, CURLOPT_NOPROGRESS, 0L);
    }
    return RC_OK;
}

/* Nothing moves for `seconds`: the transfer ends. */
static void limit_stall(struct transfer *t, long seconds) {
    curl_easy_setopt(t->client->curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(t->client->curl, CURLOPT_LOW_SPEED_TIME, seconds);
}

static enum rc transfer_run(struct transfer *t, struct err *err) {
    CURL *curl = t->client->curl;
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, t->headers);
    CURLcode code = curl_easy_perform(curl);
    const char *text = t->curl_error[0] ? t->curl_error : curl_easy_strerror(code);
    if (code == CURLE_OK || t->events.stopped) {
        return RC_OK;
    }
    if (code == CURLE_WRITE_ERROR && t->err.rc != RC_OK) {
        return err_set(err, t->err.rc, "%s", t->err.text);
    }
    if (code == CURLE_ABORTED_BY_CALLBACK) {
        return err_set(err, RC_CANCELLED, "given up: it is time to stop");
    }
    if (code == CURLE_OPERATION_TIMEDOUT) {
        return err_set(err, RC_TIMEOUT, "%s did not answer in time: %s", t->client->base_url, text);
    }
    if (code == CURLE_OUT_OF_MEMORY) {
        return err_memory(err);
    }
    return err_set(err, RC_IO, "cannot reach %s: %s", t->client->base_url, text);
}

static int transfer_status(const struct transfer *t) {
    long status = 0;
    curl_easy_getinfo(t->client->curl, CURLINFO_RESPONSE_CODE, &status);
    return (int)status;
}

static enum rc rc_from_status(int status) {
    switch (status) {
    case 401:
        return RC_UNAUTHORIZED;
    case 403:
        return RC_FORBIDDEN;
    case 404:
        return RC_NOT_FOUND;
    case 409:
        return RC_CONFLICT;
    case 413:
        return RC_TOO_LARGE;
    case 422:
        return RC_UNSUPPORTED;
    case 503:
        return RC_BUSY;
    case 504:
        return RC_TIMEOUT;
    default:
        return status >= 400 && status < 500 ? RC_INPUT : RC_INTERNAL;
    }
}

/* The code and the detail of a problem document (RFC 9457), or the bare status where there is none. */
static enum rc problem(const struct http_client *c, int status, const struct buf *body, struct err *err) {
    json_t *document = NULL;
    struct err ignored;
    const char *detail = NULL, *code = NULL;
    if (body->size > 0 && json_parse(body->data, body->size, &document, &ignored) == RC_OK) {
        detail = json_string_value(json_object_get(document, "detail"));
        code = json_string_value(json_object_get(document, "code"));
    }
    enum rc rc = code ? rc_from_name(code) : rc_from_status(status);
    if (rc == RC_OK) {
        rc = RC_INTERNAL;
    }
    if (detail) {
        err_set(err, rc, "%s", detail);
    } else {
        err_set(err, rc, "%s answered with status %d", c->base_url, status);
    }
    json_decref(document);
    return rc;
}

static void prepare_send(struct transfer *t, const char *method, const void *body, size_t body_size,
                         uint64_t timeout_ms) {
    CURL *curl = t->client->curl;
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)(timeout_ms ? timeout_ms : DEFAULT_TIMEOUT_MS));
    if (strcmp(method, "HEAD") == 0) {
        curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
    } else if (strcmp(method, "GET") != 0 || body) {
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body ? body : "");
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body_size);
        curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
    }
}

static uint64_t read_upload_offset(CURL *curl) {
    struct curl_header *header;
    if (curl_easy_header(curl, "Upload-Offset", 0, CURLH_HEADER, -1, &header) != CURLHE_OK) {
        return 0;
    }
    char *end;
    errno = 0;
    unsigned long long offset = strtoull(header->value, &end, 10);
    bool plain = header->value[0] >= '0' && header->value[0] <= '9' && *end == '\0' && errno == 0;
    return plain ? offset : 0;
}

enum rc http_client_send(struct http_client *c, const char *method, const char *path,
                         const char *content_type, const void *body, size_t body_size, uint64_t timeout_ms,
                         struct http_answer *answer, struct err *err) {
    struct transfer t;
    char *type = NULL;
    enum rc rc = transfer_init(&t, c, path, err);
    if (rc != RC_OK) {
        return rc;
    }
    prepare_send(&t, method, body, body_size, timeout_ms);
    /* an empty value removes the form type that libcurl would put there */
    rc = add_header(&t, "Content-Type", body && content_type ? content_type : "", err);
    if (rc == RC_OK) {
        rc = transfer_run(&t, err);
    }
    if (rc == RC_OK) {
        answer->status = transfer_status(&t);
        curl_easy_getinfo(c->curl, CURLINFO_CONTENT_TYPE, &type);
        answer->upload_offset = read_upload_offset(c->curl);
        snprintf(answer->content_type, sizeof(answer->content_type), "%s", type ? type : "");
        buf_free(&answer->body);
        answer->body = t.body;
        buf_init(&t.body, 0);
    }
    transfer_release(&t);
    return rc;
}

static enum rc read_json_answer(const struct http_client *c, const struct http_answer *answer, json_t **ret,
                                struct err *err) {
    if (answer->status < 200 || answer->status > 299) {
        return problem(c, answer->status, &answer->body, err);
    }
    json_t *value = NULL;
    if (answer->body.size > 0) {
        enum rc rc = json_parse(answer->body.data, answer->body.size, &value, err);
        if (rc != RC_OK) {
            return err_prefix(err, "the answer of %s", c->base_url);
        }
    }
    if (ret) {
        *ret = value;
    } else {
        json_decref(value);
    }
    return RC_OK;
}

enum rc http_client_json(struct http_client *c, const char *method, const char *path,
                         const struct json_t *body, uint64_t timeout_ms, struct json_t **ret,
                         struct err *err) {
    struct http_answer answer;
    char *text = body ? json_text(body) : NULL;
    if (body && !text) {
        return err_memory(err);
    }
    http_answer_init(&answer);
    enum rc rc = http_client_send(c, method, path, "application/json", text, text ? strlen(text) : 0,
                                  timeout_ms, &answer, err);
    if (rc == RC_OK) {
        rc = read_json_answer(c, &answer, ret, err);
    }
    http_answer_free(&answer);
    free(text);
    return rc;
}

/* "bytes 100-199/200" for the rest of a file of 200 bytes. */
static enum rc add_range(struct transfer *t, uint64_t bytes, struct err *err) {
    char range[80];
    if (t->offset == 0) {
        return RC_OK;
    }
    snprintf(range, sizeof(range), "bytes %llu-%llu/%llu", (unsigned long long)t->offset,
             (unsigned long long)bytes - 1, (unsigned long long)bytes);
    return fseeko(t->file, (off_t)t->offset, SEEK_SET) == 0 ? add_header(t, "Content-Range", range, err)
                                                            : err_set(err, RC_IO, "%s", strerror(errno));
}

static enum rc run_upload(struct transfer *t, uint64_t bytes, struct err *err) {
    CURL *curl = t->client->curl;
    curl_easy_setopt(curl, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(curl, CURLOPT_INFILESIZE_LARGE, (curl_off_t)(bytes - t->offset));
    curl_easy_setopt(curl, CURLOPT_UPLOAD_BUFFERSIZE, 256L << 10);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_transfer);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, t);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, t->on_progress || t->client->stop ? 0L : 1L);
    limit_stall(t, STALL_S);
    enum rc rc = add_header(t, "Content-Type", "application/octet-stream", err);
    if (rc == RC_OK) {
        rc = add_range(t, bytes, err);
    }
    if (rc == RC_OK) {
        rc = transfer_run(t, err);
    }
    return rc == RC_OK && !is_success(t) ? problem(t->client, transfer_status(t), &t->body, err) : rc;
}

enum rc http_client_upload(struct http_client *c, const char *path, const char *file, uint64_t offset,
                           void (*on_progress)(void *user, uint64_t sent, uint64_t total), void *user,
                           struct err *err) {
    struct transfer t;
    uint64_t bytes = 0;
    enum rc rc = file_size(file, &bytes, err);
    if (rc == RC_OK && offset > 0 && offset >= bytes) {
        rc = err_set(err, RC_INTERNAL, "%s has %llu bytes: there is no rest from %llu on", file,
                     (unsigned long long)bytes, (unsigned long long)offset);
    }
    if (rc == RC_OK) {
        rc = transfer_init(&t, c, path, err);
    }
    if (rc != RC_OK) {
        return rc;
    }
    t.on_progress = on_progress;
    t.user = user;
    t.offset = offset;
    t.file = fopen(file, "rb");
    rc = t.file ? run_upload(&t, bytes, err) : file_error(file, err);
    if (t.file) {
        fclose(t.file);
    }
    transfer_release(&t);
    return rc;
}

static enum rc run_download(struct transfer *t, struct err *err) {
    curl_easy_setopt(t->client->curl, CURLOPT_WRITEFUNCTION, on_file_body);
    t->body.max = PROBLEM_BYTES;
    limit_stall(t, STALL_S);
    enum rc rc = transfer_run(t, err);
    return rc == RC_OK && !is_success(t) ? problem(t->client, transfer_status(t), &t->body, err) : rc;
}

/* Opens "file.XXXXXX" for writing; `temporary` has room for the name. */
static FILE *open_temporary(const char *file, char *temporary, size_t size) {
    int n = snprintf(temporary, size, "%s.XXXXXX", file);
    int fd = n > 0 && (size_t)n < size ? mkostemp(temporary, O_CLOEXEC) : -1;
    return fd >= 0 ? fdopen(fd, "wb") : NULL;
}

enum rc http_client_download(struct http_client *c, const char *path, const char *file, struct err *err) {
    struct transfer t;
    char temporary[4096];
    enum rc rc = transfer_init(&t, c, path, err);
    if (rc != RC_OK) {
        return rc;
    }
    t.file = open_temporary(file, temporary, sizeof(temporary));
    if (!t.file) {
        rc = file_error(file, err);
    } else {
        rc = run_download(&t, err);
        if (fclose(t.file) != 0 && rc == RC_OK) {
            rc = file_error(temporary, err);
        }
        if (rc == RC_OK && rename(temporary, file) != 0) {
            rc = file_error(file, err);
        }
        if (rc != RC_OK) {
            unlink(temporary);
        }
    }
    transfer_release(&t);
    return rc;
}

static size_t on_stream(char *data, size_t size, size_t count, void *user) {
    struct transfer *t = user;
    if (!is_success(t)) {
        return on_body(data, size, count, user);
    }
    enum rc rc = event_stream_add(&t->events, data, size * count, &t->err);
    return rc == RC_OK && !t->events.stopped ? size * count : 0;
}

enum rc http_client_events(struct http_client *c, const char *path, const char *last_id,
                           int (*on_event)(void *user, const char *id, const char *event, const char *data),
                           void *user, struct err *err) {
    struct transfer t;
    enum rc rc = transfer_init(&t, c, path, err);
    if (rc != RC_OK) {
        return rc;
    }
    t.events.on_event = on_event;
    t.events.user = user;
    t.body.max = PROBLEM_BYTES;
    curl_easy_setopt(c->curl, CURLOPT_WRITEFUNCTION, on_stream);
    limit_stall(&t, STREAM_STALL_S);
    rc = add_header(&t, "Accept", "text/event-stream", err);
    if (rc == RC_OK && last_id && *last_id && !strpbrk(last_id, "\r\n")) {
        rc = add_header(&t, "Last-Event-ID", last_id, err);
    }
    if (rc == RC_OK) {
        rc = transfer_run(&t, err);
    }
    if (rc == RC_OK && !t.events.stopped && !is_success(&t)) {
        rc = problem(c, transfer_status(&t), &t.body, err);
    }
    transfer_release(&t);
    return rc;
}
