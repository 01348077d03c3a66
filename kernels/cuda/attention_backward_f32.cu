// The attention backward's kernels in fp32.
#include "kernels/cuda/attention_backward_kernels.h"

namespace vitsnna::kernels::cuda {

void attention_backward_tiles_f32(Queue& queue, const AttentionBackward& args,
                                  const PreparedRows& rows, const ChainBatch* chains,
                                  float* query_sums) {
  launch_backward_dims<float>(queue, args, rows, chains, query_sums);
}

}  // namespace vitsnna::kernels::cuda
