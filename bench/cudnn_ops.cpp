// cuDNN beside the CUDA backend: fused attention forward and backward and the patch convolution, in
// bf16, under the names that cuda_ops gives the same work. libcudnn is opened when it runs; exit
// status 77 where there is none or no GPU.
#include <cuda_runtime_api.h>

#include <cstdio>

#include "bench/cuda_target.h"
#include "bench/cudnn_graphs.h"

namespace vitsnna::bench {
namespace {

struct Handle {
  cudnnHandle_t handle = nullptr;
  explicit Handle(const Queue& queue) {
    check(cudnn_frontend::detail::create_handle(&handle), "opening cuDNN");
    check(cudnn_frontend::detail::set_stream(handle, static_cast<cudaStream_t>(queue.stream)),
          "giving cuDNN a stream");
  }
  ~Handle() { (void)cudnn_frontend::detail::destroy_handle(handle); }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
};

/// Builds a graph for the handle; the workspace that it wants.
std::int64_t build(const CudnnGraph& graph, cudnnHandle_t handle) {
  using cudnn_frontend::HeurMode_t;
  check(graph->build(handle, {HeurMode_t::A, HeurMode_t::FALLBACK}), "building a graph");
  std::int64_t bytes = 0;
  check(graph->get_workspace_size(bytes), "asking for the workspace");
  return bytes;
}

/// Puts a built graph on the handle's stream.
void execute(const CudnnGraph& graph, cudnnHandle_t handle, CudnnOperands& tensors,
             const Queue& queue) {
  check(graph->execute(handle, tensors, queue.scratch), "running a graph");
}

void time_graph(benchmark::State& state, Target& target, Handle& handle, Operands& operands,
                const CudnnGraph& graph, CudnnOperands tensors, double flops) {
  Measured measured;
  measured.queue = operands.with_scratch(build(graph, handle.handle));
  measured.calls = target.calls_at_once;
  measured.bound = Bound::products_bf16;
  measured.amount = flops;
  measured.work = [&](Queue& queue) {
    for (index_t call = 0; call < target.calls_at_once; ++call) {
      execute(graph, handle.handle, tensors, queue);
    }
  };
  measure(state, target, std::move(measured));
}

CudnnOperands attention_operands(Operands& operands, const AttentionShape& shape) {
  const index_t width = shape.heads * shape.head_dim;
  auto* rows =
      static_cast<char*>(operands.matrix(shape.items, shape.num_keys, 3 * width, DType::bf16).data);
  const auto dense = [&](float amplitude) {
    return operands.matrix(shape.items, shape.num_keys, width, DType::bf16, amplitude).data;
  };
  const index_t third = width * size_of(DType::bf16);
  return {{kQuery, rows},
          {kKey, rows + third},
          {kValue, rows + 2 * third},
          {kOutput, dense(1.f)},
          {kLogSumExp, operands.floats(shape.items * shape.heads * shape.num_keys)}};
}

void register_attention(Target& target, index_t items, index_t tokens) {
  const AttentionShape shape{items, target.sizes.heads, target.sizes.head_dim, tokens, tokens};
  const std::string size = size_name(DType::bf16, items, tokens);
  register_body(target, joined({"attention_forward", size}), [=, &target](benchmark::State& state) {
    Operands operands(target);
    Handle handle(target.queue);
    AttentionForward counted;
    counted.shape = shape;
    time_graph(state, target, handle, operands, attention_forward_graph(shape),
               attention_operands(operands, shape), flops(counted));
  });
  register_body(
      target, joined({"attention_backward", size, "1"}), [=, &target](benchmark::State& state) {
        Operands operands(target);
        Handle handle(target.queue);
        CudnnOperands tensors = attention_operands(operands, shape);
        const CudnnGraph forward = attention_forward_graph(shape);
        Queue queue = operands.with_scratch(build(forward, handle.handle));
        execute(forward, handle.handle, tensors, queue);
        target.backend->synchronize(queue);
        for (const CudnnTensor gradient :
             {kOutputGradient, kQueryGradient, kKeyGradient, kValueGradient}) {
          tensors[gradient] =
              operands.matrix(items, tokens, target.sizes.width(), DType::bf16, 1e-3f).data;
        }
        AttentionBackward counted;
        counted.shape = shape;
        time_graph(state, target, handle, operands, attention_backward_graph(shape), tensors,
                   flops(counted));
      });
}

void register_convolution(Target& target, index_t items, index_t height, index_t width) {
  Patchify images;
  images.items = items;
  images.height = height;
  images.width = width;
  images.grid_height = height / images.patch_size;
  images.grid_width = width / images.patch_size;
  const index_t patches = images.grid_height * images.grid_width;
  register_body(
      target, joined({"patch_convolution", size_name(DType::bf16, items, patches + 1)}),
      [=, &target](benchmark::State& state) {
        Operands operands(target);
        Handle handle(target.queue);
        const index_t features = target.sizes.width();
        const index_t inner = images.channels * images.patch_size * images.patch_size;
        CudnnOperands tensors = {
            {kImages, operands.matrix(items, height * width, images.channels, DType::bf16).data},
            {kWeight, operands.matrix(1, features, inner, DType::bf16, .05f).data},
            {kPatches, operands.matrix(items, patches, features, DType::bf16).data}};
        time_graph(state, target, handle, operands, patch_convolution_graph(images, features),
                   tensors, 2. * static_cast<double>(items * patches * inner * features));
      });
}

void register_cudnn(Target& target) {
  for (const index_t items : target.sizes.items) {
    for (const index_t tokens : target.sizes.attention_tokens) {
      register_attention(target, items, tokens);
    }
    for (const auto& [height, width] : target.sizes.pictures) {
      register_convolution(target, items, height, width);
    }
  }
}

}  // namespace
}  // namespace vitsnna::bench

int main(int argc, char** argv) {
  using namespace vitsnna::bench;
  return with_gpu("cudnn_ops", [&](Target& target) {
    if (const std::string problem = open_cudnn(); !problem.empty()) {
      std::fprintf(stderr, "cudnn_ops: skipped, no cuDNN: %s\n", problem.c_str());
      return kNoGpu;
    }
    benchmark::AddCustomContext("cuDNN",
                                std::to_string(cudnn_frontend::detail::get_backend_version()));
    return run_benchmarks(argc, argv, target, register_cudnn);
  });
}
