// DINO's loss: every row's log-sum-exp, then one pass in which a thread follows one column through
// all images, so that q of both views is worked out once, in registers, and the teacher's column
// sums need no atomics. Logits are read twice, the gradient written once, nothing else is kept.
#include "kernels/cuda/block_sum.h"
#include "kernels/cuda/dtypes.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/ops.h"
#include "kernels/cuda/rows.h"

namespace vitsnna::kernels::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kWarpSize;
constexpr int kAtOnce = 4;  ///< loads of a row in flight
/// Crops of an image whose loads are in flight: DINO's ten. A thread a column is a quarter of the
/// threads that a GPU holds, so each of them has to ask for enough.
constexpr int kCropsAtOnce = 10;
constexpr float kLog2e = 1.4426950408889634f;
constexpr float kLowest = -3.402823466e38f;

/// Statistics in scratch: log2 sum 2^x of the teacher's rows, then of the student's; behind them
/// cross-entropy and entropy of every column tile.
struct DinoScratch {
  float* log_sum_exp;  ///< (2 + student_crops, items)
  float* sums;         ///< (tiles, 2), bits
};

/// A sum of powers of two relative to the greatest exponent so far.
struct PowerSum {
  float maximum = kLowest, sum = 0.f;
  __device__ __forceinline__ void raise(float larger) {
    sum *= exp2f(maximum - larger);
    maximum = larger;
  }
};

template <class T>
__device__ __forceinline__ PowerSum power_sum(const T* row, const float* shift, index_t columns,
                                              float factor) {
  PowerSum result;
  for (index_t first = threadIdx.x; first < columns; first += kThreads * kAtOnce) {
    float x[kAtOnce];
    float larger = result.maximum;
#pragma unroll
    for (int k = 0; k < kAtOnce; ++k) {
      const index_t c = first + k * kThreads;
      x[k] = kLowest;
      if (c < columns) x[k] = (load_float(row + c) - (shift ? shift[c] : 0.f)) * factor;
      larger = fmaxf(larger, x[k]);
    }
    result.raise(larger);
#pragma unroll
    for (int k = 0; k < kAtOnce; ++k) {
      if (first + k * kThreads < columns) result.sum += exp2f(x[k] - larger);
    }
  }
  return result;
}

/// A block a row: the teacher's 2 items, then the student's crops.
template <class Student, class Teacher>
__global__ void __launch_bounds__(kThreads)
    dino_statistics_kernel(DinoLoss a, Rows<const Student> student, Rows<const Teacher> teacher,
                           DinoScratch scratch) {
  SharedMemory memory;
  const Shared<float> partial = memory.take<float>(kWarps);
  const Shared<float> maxima = memory.take<float>(kWarps);
  const index_t view = blockIdx.x / a.items, item = blockIdx.x - view * a.items;
  PowerSum sum;
  if (view < 2) {
    sum = power_sum(teacher.row(view, item), a.centre, a.out_dim, kLog2e / *a.teacher_temperature);
  } else {
    sum = power_sum(student.row(view - 2, item), static_cast<const float*>(nullptr), a.out_dim,
                    kLog2e / a.student_temperature);
  }
  const float of_warp = warp_max(sum.maximum);
  if (lane_index() == 0) maxima[warp_index()] = of_warp;
  __syncthreads();
  float largest = kLowest;
  for (int warp = 0; warp < kWarps; ++warp) largest = fmaxf(largest, maxima[warp]);
  sum.raise(largest);
  const float total = block_sum(sum.sum, partial);
  if (threadIdx.x == 0) scratch.log_sum_exp[blockIdx.x] = largest + logf(total) * kLog2e;
}

/// Both views' targets of one image in one column.
struct Targets {
  float q0, q1;
  __device__ __forceinline__ float of(index_t crop) const {
    return crop == 0 ? q1 : crop == 1 ? q0 : q0 + q1;
  }
};

/// Entropy term of one teacher logit; q and the column's sum on the way.
struct TeacherColumn {
  float centre, factor;
  float sum = 0.f, entropy = 0.f;
  __device__ __forceinline__ float target(float logit, float log_sum_exp) {
    sum += logit;
    const float exponent = (logit - centre) * factor - log_sum_exp;
    const float q = exp2f(exponent);
    entropy = fmaf(-q, exponent, entropy);  // 0 ln 0 is 0: the exponent stays finite
    return q;
  }
};

template <class Student, class Teacher>
__global__ void __launch_bounds__(kThreads)
    dino_loss_kernel(DinoLoss a, Rows<const Student> student, Rows<const Teacher> teacher,
                     Rows<Student> gradient, DinoScratch scratch) {
  SharedMemory memory;
  const Shared<float> partial = memory.take<float>(kWarps);
  const index_t column = static_cast<index_t>(blockIdx.x) * kThreads + threadIdx.x;
  const bool inside = column < a.out_dim;
  const float factor = kLog2e / a.student_temperature;
  const float weight = 1.f / (static_cast<float>(2 * (a.student_crops - 1) * a.global_items) *
                              a.student_temperature);
  TeacherColumn views{inside ? a.centre[column] : 0.f, kLog2e / *a.teacher_temperature};
  float cross_entropy = 0.f;
  for (index_t item = 0; inside && item < a.items; ++item) {
    Targets targets;
    targets.q0 = views.target(load_float(teacher.row(0, item) + column), scratch.log_sum_exp[item]);
    targets.q1 = views.target(load_float(teacher.row(1, item) + column),
                              scratch.log_sum_exp[a.items + item]);
    float of_item = 0.f;
    for (index_t first = 0; first < a.student_crops; first += kCropsAtOnce) {
      float x[kCropsAtOnce];  // read before the gradient may take their place
#pragma unroll
      for (int k = 0; k < kCropsAtOnce; ++k) {
        x[k] = 0.f;
        if (first + k < a.student_crops) {
          x[k] = load_float(student.row(first + k, item) + column);
        }
      }
#pragma unroll
      for (int k = 0; k < kCropsAtOnce; ++k) {
        const index_t crop = first + k;
        if (crop >= a.student_crops) break;
        const float log_p = x[k] * factor - scratch.log_sum_exp[(2 + crop) * a.items + item];
        const float target = targets.of(crop);
        of_item = fmaf(-target, log_p, of_item);
        const float views_seen = crop < 2 ? 1.f : 2.f;
        store_float(gradient.row(crop, item) + column,
                    weight * (views_seen * exp2f(log_p) - target));
      }
    }
    cross_entropy += of_item;
  }
  if (inside) a.teacher_sum[column] += views.sum;
  cross_entropy = block_sum(cross_entropy, partial);
  const float entropy = block_sum(views.entropy, partial);
  if (threadIdx.x == 0) {
    scratch.sums[2 * static_cast<index_t>(blockIdx.x)] = cross_entropy;
    scratch.sums[2 * static_cast<index_t>(blockIdx.x) + 1] = entropy;
  }
}

__global__ void __launch_bounds__(kThreads)
    dino_monitors_kernel(DinoLoss a, const float* sums, index_t tiles) {
  SharedMemory memory;
  const Shared<float> partial = memory.take<float>(kWarps);
  float cross_entropy = 0.f, entropy = 0.f;
  for (index_t tile = threadIdx.x; tile < tiles; tile += kThreads) {
    cross_entropy += sums[2 * tile];
    entropy += sums[2 * tile + 1];
  }
  cross_entropy = block_sum(cross_entropy, partial);
  entropy = block_sum(entropy, partial);
  if (threadIdx.x != 0) return;
  const auto items = static_cast<float>(a.global_items);
  const auto pairs = static_cast<float>(2 * (a.student_crops - 1));
  a.monitors[0] += cross_entropy / (kLog2e * pairs * items);
  a.monitors[1] += entropy / (kLog2e * 2.f * items);
}

__global__ void __launch_bounds__(kThreads) update_centre_kernel(UpdateCentre a) {
  const index_t c = static_cast<index_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (c >= a.out_dim) return;
  const float share = (1.f - a.momentum) / static_cast<float>(a.rows);
  a.centre[c] = a.momentum * a.centre[c] + share * a.sum[c];
  a.sum[c] = 0.f;
}

index_t statistics_of(const DinoLoss& args) { return (2 + args.student_crops) * args.items; }

}  // namespace

index_t dino_loss_scratch(const Queue&, const DinoLoss& args) {
  return (statistics_of(args) + 2 * ceil_div(args.out_dim, kThreads)) * 4;
}

void dino_loss(Queue& queue, const DinoLoss& args) {
  constexpr const char* name = "dino_loss";
  check(args);
  const index_t tiles = ceil_div(args.out_dim, kThreads);
  auto* memory = static_cast<float*>(queue.scratch);
  const DinoScratch scratch{memory, memory + statistics_of(args)};
  const LaunchShape rows{dim3(grid_extent(name, statistics_of(args))), kThreads,
                         2 * shared_bytes<float>(kWarps)};
  const LaunchShape columns{dim3(grid_extent(name, tiles)), kThreads, shared_bytes<float>(kWarps)};
  with_dtype(args.student.dtype, [&]<class Student>() {
    with_dtype(args.teacher.dtype, [&]<class Teacher>() {
      const Rows<const Student> student(args.student);
      const Rows<const Teacher> teacher(args.teacher);
      launch<dino_statistics_kernel<Student, Teacher>>(name, queue, rows, args, student, teacher,
                                                       scratch);
      launch<dino_loss_kernel<Student, Teacher>>(name, queue, columns, args, student, teacher,
                                                 Rows<Student>(args.student_gradient), scratch);
    });
  });
  const LaunchShape one{dim3(1), kThreads, shared_bytes<float>(kWarps)};
  launch<dino_monitors_kernel>(name, queue, one, args, static_cast<const float*>(scratch.sums),
                               tiles);
}

void update_centre(Queue& queue, const UpdateCentre& args) {
  constexpr const char* name = "update_centre";
  const LaunchShape shape{dim3(grid_extent(name, args.out_dim, kThreads)), kThreads, 0};
  launch<update_centre_kernel>(name, queue, shape, args);
}

}  // namespace vitsnna::kernels::cuda
