// Promises of the CPU's products at sizes of many tiles: the same bits on any team of threads, for
// any company of items, and from any thread of the program.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

#include "kernels/backend.h"
#include "kernels/bf16.h"
#include "kernels/cpu/tile_product.h"

namespace vitsnna::kernels {
namespace {

constexpr index_t heads = 2, head_dim = 64, width = heads * head_dim, tokens = 785;

/// Operand memory and launches on one team size.
class Bench {
 public:
  explicit Bench(int threads) { queue_.num_threads = threads; }

  template <class Args>
  void run(const Op<Args>& op, const Args& args) {
    queue_.scratch_bytes = op.scratch_for(queue_, args);
    const auto room = static_cast<std::size_t>(queue_.scratch_bytes + 64);
    memory_ = std::make_unique<char[]>(room);
    void* aligned = memory_.get();
    std::size_t space = room;
    queue_.scratch = std::align(64, static_cast<std::size_t>(queue_.scratch_bytes), aligned, space);
    op(queue_, args);
  }

 private:
  Queue queue_;
  std::unique_ptr<char[]> memory_;
};

/// A dense fp32 or bf16 array with reproducible values; rows of item i are the same whatever the
/// number of items.
struct Array {
  std::vector<std::uint32_t> words;
  DType dtype;

  Array(index_t elements, DType type, float amplitude)
      : words(static_cast<std::size_t>((elements * size_of(type) + 3) / 4)), dtype(type) {
    for (index_t i = 0; i < elements; ++i) {
      const auto value = amplitude * std::sin(static_cast<float>(i % 100003) * 1.618f);
      if (dtype == DType::f32) {
        reinterpret_cast<float*>(words.data())[i] = value;
      } else {
        reinterpret_cast<bf16*>(words.data())[i] = to_bf16(value);
      }
    }
  }
  void* data() { return words.data(); }
  float* floats() { return reinterpret_cast<float*>(words.data()); }
  Matrix view(index_t rows, index_t stride, index_t column = 0) {
    return {reinterpret_cast<char*>(words.data()) + column * size_of(dtype), dtype, rows * stride,
            stride};
  }
};

class ProductsTest : public testing::TestWithParam<DType> {};
INSTANTIATE_TEST_SUITE_P(Both, ProductsTest, testing::Values(DType::f32, DType::bf16),
                         [](const auto& instance) { return std::string(name_of(instance.param)); });

TEST_P(ProductsTest, ALinearLayersBitsDependOnNeitherTeamNorItems) {
  const DType dtype = GetParam();
  constexpr index_t in = 128, out = 320, items = 3;
  Array master(in * out, DType::f32, .1f), input(items * tokens * in, dtype, 1.f);
  LinearWeight weight{master.floats(), nullptr, dtype, false, out, in};
  Array prepared(cpu_backend().linear_prepared_bytes(weight) / 4 + 16, DType::f32, 0.f);
  void* destination = prepared.data();
  std::size_t space = prepared.words.size() * 4;
  std::align(64, 1, destination, space);
  const LinearPreparation preparation{weight, destination};
  Bench(1).run(cpu_backend().prepare_linear, {&preparation, 1});
  if (cpu_backend().linear_prepared_bytes(weight) > 0) weight.prepared = destination;

  const auto run = [&](int threads, index_t first, index_t count) {
    Array output(count * tokens * out, DType::f32, 0.f);
    Linear args;
    args.items = count;
    args.rows = tokens;
    args.input = input.view(tokens, in);
    args.input.data =
        static_cast<const char*>(args.input.data) + first * tokens * in * size_of(dtype);
    args.weight = weight;
    args.epilogue = Epilogue::gelu;
    args.output = output.view(tokens, out);
    Bench(threads).run(cpu_backend().linear, args);
    return output.words;
  };
  const auto all = run(1, 0, items);
  for (const int threads : {2, 3, 5}) EXPECT_EQ(run(threads, 0, items), all) << threads;
  const auto one = static_cast<std::ptrdiff_t>(tokens * out);
  for (index_t item = 0; item < items; ++item) {
    EXPECT_EQ(run(2, item, 1),
              std::vector(all.begin() + item * one, all.begin() + (item + 1) * one))
        << item;
  }
}

/// Everything that attention forward and backward write, for items first .. first + count.
std::vector<std::vector<std::uint32_t>> attention(DType dtype, int threads, index_t first,
                                                  index_t count) {
  constexpr index_t items = 2, gradients = 2;
  Array rows(items * tokens * 3 * width, dtype, 2.f);
  Array output_gradient(items * gradients * tokens * width, dtype, 1.f);
  const auto from = [&](index_t column) {
    ConstMatrix view = rows.view(tokens, 3 * width, column);
    view.data = static_cast<const char*>(view.data) + first * tokens * 3 * width * size_of(dtype);
    return view;
  };
  Bench bench(threads);
  Array output(count * tokens * width, dtype, 0.f);
  Array log_sum_exp(count * heads * tokens, DType::f32, 0.f);
  const AttentionShape shape{count, heads, head_dim, tokens, tokens};
  bench.run(cpu_backend().attention_forward,
            {shape, from(0), from(width), from(2 * width), output.view(tokens, width),
             log_sum_exp.floats(), nullptr, nullptr});
  Array query_gradient(count * gradients * tokens * width, dtype, 0.f);
  Array key_gradient = query_gradient, value_gradient = query_gradient;
  AttentionBackward backward;
  backward.shape = shape;
  backward.gradients = gradients;
  backward.query = from(0);
  backward.key = from(width);
  backward.value = from(2 * width);
  backward.output = output.view(tokens, width);
  backward.log_sum_exp = log_sum_exp.floats();
  backward.output_gradient = output_gradient.view(tokens, width);
  backward.output_gradient.data = static_cast<const char*>(backward.output_gradient.data) +
                                  first * gradients * tokens * width * size_of(dtype);
  backward.query_gradient = query_gradient.view(tokens, width);
  backward.key_gradient = key_gradient.view(tokens, width);
  backward.value_gradient = value_gradient.view(tokens, width);
  bench.run(cpu_backend().attention_backward, backward);
  return {output.words, log_sum_exp.words, query_gradient.words, key_gradient.words,
          value_gradient.words};
}

TEST_P(ProductsTest, AttentionsBitsDependOnNeitherTeamNorItems) {
  const auto all = attention(GetParam(), 1, 0, 2);
  EXPECT_TRUE(all == attention(GetParam(), 3, 0, 2));
  for (index_t item = 0; item < 2; ++item) {
    const auto alone = attention(GetParam(), 2, item, 1);
    for (std::size_t k = 0; k < all.size(); ++k) {
      const auto size = static_cast<std::ptrdiff_t>(alone[k].size());
      EXPECT_TRUE(std::equal(alone[k].begin(), alone[k].end(), all[k].begin() + item * size))
          << "item " << item << ", output " << k;
    }
  }
}

TEST(TileProductTest, ThreadsThatMeetNewShapesTogetherAllGetTheProduct) {
  const auto work = [](index_t seed) {
    for (index_t n = 1; n <= 150; ++n) {  // more shapes than the cache keeps
      const index_t columns = (n * 7 + seed) % 190 + 1;
      const std::vector<float> left(static_cast<std::size_t>(n), 2.f);
      const std::vector<float> right(static_cast<std::size_t>(n * columns), 3.f);
      std::vector<float> output(static_cast<std::size_t>(columns), -1.f);
      cpu::TileShape shape;
      shape.rows = 1;
      shape.columns = shape.right_stride = shape.output_stride = columns;
      shape.inner = shape.left_stride = n;
      std::vector<char> scratch(
          static_cast<std::size_t>(cpu::tile_product_scratch_bytes(shape) + 64));
      void* aligned = scratch.data();
      std::size_t space = scratch.size();
      std::align(64, 1, aligned, space);
      cpu::tile_product(shape, left.data(), right.data(), output.data(), aligned);
      for (const float value : output) ASSERT_EQ(value, 6.f * static_cast<float>(n));
    }
  };
  std::vector<std::thread> threads;
  for (index_t seed = 0; seed < 6; ++seed) threads.emplace_back(work, seed);
  for (auto& thread : threads) thread.join();
}

}  // namespace
}  // namespace vitsnna::kernels
