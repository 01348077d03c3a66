# Seeded faults of the kernels, each of which the contract suite must notice on the SIMT layer:
#   mutation(NAME FILE (under kernels/cuda) FIND text that is there exactly once, REPLACE with this
#            COMPILE the .cu files that it changes, FILTER of the suite's tests that are run)
# Read by three scripts (CMakeLists.txt, patch.cmake, run.cmake), each with its own mutation().

# --- barriers ---------------------------------------------------------------------------------------
mutation(forward_without_the_barrier_of_a_stage
  FILE attention_forward_kernel.h
  FIND [==[    __syncthreads();  // this stage is filled]==]
  REPLACE [==[    // this stage is filled]==]
  COMPILE attention_forward_bf16.cu
  FILTER *AttentionContract.ForwardIs*/simt_bf16_aligned)
mutation(product_without_the_syncwarp_before_reading
  FILE warp_product_f32.h
  FIND [==[      __syncwarp();
#pragma unroll 1]==]
  REPLACE [==[#pragma unroll 1]==]
  COMPILE attention_forward_f32.cu
  FILTER *AttentionContract.ForwardIs*/simt_fp32_aligned)
mutation(product_without_the_syncwarp_before_overwriting
  FILE warp_product_f32.h
  FIND [==[      __syncwarp();                     // the lanes have read what was there]==]
  REPLACE [==[]==]
  COMPILE attention_forward_f32.cu
  FILTER *AttentionContract.*LargeBatch*/simt_fp32_aligned)
mutation(softmax_without_the_barrier_before_its_maxima
  FILE attention_rows.cu
  FIND [==[  if (lane_index() == 0) maxima[warp_index()] = maximum;
  __syncthreads();]==]
  REPLACE [==[  if (lane_index() == 0) maxima[warp_index()] = maximum;]==]
  COMPILE attention_rows.cu
  FILTER *AttentionContract.Probabilities*/simt_fp32)
mutation(value_norm_without_the_barrier_after_scaling
  FILE value_norm.cu
  FIND [==[        chunk[k % Tile::chunk_elements] = rounded;
      }
      __syncthreads();]==]
  REPLACE [==[        chunk[k % Tile::chunk_elements] = rounded;
      }]==]
  COMPILE value_norm.cu
  FILTER *LinearContract.ValueNorm*/simt_bf16_aligned)
mutation(barrier_that_half_a_block_reaches
  FILE attention_rows.cu
  FIND [==[  if (lane_index() == 0) sums[warp_index()] = sum;
  __syncthreads();]==]
  REPLACE [==[  if (lane_index() == 0) sums[warp_index()] = sum;
  if (threadIdx.x < kSoftmaxThreads / 2) __syncthreads();]==]
  COMPILE attention_rows.cu
  FILTER *AttentionContract.Probabilities*/simt_fp32)

# --- asynchronous copies and stages -----------------------------------------------------------------
mutation(forward_without_the_wait_for_its_copies
  FILE attention_forward_kernel.h
  FIND [==[    ptx::copy_async_wait<stages - 2>();]==]
  REPLACE [==[]==]
  COMPILE attention_forward_bf16.cu
  FILTER *AttentionContract.ForwardIs*/simt_bf16_aligned)
mutation(forward_waits_for_one_group_too_few
  FILE attention_forward_kernel.h
  FIND [==[    ptx::copy_async_wait<stages - 2>();]==]
  REPLACE [==[    ptx::copy_async_wait<stages - 1>();]==]
  COMPILE attention_forward_bf16.cu
  FILTER *AttentionContract.ForwardIs*/simt_bf16_aligned)
mutation(forward_reads_the_stale_stage
  FILE attention_forward_kernel.h
  FIND [==[    const int row = tile % stages * keys;
    StripSums]==]
  REPLACE [==[    const int row = (tile + 1) % stages * keys;
    StripSums]==]
  COMPILE attention_forward_bf16.cu
  FILTER *AttentionContract.ForwardIs*/simt_bf16)
mutation(value_norm_loads_over_the_stage_in_use
  FILE value_norm.cu
  FIND [==[    ptx::copy_async_wait<0>();
    __syncthreads();
    load_head(head + 1);]==]
  REPLACE [==[    ptx::copy_async_wait<0>();
    load_head(head + 1);
    __syncthreads();]==]
  COMPILE value_norm.cu
  FILTER *LinearContract.ValueNorm*/simt_bf16_aligned)

# --- layouts ----------------------------------------------------------------------------------------
mutation(product_with_its_b_fragments_swapped
  FILE warp_product_bf16.h
  FIND [==[          ptx::mma_m16n8k16(sums[s].sum[n], rows[s], b[0], b[1]);]==]
  REPLACE [==[          ptx::mma_m16n8k16(sums[s].sum[n], rows[s], b[1], b[0]);]==]
  COMPILE attention_forward_bf16.cu
  FILTER *AttentionContract.ForwardIs*/simt_bf16)
mutation(product_with_its_a_fragment_in_another_order
  FILE warp_product_bf16.h
  FIND [==[          const float(&pair)[4] = p[s].sum[k + i / 2];]==]
  REPLACE [==[          const float(&pair)[4] = p[s].sum[k + i % 2];]==]
  COMPILE attention_forward_bf16.cu
  FILTER *AttentionContract.ForwardIs*/simt_bf16)
mutation(tile_with_a_swizzle_that_leaves_its_row
  FILE tile.h
  FIND [==[row >> 1 & 3]==]
  REPLACE [==[row >> 1 & 7]==]
  COMPILE attention_forward_bf16.cu
  FILTER *AttentionContract.ForwardIs*/simt_bf16)
mutation(forward_takes_the_first_heads_values
  FILE attention_forward_kernel.h
  FIND [==[value{p.value.row(item, 0) + column,]==]
  REPLACE [==[value{p.value.row(item, 0),]==]
  COMPILE attention_forward_bf16.cu
  FILTER *AttentionContract.ForwardIs*/simt_bf16)

# --- tails and extents ------------------------------------------------------------------------------
mutation(forward_without_the_tails_mask
  FILE attention_forward_kernel.h
  FIND [==[scores[strip].sum[n][e] = -INFINITY;]==]
  REPLACE [==[scores[strip].sum[n][e] = 0.f;]==]
  COMPILE attention_forward_bf16.cu
  FILTER *AttentionContract.ForwardIs*/simt_bf16)
mutation(forward_keeps_one_key_past_the_last
  FILE attention_forward_kernel.h
  FIND [==[(scores[strip].column(n, e) >= left)]==]
  REPLACE [==[(scores[strip].column(n, e) > left)]==]
  COMPILE attention_forward_bf16.cu
  FILTER *AttentionContract.ForwardIs*/simt_bf16)
mutation(gradient_rows_written_one_key_too_far
  FILE attention_rows.cu
  FIND [==[    if (key < s.num_keys) row[key] = sums[r];]==]
  REPLACE [==[    if (key <= s.num_keys) row[key] = sums[r];]==]
  COMPILE attention_rows.cu
  FILTER *AttentionContract.MeanGradient*/simt_fp32)
mutation(softmax_reads_past_its_array
  FILE attention_rows.cu
  FIND [==[  const auto sums = memory.take<float>(kSoftmaxWarps);]==]
  REPLACE [==[  const auto sums = memory.take<float>(kSoftmaxWarps - 1);]==]
  COMPILE attention_rows.cu
  FILTER *AttentionContract.Probabilities*/simt_fp32)

# --- formulas ---------------------------------------------------------------------------------------
mutation(log_sum_exp_left_in_base_two
  FILE attention_forward_kernel.h
  FIND [==[softmax.reference[strip][half] * ln_2 + logf(sum)]==]
  REPLACE [==[softmax.reference[strip][half] + logf(sum)]==]
  COMPILE attention_forward_bf16.cu
  FILTER *AttentionContract.ForwardIs*/simt_bf16)
mutation(value_norm_without_its_last_part
  FILE value_norm.cu
  FIND [==[split < parts.splits; ++split) sum]==]
  REPLACE [==[split + 1 < parts.splits; ++split) sum]==]
  COMPILE value_norm.cu
  FILTER *LinearContract.ValueNorm*/simt_bf16)

# --- attention backward -----------------------------------------------------------------------------
mutation(backward_without_the_barrier_of_a_stage
  FILE attention_backward_keys.h
  FIND [==[    __syncthreads();  // this stage is filled]==]
  REPLACE [==[    // this stage is filled]==]
  COMPILE attention_backward_bf16.cu
  FILTER *AttentionBackwardContract.IsThe*/simt_bf16_aligned)
mutation(backward_without_the_wait_for_its_copies
  FILE attention_backward_keys.h
  FIND [==[    ptx::copy_async_wait<stages - 2>();]==]
  REPLACE [==[]==]
  COMPILE attention_backward_bf16.cu
  FILTER *AttentionBackwardContract.IsThe*/simt_bf16_aligned)
mutation(backward_reads_the_stale_stage
  FILE attention_backward_queries.h
  FIND [==[      const int row = tile % stages * streamed + first;]==]
  REPLACE [==[      const int row = (tile + 1) % stages * streamed + first;]==]
  COMPILE attention_backward_bf16.cu
  FILTER *AttentionBackwardContract.IsThe*/simt_bf16_aligned)
mutation(backward_without_the_mask_of_keys
  FILE attention_backward_queries.h
  FIND [==[      if (left < part) {]==]
  REPLACE [==[      if (false) {]==]
  COMPILE attention_backward_bf16.cu
  FILTER *AttentionBackwardContract.SurvivesScores*/simt_bf16_aligned)
mutation(backward_without_the_scale
  FILE attention_backward_keys.h
  FIND [==[store_strip(key_gradient[l], p.scale,]==]
  REPLACE [==[store_strip(key_gradient[l], 1.f,]==]
  COMPILE attention_backward_bf16.cu
  FILTER *AttentionBackwardContract.IsThe*/simt_bf16_aligned)
mutation(backward_takes_the_neighbours_row_dot
  FILE attention_backward_keys.h
  FIND [==[(g - (e % 2 == 0 ? dots.x : dots.y))]==]
  REPLACE [==[(g - dots.x)]==]
  COMPILE attention_backward_bf16.cu
  FILTER *AttentionBackwardContract.IsThe*/simt_bf16_aligned)
mutation(backward_takes_the_first_labels_gradient
  FILE attention_backward_keys.h
  FIND [==[(tile % stages * labels + l) * streamed + first]==]
  REPLACE [==[tile % stages * labels * streamed + first]==]
  COMPILE attention_backward_bf16.cu
  FILTER *AttentionBackwardContract.LabelsThat*/simt_bf16_aligned)
mutation(backward_captures_the_first_labels_chains
  FILE attention_backward_keys.h
  FIND [==[range[l].first - range[0].first + c]==]
  REPLACE [==[c]==]
  COMPILE attention_backward_bf16.cu
  FILTER *RelevanceContract.BackwardCaptures*/simt_bf16_aligned)
mutation(one_pass_without_the_barrier_before_its_query_gradient
  FILE attention_backward_keys.h
  FIND [==[      __syncthreads();  // dS of all the block's keys is there]==]
  REPLACE [==[]==]
  COMPILE attention_backward_bf16.cu
  FILTER *AttentionBackwardContract.WithoutAFixed*/simt_bf16_aligned)
mutation(one_pass_without_the_mask_of_keys
  FILE attention_backward_keys.h
  FIND [==[s.num_keys - first_key);  // keys beyond]==]
  REPLACE [==[Pass::keys);  // keys beyond]==]
  COMPILE attention_backward_bf16.cu
  FILTER *AttentionBackwardContract.SurvivesScores*/simt_bf16_aligned)
mutation(one_pass_with_its_a_fragment_in_another_order
  FILE warp_product_bf16.h
  FIND [==[p_row = lane / 16 * 8 + lane % 8;]==]
  REPLACE [==[p_row = lane % 16;]==]
  COMPILE attention_backward_bf16.cu
  FILTER *AttentionBackwardContract.WithoutAFixed*/simt_bf16_aligned)
mutation(one_pass_stores_what_it_should_add
  FILE strip_sums.h
  FIND [==[atomicAdd(start + StripSums<tiles>::column(n, e), sums.sum[n][2 * half + e]);]==]
  REPLACE [==[start[StripSums<tiles>::column(n, e)] = sums.sum[n][2 * half + e];]==]
  COMPILE attention_backward_bf16.cu
  FILTER *AttentionBackwardContract.WithoutAFixed*/simt_bf16_aligned)
mutation(one_pass_adds_to_what_its_scratch_held
  FILE attention_backward.cu
  FIND [==[  if (scratch.query_sums) {
    fill_zero(]==]
  REPLACE [==[  if (false) {
    fill_zero(]==]
  COMPILE attention_backward.cu
  FILTER *AttentionBackwardContract.WithoutAFixed*/simt_bf16_aligned)

# --- relevance --------------------------------------------------------------------------------------
mutation(relevance_without_the_positive_part_of_the_gradient
  FILE relevance_chains.h
  FIND [==[fmaxf(gradient[s].sum[n][e], 0.f)]==]
  REPLACE [==[gradient[s].sum[n][e]]==]
  COMPILE relevance_rows.cu
  FILTER *RelevanceContract.RelevanceRows*/simt_bf16_aligned)
mutation(relevance_takes_the_neighbours_row_weight
  FILE relevance_chains.h
  FIND [==[fmaf(e % 2 == 0 ? w.x : w.y, product]==]
  REPLACE [==[fmaf(w.x, product]==]
  COMPILE relevance_rows.cu
  FILTER *RelevanceContract.RelevanceRows*/simt_bf16_aligned)
mutation(relevance_without_the_mask_of_columns
  FILE relevance_chains.h
  FIND [==[if (lane_index() % 4 == 0 && j < keys) to[j] = sum;]==]
  REPLACE [==[if (lane_index() % 4 == 0) to[j] = sum;]==]
  COMPILE relevance_rows.cu
  FILTER *RelevanceContract.RelevanceRows*/simt_bf16_aligned)
mutation(relevance_without_the_barrier_of_a_step
  FILE relevance_rows.cu
  FIND [==[      __syncthreads();  // this step has arrived]==]
  REPLACE [==[      // this step has arrived]==]
  COMPILE relevance_rows.cu
  FILTER *RelevanceContract.RelevanceRows*/simt_bf16_aligned)
mutation(relevance_takes_the_first_heads_query_weight
  FILE relevance_chains.cu
  FIND [==[chain.query_weight[head * queries + i]]==]
  REPLACE [==[chain.query_weight[i]]==]
  COMPILE relevance_chains.cu
  FILTER *RelevanceContract.RelevanceRows*/simt_bf16_aligned)
mutation(relevance_of_more_chains_than_a_launch_takes_repeats_the_first
  FILE relevance_chains.cu
  FIND [==[std::copy_n(args.chains + first,]==]
  REPLACE [==[std::copy_n(args.chains,]==]
  COMPILE relevance_chains.cu
  FILTER *RelevanceContract.RelevanceRows*/simt_bf16_aligned)
mutation(cls_row_without_the_positive_part_of_the_gradient
  FILE relevance_cls_row.cu
  FIND [==[part *= fmaxf(attention_gradient[(chain.gradient * heads + head) * tokens + j], 0.f);]==]
  REPLACE [==[part *= attention_gradient[(chain.gradient * heads + head) * tokens + j];]==]
  COMPILE relevance_cls_row.cu
  FILTER *RelevanceContract.*ClsRow*/simt_fp32)

# --- captured work ----------------------------------------------------------------------------------
mutation(chains_read_from_host_memory_at_replay
  FILE relevance_chains.cu
  FIND [==[  launch<prepare_chains_kernel>(name, queue, one_thread_each(name, heads * padded, chains.count),
                                chains, heads, queries, padded);]==]
  REPLACE [==[  static ChainBatch of_the_host;
  of_the_host = chains;
  constexpr auto kernel = [](const ChainBatch* c, index_t h, index_t q, index_t p) {
    prepare_chains_kernel(*c, h, q, p);
  };
  launch<kernel>(name, queue, one_thread_each(name, heads * padded, chains.count), &of_the_host,
                 heads, queries, padded);]==]
  COMPILE relevance_chains.cu
  FILTER *GraphContract.*/simt_bf16_aligned)
mutation(cls_row_chains_read_from_host_memory_at_replay
  FILE relevance_cls_row.cu
  FIND [==[    launch<relevance_cls_row_kernel>("relevance_cls_row", queue, shape, chains,]==]
  REPLACE [==[    static Chains of_the_host;
    of_the_host = chains;
    constexpr auto kernel = [](const Chains* c, const float* a, const float* g, index_t h,
                               index_t t) { relevance_cls_row_kernel(*c, a, g, h, t); };
    launch<kernel>("relevance_cls_row", queue, shape, &of_the_host,]==]
  COMPILE relevance_cls_row.cu
  FILTER *GraphContract.*/simt_bf16_aligned)
mutation(backward_keeps_the_pointer_of_its_first_call
  FILE attention_backward_kernels.h
  FIND [==[  p.output_gradient = Rows<const Element>(args.output_gradient);]==]
  REPLACE [==[  static const Rows<const Element> kept(args.output_gradient);
  p.output_gradient = kept;]==]
  COMPILE attention_backward_bf16.cu
  FILTER *GraphContract.*/simt_bf16_aligned)
mutation(rows_prepared_at_the_capture_and_not_at_the_replay
  FILE attention_backward.cu
  FIND [==[  prepare_rows(name, queue, s,]==]
  REPLACE [==[  Queue at_once = queue;
  at_once.stream = nullptr;
  prepare_rows(name, at_once, s,]==]
  COMPILE attention_backward.cu
  FILTER *GraphContract.*/simt_bf16_aligned)
# --- augmentation -----------------------------------------------------------------------------------
mutation(augment_blurs_before_the_crop_is_there
  FILE augment.cu
  FIND [==[  for (int pass = 0; pass < 6; ++pass) {
    __syncthreads();]==]
  REPLACE [==[  for (int pass = 0; pass < 6; ++pass) {]==]
  COMPILE augment.cu
  FILTER *AugmentContract.EveryStep*/simt_fp32)
mutation(augment_reads_the_sums_before_they_are_there
  FILE augment.cu
  FIND [==[sums[warp_index()] = sum;
  __syncthreads();]==]
  REPLACE [==[sums[warp_index()] = sum;]==]
  COMPILE augment.cu
  FILTER *AugmentContract.EveryStep*/simt_fp32)
mutation(augment_takes_the_contrast_before_its_turn
  FILE augment.cu
  FIND [==[    for (int k = contrast < 4 ? contrast : 0; k < 4; ++k) {]==]
  REPLACE [==[    for (int k = contrast < 4 ? contrast + 1 : 0; k < 4; ++k) {]==]
  COMPILE augment.cu
  FILTER *AugmentContract.EveryStep*/simt_fp32)
mutation(augment_takes_its_blocks_crops_once
  FILE augment.cu
  FIND [==[item < a.crops; item += gridDim.x)]==]
  REPLACE [==[item < gridDim.x; item += gridDim.x)]==]
  COMPILE augment.cu
  FILTER *AugmentContract.MoreCrops*/simt_fp32)
mutation(every_item_takes_the_firsts_factors
  FILE linear_epilogue.cu
  FIND [==[added_to.factors.of(blockIdx.x)]==]
  REPLACE [==[added_to.factors.of(row)]==]
  COMPILE linear_epilogue.cu
  FILTER *LinearWithEveryEpilogue*/simt_fp32)
mutation(scaled_rows_become_one
  FILE copy_rows.cu
  FIND [==[if (!args.factors.factors) join_rows(]==]
  REPLACE [==[join_rows(]==]
  COMPILE copy_rows.cu
  FILTER *CopyRowsScales*/simt_fp32)
mutation(drop_path_scales_the_residual_too
  FILE linear_epilogue.cu
  FIND [==[before.element[k] + factor * value]==]
  REPLACE [==[factor * (before.element[k] + value)]==]
  COMPILE linear_epilogue.cu
  FILTER *LinearWithEveryEpilogue*/simt_fp32)
# --- training ---------------------------------------------------------------------------------------
mutation(dino_keeps_the_sum_of_a_smaller_exponent
  FILE dino_loss.cu
  FIND [==[    sum *= exp2f(maximum - larger);]==]
  REPLACE [==[]==]
  COMPILE dino_loss.cu
  FILTER *LossContract.DinoLossIs*/simt_fp32)
mutation(dino_compares_a_view_with_itself
  FILE dino_loss.cu
  FIND [==[crop == 0 ? q1 : crop == 1 ? q0]==]
  REPLACE [==[crop == 0 ? q0 : crop == 1 ? q1]==]
  COMPILE dino_loss.cu
  FILTER *LossContract.DinoLossIs*/simt_fp32)
mutation(dino_reads_the_maxima_before_they_are_there
  FILE dino_loss.cu
  FIND [==[maxima[warp_index()] = of_warp;
  __syncthreads();]==]
  REPLACE [==[maxima[warp_index()] = of_warp;]==]
  COMPILE dino_loss.cu
  FILTER *LossContract.DinoLossIs*/simt_fp32)
mutation(block_sum_overwrites_what_is_still_read
  FILE block_sum.h
  FIND [==[  __syncthreads();  // an earlier sum has been read
]==]
  REPLACE [==[]==]
  COMPILE dino_loss.cu
  FILTER *LossContract.DinoLossIs*/simt_fp32)
mutation(norms_lose_a_tensor_that_begins_inside_a_chunk
  FILE parameter_chunks.h
  FIND [==[block.table[middle].count <= start) {]==]
  REPLACE [==[block.table[middle].count <= stop) {]==]
  COMPILE gradient_norms.cu optimizer.cu
  FILTER *OptimizerContract.*/simt_fp32)
mutation(frozen_tensors_move
  FILE parameter_chunks.h
  FIND [==[segment.freezable != 0.f && settings.frozen != 0.f]==]
  REPLACE [==[segment.freezable != 0.f && settings.frozen > 1.f]==]
  COMPILE gradient_norms.cu optimizer.cu
  FILTER *OptimizerContract.*/simt_fp32)
mutation(bias_sums_are_added_before_they_are_there
  FILE bias_gradient.cu
  FIND [==[  __syncthreads();]==]
  REPLACE [==[]==]
  COMPILE bias_gradient.cu
  FILTER *LinearContract.WeightGradientIs*/simt_fp32)
mutation(bias_rows_of_items_are_taken_to_follow
  FILE bias_gradient.cu
  FIND [==[a.joined ? matrix]==]
  REPLACE [==[a.rows > 0 ? matrix]==]
  COMPILE bias_gradient.cu
  FILTER *LinearContract.WeightGradientIs*/simt_fp32)
mutation(weights_are_rounded_by_the_block_before
  FILE cast.cu
  FIND [==[table.first_block[middle] <= blockIdx.x]==]
  REPLACE [==[table.first_block[middle] < blockIdx.x]==]
  COMPILE cast.cu
  FILTER *LinearContract.ManyWeights*/simt_bf16)
