// Assembling token sequences, and the gradients of what is added to them.
#include "kernels/cpu/ops.h"
#include "kernels/cpu/row_operands.h"

namespace vitsnna::kernels::cpu {

void assemble_tokens(Queue& queue, const AssembleTokens& a) {
  const index_t rows = 1 + a.num_patches;
  for_row_blocks(
      queue, a.items, rows, rows_per_task, [&](index_t item, index_t first, index_t end, int) {
        for (index_t row = first; row < end; ++row) {
          float* token = a.tokens + (item * rows + row) * a.embed_dim;
          const float* position = a.position + row * a.embed_dim;
          const bool masked =
              row > 0 && a.patch_keep && a.patch_keep[item * a.num_patches + row - 1] == 0;
          const float* content = row == 0 ? a.cls_token : token;
          // A masked row is not multiplied by 0: what lies there may be NaN.
          for (index_t c = 0; c < a.embed_dim; ++c) {
            token[c] = (masked ? 0.f : content[c]) + position[c];
          }
        }
      });
}

/// A row of the position embedding takes its items' gradients in item order.
void assemble_tokens_backward(Queue& queue, const AssembleTokensBackward& a) {
  const index_t rows = 1 + a.num_patches;
  for_row_blocks(queue, 1, rows, rows_per_task, [&](index_t, index_t first, index_t end, int) {
    for (index_t row = first; row < end; ++row) {
      for (index_t item = 0; item < a.items; ++item) {
        const float* gradient = a.tokens_gradient + (item * rows + row) * a.embed_dim;
        if (a.position_gradient) {
          float* position = a.position_gradient + row * a.embed_dim;
          for (index_t c = 0; c < a.embed_dim; ++c) position[c] += gradient[c];
        }
        if (a.cls_gradient && row == 0) {
          for (index_t c = 0; c < a.embed_dim; ++c) a.cls_gradient[c] += gradient[c];
        }
      }
    }
  });
}

}  // namespace vitsnna::kernels::cpu
