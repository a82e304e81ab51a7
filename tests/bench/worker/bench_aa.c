/* bench_aa.c -- do comparison runs raise false alarms, and do they find a real slowdown in time? Two kinds of
 * comparisons, in turn: a model with itself (A/A), and the same with a planted slowdown: after every run of
 * the model its thread works on for that share of the time that the run took. Every replicate is a fresh
 * process that does what a worker's `compare` job does; the verdict is that of the service
 * (advisor/decide/comparison.h), with its margin of 2 % and its limit of 120 s. Prints one line of JSON.
 *
 *   bench_aa [--comparisons N] [--model FILE] [--threads N] [--slowdown PERCENT] [--jobs N] [--seed N]
 *
 * N of each kind (default 500). --jobs runs so many comparisons at once, each pinned to cores of its own.
 * Input: images of Debian's dataset-fashion-mnist. Exit 1 when over 0.5 % of the A/A comparisons are called
 * different, or under 95 % of the slowdowns are called slower within the limit. */
#include <fcntl.h>
#include <getopt.h>
#include <math.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "advisor/decide/comparison.h"
#include "core/base/clock.h"
#include "core/stats/quantile.h"
#include "core/stats/sequential.h"
#include "profiler/worker/replicate.h"

enum { MAX_COMPARISONS = 20000, TEXT_SIZE = 4096 };
#define FASHION "/usr/share/datasets/fashion-mnist/t10k-"

static const double MARGIN = 0.02, CONFIDENCE = 0.95, LIMIT_S = 120;

struct options {
    const char *model;
    int comparisons, threads, jobs;
    double slowdown; /* 0.05 */
    uint64_t seed;
};

struct outcome {
    int verdict; /* enum comparison_verdict */
    int replicates, unsteady;
    double seconds, ratio, spread; /* wall time; of a replicate's logarithm */
};

static void die(const struct err *err) {
    fprintf(stderr, "bench_aa: %s\n", err->text);
    exit(2);
}

/* ---- one replicate, in a process of its own ---- */

struct planted {
    void *run;
    double share;
};

/* The slowdown is real work on the clock, not a changed figure. */
static enum rc run_planted(void *user, float *us, struct err *err) {
    const struct planted *p = user;
    uint64_t start = clock_mono_ns();
    enum rc rc = pooled_run_once(p->run, us, err);
    uint64_t ran = clock_mono_ns() - start, until = start + ran + (uint64_t)((double)*us * 1e3 * p->share);
    volatile uint64_t work = 0;
    uint64_t now;
    while ((now = clock_mono_ns()) < until) {
        work = work * 6364136223846793005u + 1;
    }
    *us += (float)((double)(now - start - ran) / 1e3);
    return rc;
}

static void job_text(const struct options *o, uint64_t seed, char text[TEXT_SIZE]) {
    snprintf(
        text, TEXT_SIZE,
        "{\"kind\": \"compare\", \"model\": {\"family\": \"onnx\", \"main\": \"m\", \"files\": [{\"path\": "
        "\"m\", "
        "\"local\": \"%s\"}]}, \"reference\": {\"family\": \"onnx\", \"main\": \"m\", \"files\": [{\"path\": "
        "\"m\", \"local\": \"%s\"}]}, \"dataset\": {\"format\": \"idx\", \"input\": \"image\", \"files\": "
        "[{\"role\": \"images\", \"path\": \"i\", \"local\": \"" FASHION
        "images-idx3-ubyte.gz\"}, {\"role\": "
        "\"labels\", \"path\": \"l\", \"local\": \"" FASHION
        "labels-idx1-ubyte.gz\"}], \"preprocess\": {\"image\": "
        "{\"scale\": 0.00392156862745098, \"mean\": [0.286], \"std\": [0.353]}}}, \"runtime\": {\"threads\": "
        "%d, "
        "\"batch\": 1}, \"reference_runtime\": {\"threads\": %d, \"batch\": 1}, \"seed\": %llu}",
        o->model, o->model, o->threads, o->threads, (unsigned long long)(seed >> 1));
}

struct measured {
    double log_ratio;
    int unsteady;
};

static void replicate(const struct options *o, double slowdown, uint64_t seed, struct measured *ret) {
    struct job_spec spec;
    struct replicate_settings settings;
    struct replicate_pair pair;
    struct err err = {0};
    char text[TEXT_SIZE];
    job_text(o, seed, text);
    struct lines lines = {.fd = open("/dev/null", O_WRONLY | O_CLOEXEC)};
    pthread_mutex_init(&lines.lock, NULL);
    if (job_spec_read(text, strlen(text), &spec, &err) != RC_OK ||
        replicate_settings_read(&spec, &settings, &err) != RC_OK ||
        replicate_open(&spec, &settings, &pair, &err) != RC_OK) {
        die(&err);
    }
    struct planted planted = {pair.sides[INTERLEAVE_MODEL].user, slowdown};
    if (slowdown > 0) {
        pair.sides[INTERLEAVE_MODEL] = (struct interleave_side){run_planted, &planted};
    }
    struct worker_job job = {.spec = &spec, .lines = &lines, .result = json_object(), .files = json_array()};
    if (replicate_measure(&job, &settings, &pair, &err) != RC_OK) {
        die(&err);
    }
    const json_t *conditions = json_object_get(job.result, "conditions");
    ret->log_ratio = json_number_value(json_object_get(job.result, "log_ratio"));
    ret->unsteady = !json_is_true(json_object_get(conditions, "stable"));
}

/* Runs `replicate` in a child and takes its figures. */
static void in_child(const struct options *o, double slowdown, uint64_t seed, struct measured *ret) {
    int ends[2];
    if (pipe(ends) != 0) {
        exit(2);
    }
    pid_t pid = fork();
    if (pid == 0) {
        struct measured m;
        replicate(o, slowdown, seed, &m);
        _exit(write(ends[1], &m, sizeof(m)) == (ssize_t)sizeof(m) ? 0 : 2);
    }
    close(ends[1]);
    bool fine = pid > 0 && read(ends[0], ret, sizeof(*ret)) == (ssize_t)sizeof(*ret);
    close(ends[0]);
    waitpid(pid, NULL, 0);
    if (!fine) {
        exit(2);
    }
}

/* ---- one comparison ---- */

static double spread_of(const double *logs, size_t n) {
    struct sequential_bounds b;
    sequential_bounds_of(logs, n, CONFIDENCE, &b);
    return b.error * sqrt((double)n);
}

static struct outcome compare(const struct options *o, double slowdown, uint64_t seed) {
    double logs[SEQUENTIAL_LAST];
    struct comparison_outcome c = {0};
    struct outcome out = {0};
    size_t n = 0;
    uint64_t start = clock_mono_ns();
    while (!c.ended) {
        struct measured m;
        in_child(o, slowdown, seed * 1000 + n * 8, &m);
        logs[n++] = m.log_ratio;
        out.unsteady += m.unsteady;
        out.seconds = (double)(clock_mono_ns() - start) / 1e9;
        const struct comparison_question q = {logs, n, MARGIN, CONFIDENCE, out.seconds, LIMIT_S};
        comparison_decide(&q, &c);
    }
    out.verdict = (int)c.verdict;
    out.replicates = (int)n;
    out.ratio = c.ratio;
    out.spread = spread_of(logs, n);
    return out;
}

/* ---- many, by processes that each have cores of their own ---- */

static void pin(int job, int threads) {
    cpu_set_t all, mine;
    int seen = 0;
    CPU_ZERO(&mine);
    sched_getaffinity(0, sizeof(all), &all);
    for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(cpu, &all) && seen++ / threads == job) {
            CPU_SET(cpu, &mine);
        }
    }
    if (CPU_COUNT(&mine) == threads) {
        sched_setaffinity(0, sizeof(mine), &mine);
    }
}

struct entry {
    bool planted;
    struct outcome outcome;
};

/* Job `job` does every jobs-th comparison, of both kinds in turn, and writes what came of them. */
static void work(const struct options *o, int job, int out) {
    char folder[] = "/tmp/pare-bench-aa-XXXXXX";
    if (!mkdtemp(folder) || chdir(folder) != 0) {
        exit(2);
    }
    pin(job, o->threads);
    for (int i = 2 * job; i < 2 * o->comparisons; i += i % 2 ? 2 * o->jobs - 1 : 1) {
        bool planted = i % 2;
        struct entry e = {planted, compare(o, planted ? o->slowdown : 0, o->seed + (uint64_t)i)};
        if (write(out, &e, sizeof(e)) != (ssize_t)sizeof(e)) {
            exit(2);
        }
    }
    unlink("model.bin");
    unlink("reference.bin");
    if (chdir("/") == 0) {
        rmdir(folder);
    }
}

struct tally {
    int n, called[4], unsteady, replicates;
    double seconds[MAX_COMPARISONS], spreads[MAX_COMPARISONS];
    double ratio_log;
};

static struct tally tallies[2]; /* A/A, planted */

static void count(const struct entry *e) {
    struct tally *t = &tallies[e->planted];
    t->called[e->outcome.verdict]++;
    t->unsteady += e->outcome.unsteady;
    t->replicates += e->outcome.replicates;
    t->ratio_log += log(e->outcome.ratio);
    t->spreads[t->n] = e->outcome.spread;
    t->seconds[t->n++] = e->outcome.seconds;
    int done = tallies[0].n + tallies[1].n;
    if (done % 20 == 0) {
        fprintf(stderr, "%d done: A/A %d same, %d different, %d undecided; planted %d slower of %d\n", done,
                tallies[0].called[COMPARISON_SAME],
                tallies[0].called[COMPARISON_SLOWER] + tallies[0].called[COMPARISON_FASTER],
                tallies[0].called[COMPARISON_UNDECIDED], tallies[1].called[COMPARISON_SLOWER], tallies[1].n);
    }
}

static double quantile(double *values, int n, double q) {
    return n ? quantile_select(values, (size_t)n, quantile_rank((size_t)n, q)) : 0;
}

static void print_tally(const char *name, struct tally *t) {
    int n = t->n ? t->n : 1;
    printf("\"%s\": {\"n\": %d, \"same\": %d, \"slower\": %d, \"faster\": %d, \"undecided\": %d, "
           "\"replicates\": %.1f, \"unsteady\": %d, \"seconds\": {\"p50\": %.1f, \"p95\": %.1f, \"max\": "
           "%.1f}, \"replicate_spread_percent\": {\"p50\": %.2f, \"p95\": %.2f}, \"mean_ratio\": %.4f}",
           name, t->n, t->called[COMPARISON_SAME], t->called[COMPARISON_SLOWER], t->called[COMPARISON_FASTER],
           t->called[COMPARISON_UNDECIDED], (double)t->replicates / n, t->unsteady,
           quantile(t->seconds, t->n, 0.5), quantile(t->seconds, t->n, 0.95), quantile(t->seconds, t->n, 1),
           100 * quantile(t->spreads, t->n, 0.5), 100 * quantile(t->spreads, t->n, 0.95),
           exp(t->ratio_log / n));
}

static int run(const struct options *o) {
    int ends[2];
    struct entry e;
    if (pipe(ends) != 0) {
        return 2;
    }
    for (int job = 0; job < o->jobs; job++) {
        pid_t pid = fork();
        if (pid == 0) {
            close(ends[0]);
            work(o, job, ends[1]);
            _exit(0);
        }
    }
    close(ends[1]);
    while (read(ends[0], &e, sizeof(e)) == (ssize_t)sizeof(e)) { /* one write of less than PIPE_BUF each */
        count(&e);
    }
    struct tally *aa = &tallies[0], *slow = &tallies[1];
    printf("{\"bench\": \"aa\", \"threads\": %d, \"margin\": %g, \"confidence\": %g, \"slowdown\": %g, ",
           o->threads, MARGIN, CONFIDENCE, o->slowdown);
    print_tally("a_a", aa);
    printf(", ");
    print_tally("planted", slow);
    printf("}\n");
    if (aa->n != o->comparisons || slow->n != o->comparisons) {
        fprintf(stderr, "bench_aa: %d comparisons are missing\n", 2 * o->comparisons - aa->n - slow->n);
        return 2;
    }
    int different = aa->called[COMPARISON_SLOWER] + aa->called[COMPARISON_FASTER];
    return different <= 0.005 * aa->n && slow->called[COMPARISON_SLOWER] >= 0.95 * slow->n ? 0 : 1;
}

int main(int argc, char **argv) {
    static const struct option known[] = {{"comparisons", 1, NULL, 'n'},
                                          {"model", 1, NULL, 'm'},
                                          {"threads", 1, NULL, 't'},
                                          {"slowdown", 1, NULL, 's'},
                                          {"jobs", 1, NULL, 'j'},
                                          {"seed", 1, NULL, 'r'},
                                          {NULL, 0, NULL, 0}};
    struct options o = {.comparisons = 500, .threads = 1, .jobs = 1, .slowdown = 0.05, .seed = 1};
    const char *model = "examples/fashion-mnist/fmnist-resnet.onnx";
    for (int c; (c = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        switch (c) {
        case 'n':
            o.comparisons = (int)strtol(optarg, NULL, 10);
            break;
        case 'm':
            model = optarg;
            break;
        case 't':
            o.threads = (int)strtol(optarg, NULL, 10);
            break;
        case 's':
            o.slowdown = strtod(optarg, NULL) / 100;
            break;
        case 'j':
            o.jobs = (int)strtol(optarg, NULL, 10);
            break;
        case 'r':
            o.seed = strtoull(optarg, NULL, 10);
            break;
        default:
            return 2;
        }
    }
    o.model = realpath(model, NULL);
    if (!o.model || o.comparisons < 1 || o.comparisons > MAX_COMPARISONS || o.threads < 1 || o.jobs < 1) {
        fprintf(stderr, "bench_aa: there is no model, or a number makes no sense (run it in the root of the "
                        "repository)\n");
        return 2;
    }
    return run(&o);
}
