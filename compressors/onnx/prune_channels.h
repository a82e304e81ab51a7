/* prune_channels.h -- the technique prune:channels: whole channels, hidden units and attention heads are
 * removed, with all that is coupled to them, and the layers that read what is left are fitted anew. */
#pragma once

#include "compressors/compressor.h"
#include "compressors/onnx/channel_groups.h"

/* compress_fn of "prune:channels". Options: ratio, round, score, scope, refit. The cut is checked: the model
 * must give what the original gives with the removed channels at zero, else RC_INTERNAL. RC_UNSUPPORTED when
 * nothing can be pruned, naming the node that forbids it. */
MUST_USE enum rc prune_channels_compress(struct compress_job *job, const struct recipe_step *step,
                                         struct err *err);

struct channel_choice {
    double ratio;     /* of the units of each family, or of all channels together */
    int64_t multiple; /* widths that are left are multiples of this, as near to the ratio as they come */
    bool global;      /* the least of all families together; no family loses more than CHANNEL_MOST of it */
};
#define CHANNEL_MOST 0.9

/* Chooses the units of least score: remove[unit_count]. Every family keeps one. Returns how many. */
size_t channel_choose(const struct channel_groups *c, const double *scores, const struct channel_choice *how,
                      bool *remove);
