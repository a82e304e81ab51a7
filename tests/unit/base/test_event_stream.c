/* Server-Sent Events: bytes in, events out. */
#include "tests/support/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/event_stream.h"

struct seen {
    int count, stop_after;
    char text[512];
};

static int note(void *user, const char *id, const char *event, const char *data) {
    struct seen *s = user;
    size_t used = strlen(s->text);
    snprintf(s->text + used, sizeof(s->text) - used, "[%s|%s|%s]", id, event, data);
    return ++s->count == s->stop_after;
}

/* Feeds `text` in pieces of `piece` bytes. */
static enum rc feed(struct seen *seen, const char *text, size_t piece, size_t max_bytes) {
    struct event_stream s;
    struct err err;
    enum rc rc = RC_OK;
    event_stream_init(&s, max_bytes);
    s.on_event = note;
    s.user = seen;
    for (size_t at = 0, size = strlen(text); rc == RC_OK && at < size; at += piece) {
        rc = event_stream_add(&s, text + at, size - at < piece ? size - at : piece, &err);
    }
    event_stream_free(&s);
    return rc;
}

static const char sample[] =
    ": a comment\n\nid: 1\nevent: step\ndata: {\"a\":1}\n\nid:2\r\ndata: two\r\ndata:lines\r\nretry: "
    "5\r\n\r\n"
    "data\ndata\n\nunknown: x\nevent: none\n\nevent: state\ndata:  spaced\n\ndata: not ended\n";

static void events_are_the_same_however_they_arrive(void **state) {
    (void)state;
    for (size_t piece = 1; piece < sizeof(sample); piece++) {
        struct seen s = {0};
        assert_int_equal(feed(&s, sample, piece, 1000), RC_OK);
        assert_string_equal(s.text,
                            "[1|step|{\"a\":1}][2|message|two\nlines][2|message|\n][2|state| spaced]");
    }
}

static void the_reader_can_stop(void **state) {
    (void)state;
    struct seen s = {.stop_after = 2};
    assert_int_equal(feed(&s, sample, 1000, 1000), RC_OK);
    assert_int_equal(s.count, 2);
}

static void an_event_has_a_size_limit(void **state) {
    struct seen s = {0};
    char line[300], text[3000] = "";
    (void)state;
    memset(line, 'x', sizeof(line));
    line[0] = 'd', line[sizeof(line) - 1] = '\0';
    assert_int_equal(feed(&s, line, 7, 200), RC_TOO_LARGE); /* one line */
    for (int i = 0; i < 100; i++) {
        strcat(text, "data: abcdefghij\n");
    }
    assert_int_equal(feed(&s, text, 64, 200), RC_TOO_LARGE); /* many lines */
    assert_int_equal(s.count, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_are_the_same_however_they_arrive),
        cmocka_unit_test(the_reader_can_stop),
        cmocka_unit_test(an_event_has_a_size_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
