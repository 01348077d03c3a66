// What of the recipe a pass without learning needs.
#include "train/supervised/options.h"

namespace vitsnna::train {

FeatureOptions feature_options(const FinetuneOptions& options) {
  FeatureOptions how;
  how.size = options.size;
  how.decode_threads = options.decode_threads;
  how.max_bad = options.max_bad;
  how.report_bad = options.report_bad;
  how.progress = options.progress;
  how.stop = options.stop;
  return how;
}

}  // namespace vitsnna::train
