// Tile products as cached oneDNN matmul primitives, created and run on one thread.
#include "kernels/cpu/tile_product.h"

#include <array>
#include <cstddef>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <oneapi/dnnl/dnnl.hpp>
#include <optional>
#include <shared_mutex>
#include <string>
#include <tuple>
#include <unordered_map>

#include "kernels/bf16.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/scratch.h"
#include "kernels/error.h"

namespace vitsnna::kernels::cpu {
namespace {

/// Shapes kept at once: a model uses some tens; a server that meets many image sizes starts over.
constexpr std::size_t max_cached_products = 512;
/// Right operands are packed as their product with this many rows likes them.
constexpr index_t packing_rows = 128;

using dnnl::memory;

const dnnl::engine& cpu_engine() {
  static const auto* engine = new dnnl::engine(dnnl::engine::kind::cpu, 0);
  return *engine;
}

dnnl::stream& thread_stream() {
  thread_local dnnl::stream stream(cpu_engine());
  return stream;
}

bool isa_includes(dnnl::cpu_isa wanted) {
  const auto have = static_cast<unsigned>(dnnl::get_effective_cpu_isa());
  return (have & static_cast<unsigned>(wanted)) == static_cast<unsigned>(wanted);
}

/// Below AVX-512 oneDNN has no bf16 product.
bool multiplies_bf16() {
  static const bool answer = isa_includes(dnnl::cpu_isa::avx512_core);
  return answer;
}

memory::data_type data_type(DType dtype) {
  return dtype == DType::f32 ? memory::data_type::f32 : memory::data_type::bf16;
}

memory::desc strided(index_t rows, index_t columns, DType dtype, index_t row_stride,
                     index_t column_stride) {
  return {{rows, columns}, data_type(dtype), memory::dims{row_stride, column_stride}};
}

dnnl::matmul::primitive_desc describe(const memory::desc& left, const memory::desc& right,
                                      const memory::desc& output, bool accumulate) {
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  if (accumulate) {
    dnnl::post_ops post_ops;
    post_ops.append_sum(1.f);
    attributes.set_post_ops(post_ops);
  }
  const OneThread one_thread;
#if DNNL_VERSION_MAJOR >= 3
  return {cpu_engine(), left, right, output, attributes};
#else
  return {{left, right, output}, attributes, cpu_engine()};
#endif
}

/// How oneDNN wants a right operand that it may lay out itself.
memory::desc packed_desc(DType dtype, index_t inner, index_t columns) {
  static auto* mutex = new std::mutex;
  static auto* known = new std::map<std::tuple<DType, index_t, index_t>, memory::desc>;
  const std::scoped_lock lock(*mutex);
  if (known->size() > max_cached_products) known->clear();
  auto& desc = (*known)[{dtype, inner, columns}];
  if (desc.get_size() == 0) {
    const memory::desc any({inner, columns}, data_type(dtype), memory::format_tag::any);
    desc = describe(strided(packing_rows, inner, dtype, inner, 1), any,
                    strided(packing_rows, columns, DType::f32, columns, 1), false)
               .weights_desc();
  }
  return desc;
}

/// One shape's primitive.
class Product {
 public:
  explicit Product(const TileShape& shape)
      : widened_(shape.dtype == DType::bf16 && !multiplies_bf16()),
        gathered_(shape.right == RightLayout::packed && shape.left_stride != shape.inner),
        shape_(shape) {
    const DType dtype = widened_ ? DType::f32 : shape.dtype;
    if (widened_) {  // operands are copied densely
      shape_.left_stride = shape.left_transposed ? shape.rows : shape.inner;
      shape_.right_stride = shape.right == RightLayout::rows ? shape.columns : shape.inner;
    }
    if (gathered_) shape_.left_stride = shape.inner;
    left_ = shape.left_transposed ? strided(shape.rows, shape.inner, dtype, 1, shape_.left_stride)
                                  : strided(shape.rows, shape.inner, dtype, shape_.left_stride, 1);
    switch (shape.right) {
      case RightLayout::rows:
        right_ = strided(shape.inner, shape.columns, dtype, shape_.right_stride, 1);
        break;
      case RightLayout::columns:
        right_ = strided(shape.inner, shape.columns, dtype, 1, shape_.right_stride);
        break;
      case RightLayout::packed:
        right_ = packed_desc(dtype, shape.inner, shape.columns);
        break;
    }
    output_ = strided(shape.rows, shape.columns, DType::f32, shape.output_stride, 1);
    const auto description = describe(left_, right_, output_, shape.accumulate);
    scratchpad_ = description.scratchpad_desc();
    const OneThread one_thread;
    primitive_ = dnnl::matmul(description);
  }

  index_t scratch_bytes() const {
    if (gathered_) {
      return primitive_bytes() + shape_.rows * shape_.inner * size_of(shape_.dtype);
    }
    return primitive_bytes() + (widened_ ? round_up(4 * shape_.rows * shape_.inner, 64) +
                                               round_up(4 * shape_.inner * shape_.columns, 64)
                                         : 0);
  }

  /// This thread's memory objects for the product: made once, pointed at operands for each run.
  class Binding {
   public:
    explicit Binding(const Product& product)
        : left_(product.left_, cpu_engine(), DNNL_MEMORY_NONE),
          right_(product.right_, cpu_engine(), DNNL_MEMORY_NONE),
          output_(product.output_, cpu_engine(), DNNL_MEMORY_NONE),
          scratch_(product.scratchpad_, cpu_engine(), DNNL_MEMORY_NONE) {}

    void execute(const dnnl::matmul& primitive, const void* left, const void* right, float* output,
                 void* scratch) {
      left_.set_data_handle(const_cast<void*>(left));
      right_.set_data_handle(const_cast<void*>(right));
      output_.set_data_handle(output);
      scratch_.set_data_handle(scratch);
      const dnnl_exec_arg_t arguments[] = {{DNNL_ARG_SRC, left_.get()},
                                           {DNNL_ARG_WEIGHTS, right_.get()},
                                           {DNNL_ARG_DST, output_.get()},
                                           {DNNL_ARG_SCRATCHPAD, scratch_.get()}};
      dnnl::error::wrap_c_api(
          dnnl_primitive_execute(primitive.get(), thread_stream().get(), 4, arguments),
          "could not execute a matrix product");
    }

   private:
    memory left_, right_, output_, scratch_;
  };

  void run(Binding& binding, const TileShape& asked, const void* left, const void* right,
           float* output, void* scratch) const {
    if (widened_) {
      auto* wide_left =
          reinterpret_cast<float*>(static_cast<std::byte*>(scratch) + primitive_bytes());
      float* wide_right = wide_left + round_up(shape_.rows * shape_.inner, 16);
      const bool across = asked.left_transposed;
      widen(left, asked.left_stride, across ? shape_.inner : shape_.rows,
            across ? shape_.rows : shape_.inner, wide_left);
      const bool by_rows = asked.right == RightLayout::rows;
      widen(right, asked.right_stride, by_rows ? shape_.inner : shape_.columns,
            by_rows ? shape_.columns : shape_.inner, wide_right);
      left = wide_left;
      right = wide_right;
    }
    if (gathered_) {
      auto* rows = static_cast<std::byte*>(scratch) + primitive_bytes();
      const index_t element = size_of(shape_.dtype);
      for (index_t row = 0; row < shape_.rows; ++row) {
        std::memcpy(rows + row * shape_.inner * element,
                    static_cast<const std::byte*>(left) + row * asked.left_stride * element,
                    static_cast<std::size_t>(shape_.inner * element));
      }
      left = rows;
    }
    binding.execute(primitive_, left, right, output, scratch);
  }

 private:
  index_t primitive_bytes() const {
    return round_up(static_cast<index_t>(scratchpad_.get_size()), 64);
  }

  static void widen(const void* source, index_t stride, index_t rows, index_t columns,
                    float* destination) {
    const auto* from = static_cast<const bf16*>(source);
    for (index_t row = 0; row < rows; ++row) {
      for (index_t column = 0; column < columns; ++column) {
        destination[row * columns + column] = to_float(from[row * stride + column]);
      }
    }
  }

  bool widened_;   ///< bf16 operands are copied to fp32 first
  bool gathered_;  ///< left rows are copied together first: oneDNN is slow with a packed right else
  TileShape shape_;  ///< with the strides that the primitive sees
  memory::desc left_, right_, output_, scratchpad_;
  dnnl::matmul primitive_;
};

struct ShapeHash {
  std::size_t operator()(const TileShape& shape) const {
    std::size_t hash = 0;
    for (const index_t part :
         {shape.rows, shape.columns, shape.inner, shape.left_stride, shape.right_stride,
          shape.output_stride,
          static_cast<index_t>(shape.dtype) + 2 * static_cast<index_t>(shape.right) +
              8 * shape.left_transposed + 16 * shape.accumulate}) {
      hash = (hash ^ static_cast<std::size_t>(part)) * 0x9e3779b97f4a7c15u;
      hash ^= hash >> 32;
    }
    return hash;
  }
};

/// body(), with oneDNN's exceptions as the project's own.
template <class Body>
auto translated(const TileShape& shape, const Body& body) {
  try {
    return body();
  } catch (const dnnl::error& error) {
    throw Error("matrix product " + std::to_string(shape.rows) + "x" + std::to_string(shape.inner) +
                "x" + std::to_string(shape.columns) + " in " + name_of(shape.dtype) +
                ": oneDNN says " + error.what());
  }
}

class Cache {
 public:
  std::shared_ptr<const Product> find(const TileShape& shape) {
    {
      const std::shared_lock lock(mutex_);
      if (const auto found = products_.find(shape); found != products_.end()) return found->second;
    }
    const std::unique_lock lock(mutex_);
    if (const auto found = products_.find(shape); found != products_.end()) return found->second;
    const auto product = translated(shape, [&] { return std::make_shared<const Product>(shape); });
    if (products_.size() >= max_cached_products) products_.clear();
    products_.emplace(shape, product);
    return product;
  }

 private:
  std::shared_mutex mutex_;
  std::unordered_map<TileShape, std::shared_ptr<const Product>, ShapeHash> products_;
};

Cache& cache() {
  static auto* cache = new Cache;  // outlives every thread that may still multiply at exit
  return *cache;
}

}  // namespace

void tile_product(const TileShape& shape, const void* left, const void* right, float* output,
                  void* scratch) {
  // The few products that a task alternates between, so that a run neither locks nor allocates.
  struct Recent {
    TileShape shape;
    std::shared_ptr<const Product> product;
    std::optional<Product::Binding> binding;
  };
  thread_local std::array<Recent, 16> recent;
  Recent& slot = recent[ShapeHash{}(shape) % recent.size()];
  if (!slot.binding || slot.shape != shape) {
    slot.binding.reset();
    slot.product = cache().find(shape);
    slot.shape = shape;
    translated(shape, [&] { slot.binding.emplace(*slot.product); });
  }
  translated(shape, [&] { slot.product->run(*slot.binding, shape, left, right, output, scratch); });
}

index_t tile_product_scratch_bytes(const TileShape& shape) {
  return cache().find(shape)->scratch_bytes();
}

bool can_pack_right(DType dtype, index_t inner, index_t columns) {
  return inner > 0 && columns > 0 && inner % 32 == 0 && columns % 64 == 0 &&
         (dtype == DType::f32 || multiplies_bf16());
}

index_t packed_right_bytes(DType dtype, index_t inner, index_t columns) {
  return static_cast<index_t>(packed_desc(dtype, inner, columns).get_size());
}

void pack_right(DType dtype, index_t inner, index_t columns, const void* source, DType source_dtype,
                index_t source_stride, RightLayout source_layout, void* destination) {
  const auto from = source_layout == RightLayout::rows
                        ? strided(inner, columns, source_dtype, source_stride, 1)
                        : strided(inner, columns, source_dtype, 1, source_stride);
  const auto& engine = cpu_engine();
  const OneThread one_thread;
  memory plain(from, engine, const_cast<void*>(source));
  memory packed(packed_desc(dtype, inner, columns), engine, destination);
  dnnl::reorder(plain, packed).execute(thread_stream(), plain, packed);
}

bool has_fast_bf16() {
  static const bool answer = isa_includes(dnnl::cpu_isa::avx512_core_bf16);
  return answer;
}

}  // namespace vitsnna::kernels::cpu
