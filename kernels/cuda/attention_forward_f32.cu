// Attention forward in exact fp32 products.
#include "kernels/cuda/attention_forward_kernel.h"

namespace vitsnna::kernels::cuda {

void attention_forward_tiles_f32(Queue& queue, const AttentionForward& args) {
  launch_forward_dims<float>(queue, args);
}

}  // namespace vitsnna::kernels::cuda
