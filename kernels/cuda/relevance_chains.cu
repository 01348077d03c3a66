// Row weights before and the closing sum over heads after the column sums of relevance chains.
#include <algorithm>

#include "kernels/cuda/launch.h"
#include "kernels/cuda/relevance_chains.h"

namespace vitsnna::kernels::cuda {
namespace {

constexpr int kThreads = 128;

__global__ void __launch_bounds__(kThreads)
    prepare_chains_kernel(ChainBatch chains, index_t heads, index_t queries, index_t padded) {
  const index_t element = static_cast<index_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (element >= heads * padded) return;
  const RelevanceChain& chain = chains.chain[blockIdx.y];
  const index_t head = element / padded, i = element % padded;
  float weight = 0.f;
  if (i < queries) {
    weight = chain.row[i];
    if (chain.query_weight) weight *= chain.query_weight[head * queries + i];
  }
  chains.weights[blockIdx.y * heads * padded + element] = weight;
}

__global__ void __launch_bounds__(kThreads)
    finish_chains_kernel(ChainBatch chains, index_t heads, index_t keys) {
  const index_t j = static_cast<index_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (j >= keys) return;
  const RelevanceChain& chain = chains.chain[blockIdx.y];
  const float* sums = chains.sums + blockIdx.y * heads * keys;
  float sum = 0.f;
  for (index_t head = 0; head < heads; ++head) {
    float part = sums[head * keys + j];
    if (chain.key_weight) {
      part *= chain.key_weight[chain.key_weight_per_head ? head * keys + j : j];
    }
    sum += part;
  }
  chain.output[j] = chain.row[j] + sum / static_cast<float>(heads);
}

LaunchShape one_thread_each(const char* name, index_t elements, int chains) {
  return {dim3(grid_extent(name, elements, kThreads), static_cast<unsigned>(chains)), kThreads, 0};
}

}  // namespace

ChainBatch chain_batch(const RelevanceRows& args, index_t first, bool by_gradient) {
  ChainBatch batch;
  batch.count = static_cast<int>(std::min<index_t>(kMostChains, args.num_chains - first));
  std::copy_n(args.chains + first, batch.count, batch.chain);
  RelevanceChain* end = batch.chain + batch.count;
  if (!by_gradient) {
    for (RelevanceChain* chain = batch.chain; chain != end; ++chain) chain->gradient = 0;
  }
  std::stable_sort(batch.chain, end, [](const RelevanceChain& a, const RelevanceChain& b) {
    return a.gradient < b.gradient;
  });
  int run = 0;
  for (int c = 0; c < batch.count; ++c) {
    run = c > 0 && batch.chain[c].gradient == batch.chain[c - 1].gradient ? run + 1 : 1;
    batch.most_of_a_gradient = std::max(batch.most_of_a_gradient, run);
  }
  return batch;
}

void prepare_chains(const char* name, Queue& queue, const ChainBatch& chains, index_t heads,
                    index_t queries, index_t padded) {
  launch<prepare_chains_kernel>(name, queue, one_thread_each(name, heads * padded, chains.count),
                                chains, heads, queries, padded);
}

void finish_chains(const char* name, Queue& queue, const ChainBatch& chains, index_t heads,
                   index_t keys) {
  launch<finish_chains_kernel>(name, queue, one_thread_each(name, keys, chains.count), chains,
                               heads, keys);
}

}  // namespace vitsnna::kernels::cuda
