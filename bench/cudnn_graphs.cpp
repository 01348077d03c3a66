// Descriptions of cuDNN's graphs.
#include "bench/cudnn_graphs.h"

#include <cmath>

namespace vitsnna::bench {
namespace {

namespace fe = cudnn_frontend;
using kernels::index_t;
using Extents = std::vector<std::int64_t>;
using Tensor = std::shared_ptr<fe::graph::Tensor_attributes>;

CudnnGraph bf16_graph() {
  auto graph = std::make_shared<fe::graph::Graph>();
  graph->set_io_data_type(fe::DataType_t::BFLOAT16)
      .set_intermediate_data_type(fe::DataType_t::FLOAT)
      .set_compute_data_type(fe::DataType_t::FLOAT);
  return graph;
}

Tensor input(const CudnnGraph& graph, CudnnTensor which, const Extents& extents,
             const Extents& strides) {
  return graph->tensor(
      fe::graph::Tensor_attributes().set_uid(which).set_dim(extents).set_stride(strides));
}

void make_output(const Tensor& tensor, CudnnTensor which, const Extents& extents,
                 const Extents& strides) {
  tensor->set_output(true).set_uid(which).set_dim(extents).set_stride(strides);
}

/// (items, heads, tokens, head_dim), heads side by side in rows of `row` elements.
struct Rows {
  Extents extents, strides;
  Rows(const kernels::AttentionShape& shape, index_t row)
      : extents{shape.items, shape.heads, shape.num_keys, shape.head_dim},
        strides{shape.num_keys * row, shape.head_dim, row, 1} {}
};

struct Statistics {
  Extents extents, strides;
  explicit Statistics(const kernels::AttentionShape& shape)
      : extents{shape.items, shape.heads, shape.num_keys, 1},
        strides{shape.heads * shape.num_keys, shape.num_keys, 1, 1} {}
};

float scale_of(const kernels::AttentionShape& shape) {
  return 1.f / std::sqrt(static_cast<float>(shape.head_dim));
}

}  // namespace

CudnnGraph attention_forward_graph(const kernels::AttentionShape& shape) {
  const CudnnGraph graph = bf16_graph();
  const index_t width = shape.heads * shape.head_dim;
  const Rows thirds(shape, 3 * width), dense(shape, width);
  const Statistics statistics(shape);
  const Tensor query = input(graph, kQuery, thirds.extents, thirds.strides);
  const Tensor key = input(graph, kKey, thirds.extents, thirds.strides);
  const Tensor value = input(graph, kValue, thirds.extents, thirds.strides);
  const auto [output, log_sum_exp] = graph->sdpa(
      query, key, value,
      fe::graph::SDPA_attributes().set_generate_stats(true).set_attn_scale(scale_of(shape)));
  make_output(output, kOutput, dense.extents, dense.strides);
  make_output(log_sum_exp, kLogSumExp, statistics.extents, statistics.strides);
  log_sum_exp->set_data_type(fe::DataType_t::FLOAT);
  return graph;
}

CudnnGraph attention_backward_graph(const kernels::AttentionShape& shape) {
  const CudnnGraph graph = bf16_graph();
  const index_t width = shape.heads * shape.head_dim;
  const Rows thirds(shape, 3 * width), dense(shape, width);
  const Statistics statistics(shape);
  const Tensor query = input(graph, kQuery, thirds.extents, thirds.strides);
  const Tensor key = input(graph, kKey, thirds.extents, thirds.strides);
  const Tensor value = input(graph, kValue, thirds.extents, thirds.strides);
  const Tensor output = input(graph, kOutput, dense.extents, dense.strides);
  const Tensor gradient = input(graph, kOutputGradient, dense.extents, dense.strides);
  const Tensor log_sum_exp = input(graph, kLogSumExp, statistics.extents, statistics.strides);
  log_sum_exp->set_data_type(fe::DataType_t::FLOAT);
  const auto [query_gradient, key_gradient, value_gradient] =
      graph->sdpa_backward(query, key, value, output, gradient, log_sum_exp,
                           fe::graph::SDPA_backward_attributes().set_attn_scale(scale_of(shape)));
  make_output(query_gradient, kQueryGradient, dense.extents, dense.strides);
  make_output(key_gradient, kKeyGradient, dense.extents, dense.strides);
  make_output(value_gradient, kValueGradient, dense.extents, dense.strides);
  return graph;
}

CudnnGraph patch_convolution_graph(const kernels::Patchify& images, index_t width) {
  const CudnnGraph graph = bf16_graph();
  const index_t patch = images.patch_size, channels = images.channels;
  const Tensor pixels =
      input(graph, kImages, {images.items, channels, images.height, images.width},
            {images.height * images.width * channels, 1, images.width * channels, channels});
  const Tensor weight = input(graph, kWeight, {width, channels, patch, patch},
                              {patch * patch * channels, 1, patch * channels, channels});
  const Tensor patches = graph->conv_fprop(pixels, weight,
                                           fe::graph::Conv_fprop_attributes()
                                               .set_padding({0, 0})
                                               .set_stride({patch, patch})
                                               .set_dilation({1, 1}));
  make_output(
      patches, kPatches, {images.items, width, images.grid_height, images.grid_width},
      {images.grid_height * images.grid_width * width, 1, images.grid_width * width, width});
  return graph;
}

}  // namespace vitsnna::bench
