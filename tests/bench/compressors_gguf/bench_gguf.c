/* bench_gguf.c -- our GGUF levels beside llama.cpp's own tools on docs-llama-27m: bytes, perplexity, KL
 * divergence, equal top tokens over the first 400,000 bytes of docs.valid.txt, importance matrix from 200
 * chunks of docs.calib.txt, 2 threads.
 *
 *   bench_gguf [chunks [level...]]      chunks 0 or none: all (the figures beside ours are for all)
 *
 * Models and data: $PARE_MODELS (default ../shared). llama.cpp's rates come from another machine. */
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "compressors/gguf/imatrix.h"
#include "core/base/clock.h"
#include "core/base/container.h"
#include "core/base/file.h"
#include "runtimes/llama_lm.h"
#include "runtimes/llama_quantizer.h"
#include "runtimes/llama_score.h"
#include "runtimes/llama_speed.h"

enum { TEXT_BYTES = 400000, CALIBRATION_CHUNKS = 200, THREADS = 2, REPEATS = 5, MAX_FILE = 1 << 28 };

/* llama-quantize, llama-perplexity --kl-divergence and llama-bench of the release that Pare uses. */
static const struct row {
    const char *level;
    uint64_t bytes;
    double ppl, kld, same_top, prompt_per_s, generated_per_s;
} llama_cpp[] = {
    {"Q8_0", 29135104, 15.356, 0.00117, 0.981, 3792, 774},
    {"Q5_K_M", 19677440, 15.453, 0.01457, 0.933, 1959, 841},
    {"Q4_K_M", 16990464, 15.736, 0.04493, 0.890, 5231, 1267},
    {"Q3_K_M", 13988096, 16.693, 0.13803, 0.813, 2188, 950},
    {"Q2_K", 11104512, 21.112, 0.47981, 0.672, 2545, 1084},
    {"IQ2_XS", 8956160, 30.124, 0.93786, 0.544, 3789, 617},
    {"IQ1_M", 7397632, 71.794, 1.92926, 0.370, 4451, 625},
};

struct bench {
    char model[512], output[512];
    char *text;
    size_t text_size;
    uint64_t chunks;
    struct imatrix *imatrix;
    uint64_t imatrix_chunks;
    struct llama_lm *reference;
};

static void must(enum rc rc, const struct err *err) {
    if (rc) {
        fprintf(stderr, "bench_gguf: %s\n", err->text);
        exit(1);
    }
}

static double seconds_since(uint64_t begin_ns) {
    return (double)(clock_mono_ns() - begin_ns) / 1e9;
}

/* Best of some runs after one to warm up. */
static void measure_speed(struct llama_lm *lm, double *prompt_per_s, double *generated_per_s) {
    struct err err;
    *prompt_per_s = *generated_per_s = 0;
    for (int i = 0; i <= REPEATS; i++) {
        uint64_t ns;
        float us[LLAMA_SPEED_GENERATED];
        must(llama_speed_prompt(lm, LLAMA_SPEED_PROMPT, &ns, &err), &err);
        must(llama_speed_generate(lm, LLAMA_SPEED_GENERATED, us, &err), &err);
        double total_us = 0;
        for (int k = 0; k < LLAMA_SPEED_GENERATED; k++) {
            total_us += (double)us[k];
        }
        if (i > 0) {
            *prompt_per_s = fmax(*prompt_per_s, LLAMA_SPEED_PROMPT * 1e9 / (double)ns);
            *generated_per_s = fmax(*generated_per_s, LLAMA_SPEED_GENERATED * 1e6 / total_us);
        }
    }
}

static void print_row(const char *level, const char *who, const struct row *r) {
    printf("%-7s %-10s %11llu %9.4f %9.5f %8.2f %% %9.0f %9.0f\n", level, who, (unsigned long long)r->bytes,
           r->ppl, r->kld, 100 * r->same_top, r->prompt_per_s, r->generated_per_s);
    fflush(stdout);
}

static void bench_level(struct bench *b, const struct row *theirs) {
    struct err err;
    struct llama_quantizer_opts opts = {
        .level = theirs->level, .threads = THREADS, .chunks = b->imatrix_chunks};
    must(imatrix_importance(b->imatrix, &opts.importance, &opts.importances, &err), &err);
    must(llama_quantizer_run(b->model, b->output, &opts, &err), &err);
    struct row ours = {.level = theirs->level};
    must(file_size(b->output, &ours.bytes, &err), &err);

    struct llama_lm *lm;
    must(llama_lm_load(b->output, &(struct llama_lm_opts){.threads = THREADS}, &lm, &err), &err);
    struct llama_scores scores;
    struct llama_score_opts score_opts = {.max_chunks = b->chunks};
    must(llama_score_text(lm, b->reference, b->text, b->text_size, &score_opts, &scores, &err), &err);
    ours.ppl = scores.mean_ppl;
    ours.kld = scores.mean_kld;
    ours.same_top = scores.mean_same_top;
    measure_speed(lm, &ours.prompt_per_s, &ours.generated_per_s);
    llama_scores_free(&scores);
    llama_lm_free(lm);
    unlink(b->output);

    print_row(theirs->level, "Pare", &ours);
    print_row("", "llama.cpp", theirs);
    printf("%-7s %-10s %+10.2f %% %+7.2f %% %+7.2f %% %+7.2f %%\n", "", "difference",
           100 * ((double)ours.bytes / (double)theirs->bytes - 1), 100 * (ours.ppl / theirs->ppl - 1),
           100 * (ours.kld / theirs->kld - 1), 100 * (ours.same_top / theirs->same_top - 1));
    fflush(stdout);
}

static void open_models(struct bench *b, const char *root) {
    struct err err;
    char path[512];
    snprintf(b->model, sizeof b->model, "%s/models/docs-llama-27m.f16.gguf", root);
    snprintf(path, sizeof path, "%s/data/docs.valid.txt", root);
    must(file_read(path, MAX_FILE, &b->text, &b->text_size, &err), &err);
    b->text_size = b->text_size < TEXT_BYTES ? b->text_size : TEXT_BYTES;
    must(llama_lm_load(b->model, &(struct llama_lm_opts){.threads = THREADS}, &b->reference, &err), &err);

    char *calibration;
    size_t size;
    snprintf(path, sizeof path, "%s/data/docs.calib.txt", root);
    must(file_read(path, MAX_FILE, &calibration, &size, &err), &err);
    b->imatrix = imatrix_new();
    struct imatrix_opts opts = {.max_chunks = CALIBRATION_CHUNKS, .threads = THREADS};
    uint64_t begin = clock_mono_ns();
    must(imatrix_collect(b->imatrix, b->model, calibration, size, &opts, &b->imatrix_chunks, &err), &err);
    printf("importance matrix: %llu chunks in %.1f s\n", (unsigned long long)b->imatrix_chunks,
           seconds_since(begin));
    free(calibration);
}

static bool is_wanted(int argc, char **argv, const char *level) {
    for (int i = 2; i < argc; i++) {
        if (strcmp(argv[i], level) == 0) {
            return true;
        }
    }
    return argc <= 2;
}

int main(int argc, char **argv) {
    const char *root = getenv("PARE_MODELS");
    struct bench b = {.chunks = argc > 1 ? strtoull(argv[1], NULL, 10) : 0};
    char folder[] = "/tmp/bench_gguf.XXXXXX";
    if (!mkdtemp(folder)) {
        perror(folder);
        return 1;
    }
    snprintf(b.output, sizeof b.output, "%s/model.gguf", folder);
    open_models(&b, root ? root : "../shared");
    printf("%-7s %-10s %11s %9s %9s %10s %9s %9s\n", "level", "", "bytes", "ppl", "kld", "same top", "pp t/s",
           "tg t/s");
    for (size_t i = 0; i < ARRAY_SIZE(llama_cpp); i++) {
        if (is_wanted(argc, argv, llama_cpp[i].level)) {
            bench_level(&b, &llama_cpp[i]);
        }
    }
    llama_lm_free(b.reference);
    imatrix_free(b.imatrix);
    free(b.text);
    rmdir(folder);
    return 0;
}
