#include "advisor/decide/gate.h"

#include <math.h>
#include <stdio.h>

#include "advisor/decide/explain.h"

const char *gate_verdict_name(enum gate_verdict v) {
    switch (v) {
    case GATE_PASS:
        return "pass";
    case GATE_FAIL:
        return "fail";
    case GATE_INCONCLUSIVE:
        return "inconclusive";
    }
    return "inconclusive";
}

int gate_exit_code(enum gate_verdict v) {
    switch (v) {
    case GATE_PASS:
        return 0;
    case GATE_FAIL:
        return 1;
    case GATE_INCONCLUSIVE:
        return 3;
    }
    return 3;
}

static enum rc fill(const struct recommend_question *q, const struct recommend_outcome *o, uint32_t candidate,
                    uint32_t limit, struct gate_check *g, struct err *err) {
    struct buf text;
    buf_init(&text, 4096);
    bool is_floor = limit < q->floor_count;
    recommend_limit_text(q, limit, g->limit, sizeof g->limit);
    g->bound = is_floor ? q->floors[limit].bound : q->budgets[limit - q->floor_count].bound;
    enum rc rc = recommend_check(q, o, candidate, limit, &g->check, err);
    if (rc == RC_OK) {
        rc = is_floor ? explain_floor(&q->floors[limit], &g->check, &text, err)
                      : explain_budget(&q->budgets[limit - q->floor_count], &g->check, &text, err);
    }
    if (rc == RC_OK) {
        snprintf(g->text, sizeof g->text, "%s", text.data);
    }
    buf_free(&text);
    return rc;
}

enum rc gate_checks(const struct recommend_question *q, const struct recommend_outcome *o, uint32_t candidate,
                    struct gate_check checks[RECOMMEND_MAX_LIMITS], size_t *count, struct err *err) {
    size_t limits = q->floor_count + q->budget_count;
    for (uint32_t i = 0; i < limits; i++) {
        enum rc rc = fill(q, o, candidate, i, &checks[i], err);
        if (rc != RC_OK) {
            return rc;
        }
    }
    *count = limits;
    return RC_OK;
}

enum gate_verdict gate_judge(const struct gate_check *checks, size_t count) {
    enum gate_verdict verdict = count ? GATE_PASS : GATE_INCONCLUSIVE;
    for (size_t i = 0; i < count; i++) {
        if (checks[i].check.verdict == VERDICT_BROKEN) {
            return GATE_FAIL;
        }
        if (checks[i].check.verdict == VERDICT_UNDECIDED) {
            verdict = GATE_INCONCLUSIVE;
        }
    }
    return verdict;
}

/* Names come from users: nothing in them may end a table cell, open a link or markup, or mention anybody. */
static enum rc add_escaped(const char *text, struct buf *out, struct err *err) {
    enum rc rc = RC_OK;
    for (; *text && rc == RC_OK; text++) {
        char c = *text;
        if ((unsigned char)c < 0x20 || c == 0x7f) {
            rc = buf_add_text(out, " ", err);
        } else if (c == '<' || c == '>' || c == '&' || c == '@') {
            rc = buf_printf(out, err, "&#%d;", c);
        } else if (c == '\\' || c == '`' || c == '*' || c == '_' || c == '[' || c == ']' || c == '|' ||
                   c == '!' || c == '#' || c == '~') {
            rc = buf_printf(out, err, "\\%c", c);
        } else {
            rc = buf_add(out, &c, 1, err);
        }
    }
    return rc;
}

static enum rc add_row(const struct gate_check *g, struct buf *out, struct err *err) {
    enum rc rc = buf_add_text(out, "| `", err);
    if (rc == RC_OK) {
        rc = buf_add_text(out, g->limit, err); /* canonical: letters, digits, <>=.%/ */
    }
    if (rc == RC_OK) {
        rc = buf_printf(out, err, "` | %s | ", verdict_name(g->check.verdict));
    }
    if (rc == RC_OK) {
        rc = add_escaped(g->text, out, err);
    }
    return rc == RC_OK ? buf_add_text(out, " |\n", err) : rc;
}

enum rc gate_markdown(const char *gate, const char *model, const char *configuration,
                      const struct gate_check *checks, size_t count, struct buf *out, struct err *err) {
    const char *const heads[] = {"### Gate ", "\n\nModel: ", "  \nConfiguration: "};
    const char *const names[] = {gate, model, configuration};
    enum rc rc = RC_OK;
    for (size_t i = 0; i < 3 && rc == RC_OK; i++) {
        rc = buf_add_text(out, heads[i], err);
        if (rc == RC_OK) {
            rc = add_escaped(names[i], out, err);
        }
        if (rc == RC_OK && i == 0) {
            rc = buf_printf(out, err, ": %s", gate_verdict_name(gate_judge(checks, count)));
        }
    }
    if (rc == RC_OK) {
        rc = buf_add_text(out, "\n\n| limit | verdict | why |\n|---|---|---|\n", err);
    }
    for (size_t i = 0; i < count && rc == RC_OK; i++) {
        rc = add_row(&checks[i], out, err);
    }
    return rc;
}
