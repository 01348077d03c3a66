// The attention backward's kernels in bf16.
#include "kernels/cuda/attention_backward_kernels.h"

namespace vitsnna::kernels::cuda {

void attention_backward_tiles_bf16(Queue& queue, const AttentionBackward& args,
                                   const PreparedRows& rows, const ChainBatch* chains,
                                   float* query_sums) {
  launch_backward_dims<bf16>(queue, args, rows, chains, query_sums);
}

}  // namespace vitsnna::kernels::cuda
