/* Plays every file of tests/data/http against a real server on a socket. A file is lines of
 *   send: TEXT        bytes to send, with \r \n \t \0 \xHH \\ ; the lines of a file are joined
 *   repeat: N TEXT    the same, N times
 *   status: N N ...   the answers expected, in their order (without interim ones)
 *   body: TEXT        must be in what comes back; may be repeated
 *   absent: TEXT      must not
 *   end: closed|open  whether the server closes the connection after the answers (default open)
 *   half-close:       the client says that it sends no more
 *   server: short     the limits of time are 150 ms for head and body
 * and comments (#). Adding a case needs no C. */
#include "tests/support/test.h"
#include <setjmp.h>

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "core/base/file.h"
#include "core/base/log.h"
#include "tests/support/http_service.h"

enum { LIST_MAX = 16, GUARD_S = 10, TEXT_MAX = 8 << 20 };
static const char folder[] = "tests/data/http";

struct services {
    struct http_service normal, hasty;
};

struct raw_case {
    struct buf send;
    int statuses[LIST_MAX];
    size_t status_count;
    char *body[LIST_MAX], *absent[LIST_MAX];
    size_t body_count, absent_count;
    bool closed, half_close, hasty;
};

/* ---- reading a case ---- */

/* Decodes the escapes of `text` to the end of `out`. */
static void add_escaped(struct buf *out, const char *text) {
    for (const char *p = text; *p; p++) {
        char c = *p;
        if (c == '\\' && p[1] == 'x') {
            char hex[3] = {p[2], p[3], 0};
            c = (char)strtol(hex, NULL, 16);
            p += 3;
        } else if (c == '\\') {
            p++;
            c = *p == 'r' ? '\r' : *p == 'n' ? '\n' : *p == 't' ? '\t' : *p == '0' ? '\0' : *p;
        }
        assert_int_equal(buf_add(out, &c, 1, NULL), RC_OK);
    }
}

static void add_repeated(struct buf *out, const char *text) {
    char *rest;
    long n = strtol(text, &rest, 10);
    for (long i = 0; i < n; i++) {
        add_escaped(out, rest + 1);
    }
}

static void add_statuses(struct raw_case *c, const char *text) {
    char *end;
    for (long n; (n = strtol(text, &end, 10)) > 0; text = end) {
        assert_true(c->status_count < LIST_MAX);
        c->statuses[c->status_count++] = (int)n;
    }
}

static char *copy_escaped(const char *text) {
    struct buf b;
    buf_init(&b, TEXT_MAX);
    add_escaped(&b, text);
    return buf_steal(&b);
}

static void read_line(struct raw_case *c, char *line) {
    char *value = strstr(line, ": ");
    value = value ? value + 2 : line + strlen(line);
    if (line[0] == '#' || line[0] == '\0') {
        return;
    }
    if (strncmp(line, "send: ", 6) == 0) {
        add_escaped(&c->send, value);
    } else if (strncmp(line, "repeat: ", 8) == 0) {
        add_repeated(&c->send, value);
    } else if (strncmp(line, "status: ", 8) == 0) {
        add_statuses(c, value);
    } else if (strncmp(line, "body: ", 6) == 0 && c->body_count < LIST_MAX) {
        c->body[c->body_count++] = copy_escaped(value);
    } else if (strncmp(line, "absent: ", 8) == 0 && c->absent_count < LIST_MAX) {
        c->absent[c->absent_count++] = copy_escaped(value);
    } else if (strncmp(line, "end: ", 5) == 0) {
        c->closed = strcmp(value, "closed") == 0;
    } else if (strncmp(line, "half-close:", 11) == 0) {
        c->half_close = true;
    } else if (strcmp(line, "server: short") == 0) {
        c->hasty = true;
    } else {
        fail_msg("this line is not understood: %s", line);
    }
}

static void read_case(const char *path, struct raw_case *c) {
    char *text;
    size_t size;
    struct err err = {0};
    *c = (struct raw_case){0};
    buf_init(&c->send, TEXT_MAX);
    assert_int_equal(file_read(path, 1 << 20, &text, &size, &err), RC_OK);
    for (char *line = text, *next; line && *line; line = next) {
        next = strchr(line, '\n');
        if (next) {
            *next++ = '\0';
        }
        read_line(c, line);
    }
    free(text);
}

static void free_case(struct raw_case *c) {
    buf_free(&c->send);
    for (size_t i = 0; i < LIST_MAX; i++) {
        free(c->body[i]);
        free(c->absent[i]);
    }
}

/* ---- talking ---- */

static int connect_to(int port) {
    struct sockaddr_in ip = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct timeval guard = {.tv_sec = GUARD_S}; /* a hanging test fails; no test waits for it */
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    inet_pton(AF_INET, "127.0.0.1", &ip.sin_addr);
    assert_int_equal(connect(fd, (struct sockaddr *)&ip, sizeof(ip)), 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &guard, sizeof(guard));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &guard, sizeof(guard));
    return fd;
}

static void send_all(int fd, const char *data, size_t size) {
    while (size > 0) {
        ssize_t n = send(fd, data, size, MSG_NOSIGNAL);
        if (n <= 0) {
            return; /* the server has refused the rest: its answer is there to be read */
        }
        data += n;
        size -= (size_t)n;
    }
}

/* The bytes of the body behind the head at `head`, where it ends at `end`; -1 while it is not complete. */
static long body_size(const char *head, const char *end, const char *limit) {
    const char *length = strcasestr(head, "\r\nContent-Length: ");
    const char *chunked = strcasestr(head, "\r\nTransfer-Encoding: chunked");
    if (chunked && chunked < end) {
        const char *last = memmem(end, (size_t)(limit - end), "\r\n0\r\n\r\n", 7);
        return last ? last + 7 - end : -1;
    }
    long n = length && length < end ? strtol(length + 18, NULL, 10) : 0;
    return n <= limit - end ? n : -1;
}

/* Counts the complete answers in `got` and notes their statuses; interim ones do not count. */
static size_t count_answers(const struct buf *got, int *statuses) {
    size_t n = 0;
    const char *p = got->data, *limit = got->data + got->size;
    while (p && p < limit) {
        const char *end = memmem(p, (size_t)(limit - p), "\r\n\r\n", 4);
        int status = (int)strtol(p + 9, NULL, 10);
        long size = end ? body_size(p, end + 4, limit) : -1;
        if (size < 0) {
            break;
        }
        if (status >= 200 && n < LIST_MAX) {
            statuses[n++] = status;
        }
        p = end + 4 + (status >= 200 ? size : 0);
    }
    return n;
}

/* Reads until there are `want` answers, or the end. True at the end. */
static bool read_answers(int fd, struct buf *got, size_t want, int *statuses, size_t *n) {
    char chunk[16384];
    ssize_t size = 1;
    *n = count_answers(got, statuses);
    while (*n < want && size > 0) {
        size = recv(fd, chunk, sizeof(chunk), 0);
        if (size > 0) {
            assert_int_equal(buf_add(got, chunk, (size_t)size, NULL), RC_OK);
        }
        *n = count_answers(got, statuses);
    }
    return size <= 0;
}

/* Reads what is left; false where the guard's time passes without an end. */
static bool is_closed(int fd, struct buf *got) {
    char chunk[4096];
    ssize_t n;
    while ((n = recv(fd, chunk, sizeof(chunk), 0)) > 0) {
        assert_int_equal(buf_add(got, chunk, (size_t)n, NULL), RC_OK);
    }
    return n == 0 || errno == ECONNRESET;
}

/* A connection that is open answers another request. */
static bool is_open(int fd) {
    static const char ping[] = "GET /v2/health/live HTTP/1.1\r\nHost: localhost\r\n\r\n";
    struct buf got;
    int statuses[LIST_MAX] = {0};
    size_t n = 0;
    buf_init(&got, TEXT_MAX);
    send_all(fd, ping, sizeof(ping) - 1);
    read_answers(fd, &got, 1, statuses, &n);
    buf_free(&got);
    return n == 1 && statuses[0] == 200;
}

/* Says what is not as the case says; true where all is. */
static bool check(const char *name, const struct raw_case *c, const struct buf *got, const int *statuses,
                  size_t n) {
    const char *text = got->data ? got->data : "";
    bool ok = true;
    for (size_t i = 0; i < c->status_count; i++) {
        if (i >= n || statuses[i] != c->statuses[i]) {
            printf("%s: answer %zu is %d, expected %d\n", name, i, i < n ? statuses[i] : 0, c->statuses[i]);
            ok = false;
        }
    }
    for (size_t i = 0; i < c->body_count; i++) {
        if (!strstr(text, c->body[i])) {
            printf("%s: \"%s\" is not there\n", name, c->body[i]);
            ok = false;
        }
    }
    for (size_t i = 0; i < c->absent_count; i++) {
        if (strstr(text, c->absent[i])) {
            printf("%s: \"%s\" is there\n", name, c->absent[i]);
            ok = false;
        }
    }
    if (!ok) {
        printf("all that came:\n%s\n", text);
    }
    return ok;
}

static bool play(const struct services *s, const char *name, const char *path) {
    struct raw_case c;
    struct buf got;
    int statuses[LIST_MAX] = {0};
    size_t n = 0;
    read_case(path, &c);
    buf_init(&got, TEXT_MAX);
    int fd = connect_to(server_port(c.hasty ? s->hasty.server : s->normal.server));
    send_all(fd, c.send.data, c.send.size);
    if (c.half_close) {
        shutdown(fd, SHUT_WR);
    }
    read_answers(fd, &got, c.status_count, statuses, &n);
    bool as_said = c.closed ? is_closed(fd, &got) : is_open(fd);
    if (!as_said) {
        printf("%s: the connection is not %s afterwards\n", name, c.closed ? "closed" : "open");
    }
    bool ok = check(name, &c, &got, statuses, n) && as_said;
    close(fd);
    buf_free(&got);
    free_case(&c);
    return ok;
}

static void every_case_is_answered_as_its_file_says(void **state) {
    int played = 0, failed = 0;
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    for (struct dirent *e; (e = readdir(dir)) != NULL;) {
        char path[512];
        const char *end = strrchr(e->d_name, '.');
        if (end && strcmp(end, ".txt") == 0) {
            snprintf(path, sizeof(path), "%s/%s", folder, e->d_name);
            failed += !play(*state, e->d_name, path);
            played++;
        }
    }
    closedir(dir);
    printf("%d cases, %d failed\n", played, failed);
    assert_true(played > 40);
    assert_int_equal(failed, 0);
}

static int setup(void **state) {
    struct services *s = calloc(1, sizeof(*s));
    log_set_level(LOG_ERROR);
    struct conn_limits hasty = conn_default_limits;
    hasty.head_ns = hasty.body_ns = 150 * 1000000ull;
    http_service_start(&s->normal, NULL, NULL);
    http_service_start(&s->hasty, &hasty, NULL);
    *state = s;
    return 0;
}

static int teardown(void **state) {
    struct services *s = *state;
    http_service_stop(&s->normal);
    http_service_stop(&s->hasty);
    free(s);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_case_is_answered_as_its_file_says)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
