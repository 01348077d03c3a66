// Attention forward on bf16 tensor cores.
#include "kernels/cuda/attention_forward_kernel.h"

namespace vitsnna::kernels::cuda {

void attention_forward_tiles_bf16(Queue& queue, const AttentionForward& args) {
  launch_forward_dims<bf16>(queue, args);
}

}  // namespace vitsnna::kernels::cuda
