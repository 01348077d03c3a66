// The forward pass of a ViT, and what it keeps for a backward.
//
// The last block computes its CLS row only: nothing else reaches a logit (SPEC section 2, identity
// 3), so of its other tokens only keys and values are wanted.
#pragma once

#include <span>

#include "engine/arena.h"
#include "engine/tape.h"
#include "model/token_layout.h"
#include "model/vit.h"

namespace vitsnna::model {

/// Where a pass runs: the weights, the queue, and the arena that everything is cut from.
struct PassContext {
  const Vit& vit;
  engine::Queue& queue;
  engine::Arena& arena;
};

/// The position embedding at a picture's grid, shared by every pass at that size.
struct GridEmbedding {
  index_t height = 0, width = 0;  ///< patches
  Tensor position;                ///< (1 + height * width, embed_dim)
  index_t tokens() const { return 1 + height * width; }
};
/// Throws Error when height or width is not a positive multiple of the patch size.
GridEmbedding embed_grid(const PassContext& context, index_t image_height, index_t image_width);

struct ForwardInput {
  /// Images, noise, interpolation and pixel mask; `patches` and the extents are filled in here.
  kernels::Patchify images;
  const std::uint8_t* token_keep = nullptr;      ///< (items, patches): `token` mask
  const std::uint8_t* attention_keep = nullptr;  ///< (items, 1 + patches): `attention` mask
  /// false: keys, every block (paper); true: keys and queries, block 0 (released code).
  bool attention_mask_first_block = false;
};

/// Images of one size in a pass.
struct ImageGroup {
  GridEmbedding grid;
  ForwardInput input;
  index_t items = 0;
};

/// What a block but the last keeps. Token rows lie as the pass's TokenLayout says.
struct BlockRecord {
  Tensor input;            ///< token rows of d, fp32
  Tensor query_key_value;  ///< token rows of 3 d
  Tensor log_sum_exp;      ///< (items, heads, tokens) fp32 of each group, one after another
  Tensor attended;         ///< token rows of d, before the output projection
  Tensor middle;           ///< token rows of d, fp32, after the attention's residual
  Tensor pre_activation;   ///< token rows of mlp_hidden, on request; else recomputed
};

/// What the last block always keeps: rows of the CLS token, keys and values of every token.
struct LastBlockRecord {
  Tensor input;           ///< (items, tokens, d) fp32; valid in a recorded pass
  Tensor query;           ///< (items, 1, d)
  Tensor key_value;       ///< (items, tokens, 2 d)
  Tensor log_sum_exp;     ///< (items, heads, 1)
  Tensor attended;        ///< (items, 1, d)
  Tensor middle;          ///< (items, 1, d) fp32
  Tensor pre_activation;  ///< (items, 1, mlp_hidden)
  Tensor output;          ///< (items, 1, d) fp32
};

/// What each image's residual branches are scaled by (drop path, SPEC section 4): fp32 on the
/// device, (depth, 2, images), the attention's before the MLP's. None: they are added as they are.
struct BranchFactors {
  const float* factors = nullptr;
  enum Branch : std::uint8_t { attention, mlp };

  const float* of(index_t block, Branch branch, index_t images) const {
    return factors ? factors + (2 * block + branch) * images : nullptr;
  }
};

struct ForwardPass {
  explicit ForwardPass(engine::Arena& arena) : blocks(arena) {}

  TokenLayout layout;
  std::vector<GridEmbedding> grids;  ///< by group
  BranchFactors branch_factors;
  engine::Tape<BlockRecord> blocks;  ///< depth - 1 records, or none when not recorded
  LastBlockRecord last;
  std::vector<Tensor> patches;  ///< by group (items, patches, channels p p), on request
  Tensor features;              ///< (items, head_blocks, d): LayerNormed CLS, older first
  Tensor logits;                ///< (items, classes), absent without a head
};

/// What to keep beyond the last block.
struct ForwardKeep {
  bool record = false;   ///< every block's BlockRecord: needed by a backward below the last block
  bool patches = false;  ///< the patch rows: needed by the patch embedding's weight gradient
  /// With `record`: the MLPs' pre-activations too, 4 d a row, which a backward else computes again.
  bool pre_activations = false;
};

/// Runs `items` images. Tensors of the result live in the arena until the caller releases it.
ForwardPass forward(const PassContext& context, const GridEmbedding& grid,
                    const ForwardInput& input, index_t items, const ForwardKeep& keep);

/// The same for images of several sizes at once; a backward reads the factors again.
ForwardPass forward(const PassContext& context, std::span<const ImageGroup> groups,
                    const ForwardKeep& keep, const BranchFactors& factors = {});

/// Probabilities of the CLS query in block `block` of a recorded pass of one group: fills
/// `probabilities` (items, heads, tokens).
void cls_attention(const PassContext& context, const ForwardPass& pass, index_t block,
                   Tensor probabilities);

}  // namespace vitsnna::model
