// Walks the blocks last to first: dx'' -> MLP -> dx' -> dO -> attention -> dx (SPEC sections 1, 2).
#include "model/backward.h"

#include <algorithm>
#include <string>

#include "kernels/error.h"
#include "model/layers.h"
#include "model/weight_gradients.h"

namespace vitsnna::model {

namespace {

using kernels::ConstMatrix;
using kernels::Epilogue;
using kernels::Matrix;

class BackwardRun {
 public:
  BackwardRun(const PassContext& context, const ForwardPass& pass, const BackwardRequest& request)
      : layers_(context),
        pass_(pass),
        request_(request),
        gradients_(pass.items * request.gradients),
        tokens_(pass.grid.tokens()),
        width_(layers_.config.embed_dim),
        weight_gradients_(layers_, request.parameter_gradients) {
    check();
  }

  BackwardPass run() {
    const index_t depth = layers_.config.depth;
    result_.attention_output_gradient.resize(static_cast<std::size_t>(depth));
    output_gradient(depth - 1) = layers_.allocate_operand({gradients_, 1, width_});
    const bool below = request_.depth != BackwardRequest::Depth::last_block;
    if (below && request_.keep_attention_gradients) {
      for (index_t block = 0; block + 1 < depth; ++block) {
        output_gradient(block) = layers_.allocate_operand({gradients_, tokens_, width_});
      }
    }
    const bool to_patches = request_.depth == BackwardRequest::Depth::patches;
    if (to_patches) {
      const index_t patch = layers_.config.patch_size;
      result_.patches_gradient =
          layers_.allocate_f32({gradients_, tokens_ - 1, layers_.config.channels * patch * patch});
    }
    const engine::ArenaScope scope(layers_.arena);
    features_gradient();
    last_block_rows();
    if (request_.at_block) request_.at_block(depth - 1, output_gradient(depth - 1));
    if (!below || (depth == 1 && !to_patches)) return std::move(result_);
    dx_ = layers_.allocate_f32({gradients_, tokens_, width_});
    last_block_attention();
    for (index_t block = depth - 2; block >= 0; --block) full_block(block, to_patches);
    if (to_patches) embedding();
    return std::move(result_);
  }

 private:
  void check() const {
    if (pass_.items != 1 && request_.gradients != 1) {
      throw Error("backward: " + std::to_string(pass_.items) + " images with " +
                  std::to_string(request_.gradients) + " gradients each, one of them must be 1");
    }
    if (request_.depth != BackwardRequest::Depth::last_block &&
        pass_.blocks.size() != layers_.config.depth - 1) {
      throw Error("backward: below the last block it wants a recorded forward");
    }
    if (request_.parameter_gradients && (request_.depth != BackwardRequest::Depth::patches ||
                                         request_.gradients != 1 || !pass_.patches)) {
      throw Error(
          "backward: parameter gradients want depth `patches`, one gradient an image, and "
          "kept patches");
    }
  }

  const BlockWeights& weights(index_t block) const {
    return layers_.vit.weights().blocks[static_cast<std::size_t>(block)];
  }
  Tensor& output_gradient(index_t block) {
    return result_.attention_output_gradient[static_cast<std::size_t>(block)];
  }

  /// output = input W (the layer's transpose), optionally times gelu'(pre_activation).
  void transposed(index_t items, index_t rows, ConstMatrix input, const LinearLayer& layer,
                  Matrix output, const Tensor& pre_activation = {}, bool accumulate = false) const {
    kernels::Linear linear;
    linear.items = items;
    linear.rows = rows;
    linear.input = input;
    linear.weight = layer.backward;
    linear.output = output;
    linear.accumulate = accumulate;
    if (pre_activation) {
      linear.epilogue = Epilogue::gelu_backward;
      linear.auxiliary = pre_activation.matrix();
      linear.auxiliary_items = pre_activation.shape[0];
    }
    layers_.ops.linear(layers_.queue.raw(), linear);
  }

  void norm_backward(index_t items, index_t rows, ConstMatrix input, index_t input_items,
                     const NormLayer& norm, ConstMatrix gradient, Matrix input_gradient,
                     bool accumulate) const {
    kernels::LayerNormBackward backward;
    backward.items = items;
    backward.input_items = input_items;
    backward.rows = rows;
    backward.columns = width_;
    backward.input = input;
    backward.gain = norm.gain;
    backward.epsilon = layers_.config.layer_norm_epsilon;
    backward.output_gradient = gradient;
    backward.accumulate = accumulate;
    backward.input_gradient = input_gradient;
    backward.gain_gradient = weight_gradients_.of(norm.gain);
    backward.shift_gradient = weight_gradients_.of(norm.shift);
    layers_.ops.layer_norm_backward(layers_.queue.raw(), backward);
  }

  /// The fp32 gradient rows as operands of a product: themselves in fp32, a rounded copy in bf16.
  Tensor as_operand(const Tensor& gradient) const {
    if (layers_.vit.precision() == DType::f32) return gradient;
    const Tensor copy = layers_.allocate_operand(gradient.shape);
    layers_.copy(gradient.shape[0], gradient.shape[1], gradient.shape[2], gradient.matrix(),
                 copy.matrix());
    return copy;
  }

  void features_gradient() {
    features_ = request_.feature_gradient;
    if (!request_.logit_gradient) return;
    const index_t columns = layers_.config.head_blocks * width_;
    const index_t classes = layers_.config.num_classes;
    features_ = layers_.allocate_f32({gradients_, layers_.config.head_blocks, width_});
    const ConstMatrix logits{request_.logit_gradient.data, DType::f32, classes, classes};
    transposed(gradients_, 1, logits, layers_.vit.weights().head,
               {features_.data, DType::f32, columns, columns});
    weight_gradients_.linear(gradients_, 1, {pass_.features.data, DType::f32, columns, columns},
                             logits, layers_.vit.weights().head);
  }

  /// CLS rows of the last block, down to dO: leaves dx' of the CLS row in middle_.
  void last_block_rows() {
    const LastBlockRecord& last = pass_.last;
    const BlockWeights& block = weights(layers_.config.depth - 1);
    middle_ = layers_.allocate_f32({gradients_, 1, width_});
    norm_backward(gradients_, 1, last.output.matrix(), pass_.items, layers_.vit.weights().norm,
                  features_.rows_from(layers_.config.head_blocks - 1), middle_.matrix(), false);
    const engine::ArenaScope scope(layers_.arena);
    mlp_backward(gradients_, 1, last.middle, last.pre_activation, block, middle_);
    const Tensor operand = as_operand(middle_);
    transposed(gradients_, 1, operand.matrix(), block.projection,
               output_gradient(layers_.config.depth - 1).matrix());
    weight_gradients_.linear(gradients_, 1, last.attended.matrix(), operand.matrix(),
                             block.projection);
  }

  /// gradient += d MLP(LN(middle)) / d middle, gradient (items, rows, d) on entry dL/d output.
  void mlp_backward(index_t items, index_t rows, const Tensor& middle, const Tensor& pre_activation,
                    const BlockWeights& block, const Tensor& gradient) const {
    const engine::ArenaScope scope(layers_.arena);
    const index_t hidden_width = layers_.config.mlp_hidden;
    const Tensor operand = as_operand(gradient);
    const Tensor hidden_gradient = layers_.allocate_operand({items, rows, hidden_width});
    transposed(items, rows, operand.matrix(), block.fc2, hidden_gradient.matrix(), pre_activation);
    const Tensor normalised_gradient = layers_.allocate_operand({items, rows, width_});
    transposed(items, rows, hidden_gradient.matrix(), block.fc1, normalised_gradient.matrix());
    if (weight_gradients_.wanted()) {
      const Tensor hidden = layers_.allocate_operand({items, rows, hidden_width});
      kernels::Gelu gelu;
      gelu.items = items;
      gelu.rows = rows;
      gelu.columns = hidden_width;
      gelu.input = pre_activation.matrix();
      gelu.output = hidden.matrix();
      layers_.ops.gelu(layers_.queue.raw(), gelu);
      weight_gradients_.linear(items, rows, hidden.matrix(), operand.matrix(), block.fc2);
      const Tensor normalised = layers_.allocate_operand({items, rows, width_});
      layers_.layer_norm(items, rows, middle.matrix(), block.norm2, normalised.matrix());
      weight_gradients_.linear(items, rows, normalised.matrix(), hidden_gradient.matrix(),
                               block.fc1);
    }
    norm_backward(items, rows, middle.matrix(), middle.shape[0], block.norm2,
                  normalised_gradient.matrix(), gradient.matrix(), true);
  }

  void last_block_attention() {
    const LastBlockRecord& last = pass_.last;
    const index_t index = layers_.config.depth - 1;
    const BlockWeights& block = weights(index);
    const engine::ArenaScope scope(layers_.arena);
    const Tensor query_gradient = layers_.allocate_operand({gradients_, 1, width_});
    const Tensor key_value_gradient = layers_.allocate_operand({gradients_, tokens_, 2 * width_});
    kernels::AttentionBackward attention;
    attention.shape = layers_.attention_shape(pass_.items, 1, tokens_);
    attention.gradients = request_.gradients;
    attention.query = last.query.matrix();
    attention.key = last.key_value.columns_from(0);
    attention.value = last.key_value.columns_from(width_);
    attention.output = last.attended.matrix();
    attention.log_sum_exp = last.log_sum_exp.f32();
    attention.output_gradient = output_gradient(index).matrix();
    attention.query_gradient = query_gradient.matrix();
    attention.key_gradient = key_value_gradient.columns_from(0);
    attention.value_gradient = key_value_gradient.columns_from(width_);
    layers_.ops.attention_backward(layers_.queue.raw(), attention);
    const Tensor normalised_gradient = layers_.allocate_f32({gradients_, tokens_, width_});
    transposed(gradients_, tokens_, key_value_gradient.matrix(), block.key_value,
               normalised_gradient.matrix());
    transposed(gradients_, 1, query_gradient.matrix(), block.query, normalised_gradient.matrix(),
               {}, true);
    if (weight_gradients_.wanted()) {
      const Tensor normalised = layers_.allocate_operand({gradients_, tokens_, width_});
      layers_.layer_norm(gradients_, tokens_, last.input.matrix(), block.norm1,
                         normalised.matrix());
      weight_gradients_.linear(gradients_, tokens_, normalised.matrix(),
                               key_value_gradient.matrix(), block.key_value);
      weight_gradients_.linear(gradients_, 1, normalised.matrix(), query_gradient.matrix(),
                               block.query);
    }
    norm_backward(gradients_, tokens_, last.input.matrix(), pass_.items, block.norm1,
                  normalised_gradient.matrix(), dx_.matrix(), false);
    kernels::CopyRows residual;  // the CLS row's residual around the attention
    residual.items = gradients_;
    residual.rows = 1;
    residual.columns = width_;
    residual.source = middle_.matrix();
    residual.destination = dx_.matrix();
    residual.accumulate = true;
    layers_.ops.copy_rows(layers_.queue.raw(), residual);
  }

  void full_block(index_t index, bool to_patches) {
    const BlockRecord& record = pass_.blocks[index];
    const BlockWeights& block = weights(index);
    const index_t slot = layers_.config.head_blocks - (layers_.config.depth - index);
    if (slot >= 0) {  // the head also reads this block's CLS
      const Tensor& output =
          index + 2 < layers_.config.depth ? pass_.blocks[index + 1].input : pass_.last.input;
      norm_backward(gradients_, 1, output.matrix(), pass_.items, layers_.vit.weights().norm,
                    features_.rows_from(slot), dx_.matrix(), true);
    }
    block_mlp(record, block);
    const engine::ArenaScope scope(layers_.arena);
    if (!output_gradient(index)) {
      attention_gradient_ = layers_.allocate_operand({gradients_, tokens_, width_});
    } else {
      attention_gradient_ = output_gradient(index);
    }
    {
      const engine::ArenaScope operand_scope(layers_.arena);
      const Tensor operand = as_operand(dx_);
      transposed(gradients_, tokens_, operand.matrix(), block.projection,
                 attention_gradient_.matrix());
      weight_gradients_.linear(gradients_, tokens_, record.attended.matrix(), operand.matrix(),
                               block.projection);
    }
    const kernels::RelevanceRows* capture =
        request_.at_block ? request_.at_block(index, attention_gradient_) : nullptr;
    if (index == 0 && !to_patches) {
      if (capture) capture_alone(record, *capture);
    } else {
      block_attention(record, block, capture);
    }
  }

  /// The MLP's part of a block, few items or gradients at a time to bound the hidden rows.
  void block_mlp(const BlockRecord& record, const BlockWeights& block) {
    const engine::ArenaScope scope(layers_.arena);
    const bool shared = pass_.items == 1;  // every gradient belongs to the same item
    const index_t group = shared ? 1 : layers_.mlp_group(pass_.items, tokens_);
    const Tensor pre_activation =
        layers_.allocate_operand({group, tokens_, layers_.config.mlp_hidden});
    for (index_t first = 0; first < gradients_; first += group) {
      const index_t count = std::min(group, gradients_ - first);
      const Tensor middle = shared ? record.middle : record.middle.items(first, count);
      const Tensor pre = pre_activation.items(0, shared ? 1 : count);
      if (!shared || first == 0) {
        const engine::ArenaScope normalised_scope(layers_.arena);
        const Tensor normalised = layers_.allocate_operand(middle.shape);
        layers_.layer_norm(middle.shape[0], tokens_, middle.matrix(), block.norm2,
                           normalised.matrix());
        layers_.linear(middle.shape[0], tokens_, normalised.matrix(), block.fc1, pre.matrix());
      }
      mlp_backward(count, tokens_, middle, pre, block, dx_.items(first, count));
    }
  }

  void capture_alone(const BlockRecord& record, const kernels::RelevanceRows& capture) const {
    kernels::RelevanceRows rows = capture;
    rows.heads = layers_.config.num_heads;
    rows.head_dim = layers_.config.head_dim();
    rows.num_tokens = tokens_;
    rows.gradients = request_.gradients;
    rows.query = record.query_key_value.columns_from(0);
    rows.key = record.query_key_value.columns_from(width_);
    rows.value = record.query_key_value.columns_from(2 * width_);
    rows.log_sum_exp = record.log_sum_exp.f32();
    rows.output_gradient = attention_gradient_.matrix();
    layers_.ops.relevance_rows(layers_.queue.raw(), rows);
  }

  void block_attention(const BlockRecord& record, const BlockWeights& block,
                       const kernels::RelevanceRows* capture) {
    const Tensor qkv_gradient = layers_.allocate_operand({gradients_, tokens_, 3 * width_});
    kernels::AttentionBackward attention;
    attention.shape = layers_.attention_shape(pass_.items, tokens_, tokens_);
    attention.gradients = request_.gradients;
    attention.query = record.query_key_value.columns_from(0);
    attention.key = record.query_key_value.columns_from(width_);
    attention.value = record.query_key_value.columns_from(2 * width_);
    attention.output = record.attended.matrix();
    attention.log_sum_exp = record.log_sum_exp.f32();
    attention.output_gradient = attention_gradient_.matrix();
    attention.query_gradient = qkv_gradient.columns_from(0);
    attention.key_gradient = qkv_gradient.columns_from(width_);
    attention.value_gradient = qkv_gradient.columns_from(2 * width_);
    attention.capture = capture;
    layers_.ops.attention_backward(layers_.queue.raw(), attention);
    const Tensor normalised_gradient = layers_.allocate_operand({gradients_, tokens_, width_});
    transposed(gradients_, tokens_, qkv_gradient.matrix(), block.query_key_value,
               normalised_gradient.matrix());
    if (weight_gradients_.wanted()) {
      const Tensor normalised = layers_.allocate_operand({gradients_, tokens_, width_});
      layers_.layer_norm(gradients_, tokens_, record.input.matrix(), block.norm1,
                         normalised.matrix());
      weight_gradients_.linear(gradients_, tokens_, normalised.matrix(), qkv_gradient.matrix(),
                               block.query_key_value);
    }
    norm_backward(gradients_, tokens_, record.input.matrix(), pass_.items, block.norm1,
                  normalised_gradient.matrix(), dx_.matrix(), true);
  }

  void embedding() {
    const engine::ArenaScope scope(layers_.arena);
    Tensor operand = as_operand(dx_);
    transposed(gradients_, tokens_ - 1, operand.rows_from(1), layers_.vit.weights().patch_embedding,
               result_.patches_gradient.matrix());
    if (!weight_gradients_.wanted()) return;
    weight_gradients_.linear(gradients_, tokens_ - 1, pass_.patches.matrix(), operand.rows_from(1),
                             layers_.vit.weights().patch_embedding);
    weight_gradients_.embedding(pass_.grid, gradients_, dx_);
  }

  Layers layers_;
  const ForwardPass& pass_;
  const BackwardRequest& request_;
  index_t gradients_, tokens_, width_;
  WeightGradients weight_gradients_;
  BackwardPass result_;
  Tensor features_;            ///< dL/d features
  Tensor middle_;              ///< dL/dx' of the last block's CLS row
  Tensor dx_;                  ///< dL/dx of the residual stream, (gradients, tokens, d)
  Tensor attention_gradient_;  ///< dO of the block in hand
};

}  // namespace

BackwardPass backward(const PassContext& context, const ForwardPass& pass,
                      const BackwardRequest& request) {
  return BackwardRun(context, pass, request).run();
}

}  // namespace vitsnna::model
