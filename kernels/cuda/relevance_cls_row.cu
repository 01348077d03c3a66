// The relevance chain's step from the CLS row alone: one thread a token, heads in ascending order.
#include <algorithm>

#include "kernels/cuda/launch.h"
#include "kernels/cuda/ops.h"

namespace vitsnna::kernels::cuda {
namespace {

constexpr int kThreads = 128;
constexpr int kChains = 16;  // of one launch: they travel as a kernel argument

struct Chains {
  RelevanceChain chain[kChains];
};

/// output_cj = row_cj + row_c0 / heads sum_h key_weight query_weight_h0 A_h0j max(G_h0j, 0)
__global__ void __launch_bounds__(kThreads)
    relevance_cls_row_kernel(Chains chains, const float* attention, const float* attention_gradient,
                             index_t heads, index_t tokens) {
  const index_t j = static_cast<index_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (j >= tokens) return;
  const RelevanceChain& chain = chains.chain[blockIdx.y];
  float sum = 0.f;
  for (index_t head = 0; head < heads; ++head) {
    float part = attention[head * tokens + j];
    if (attention_gradient) {
      part *= fmaxf(attention_gradient[(chain.gradient * heads + head) * tokens + j], 0.f);
    }
    if (chain.query_weight) part *= chain.query_weight[head * tokens];
    if (chain.key_weight) {
      part *= chain.key_weight[chain.key_weight_per_head ? head * tokens + j : j];
    }
    sum += part;
  }
  chain.output[j] = chain.row[j] + chain.row[0] * sum / static_cast<float>(heads);
}

}  // namespace

void relevance_cls_row(Queue& queue, const RelevanceClsRow& args) {
  for (index_t first = 0; first < args.num_chains; first += kChains) {
    const index_t count = std::min<index_t>(kChains, args.num_chains - first);
    Chains chains;
    std::copy_n(args.chains + first, count, chains.chain);
    const LaunchShape shape{dim3(grid_extent("relevance_cls_row", args.num_tokens, kThreads),
                                 static_cast<unsigned>(count)),
                            kThreads, 0};
    launch<relevance_cls_row_kernel>("relevance_cls_row", queue, shape, chains, args.attention,
                                     args.attention_gradient, args.heads, args.num_tokens);
  }
}

}  // namespace vitsnna::kernels::cuda
