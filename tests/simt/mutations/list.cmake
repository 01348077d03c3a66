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
  FILE warp_product.h
  FIND [==[      __syncwarp();
#pragma unroll 1]==]
  REPLACE [==[#pragma unroll 1]==]
  COMPILE attention_forward_f32.cu
  FILTER *AttentionContract.ForwardIs*/simt_fp32_aligned)
mutation(product_without_the_syncwarp_before_overwriting
  FILE warp_product.h
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
  FILE warp_product.h
  FIND [==[          ptx::mma_m16n8k16(sums[s].sum[n], rows[s], b[0], b[1]);]==]
  REPLACE [==[          ptx::mma_m16n8k16(sums[s].sum[n], rows[s], b[1], b[0]);]==]
  COMPILE attention_forward_bf16.cu
  FILTER *AttentionContract.ForwardIs*/simt_bf16)
mutation(product_with_its_a_fragment_in_another_order
  FILE warp_product.h
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
