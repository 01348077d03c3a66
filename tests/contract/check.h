// How the suite launches an op and judges what it left.
#pragma once

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "tests/contract/operand.h"

namespace vitsnna::contract {

/// Ends the running test as skipped, from however deep inside it.
[[noreturn]] inline void skip(const std::string& why) {
  [&] { GTEST_SKIP() << why; }();
  throw testing::AssertionException(
      testing::TestPartResult(testing::TestPartResult::kSkip, __FILE__, __LINE__, why.c_str()));
}

/// Runs an op with exactly the scratch it asks for, full of NaN, between guards.
template <class Args>
void launch(const Subject& subject, const kernels::Op<Args>& op, const Args& args, int threads) {
  if (!op.run) skip(std::string(op_name(args)) + " is not offered by this backend");
  kernels::Queue queue = subject.queue(threads);
  const index_t wanted = op.scratch_for(queue, args);
  const Operand scratch = Operand::output(subject, dense(wanted, Storage::u8));
  queue.scratch = wanted > 0 ? scratch.data() : nullptr;
  queue.scratch_bytes = wanted;
  op(queue, args);
  subject.backend->synchronize(queue);
}

/// What one run of an op produced.
using Outputs = std::vector<Values>;

/// Bits, with one NaN like another.
inline bool same_bits(const Values& a, const Values& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](double x, double y) { return x == y || (std::isnan(x) && std::isnan(y)); });
}

/// body(threads) -> Outputs, for each of the subject's thread counts: all must agree to the bit.
inline Outputs run_on_every_team(const Subject& subject, const std::function<Outputs(int)>& body) {
  const Outputs first = body(subject.thread_counts.front());
  for (std::size_t run = 1; run < subject.thread_counts.size(); ++run) {
    const int threads = subject.thread_counts[run];
    const Outputs again = body(threads);
    for (std::size_t k = 0; k < first.size(); ++k) {
      EXPECT_TRUE(same_bits(first[k], again[k]))
          << "output " << k << " depends on the thread count (" << threads << ")";
    }
  }
  return first;
}

/// Uniform in (-scale, scale), as an operand of `dtype` holds it. Same seed, same values.
Values random_values(index_t count, std::uint64_t seed, DType dtype = DType::f32,
                     double scale = 1.);
/// 0 or 1, some of each where there is room.
Values random_keep(index_t count, std::uint64_t seed);

/// A result's error must be at most four times that of the naive computation in the same precision,
/// or a few roundings of `scale`, the magnitude of what was summed.
void expect_close(const char* name, const Values& actual, const Values& oracle, const Values& naive,
                  double scale, DType dtype = DType::f32);
void expect_equal(const char* name, const Values& actual, const Values& expected);

/// <gradient, direction> must be the central difference of `loss` (an oracle's forward, double) at
/// `point`, along random directions and single coordinates. `scale` bounds |gradient|.
void expect_derivative(const char* name, const std::function<double(const Values&)>& loss,
                       const Values& point, const Values& gradient);

inline double dot(const Values& a, const Values& b) {
  double sum = 0.;
  for (std::size_t k = 0; k < a.size(); ++k) sum += a[k] * b[k];
  return sum;
}
inline double largest(const Values& values) {
  double result = 0.;
  for (const double v : values) result = std::max(result, std::abs(v));
  return result;
}
/// Greatest L2 norm of the rows of a dense (rows, columns) array.
double largest_row_norm(const Values& values, index_t columns);
/// Item `item` of `items` equal parts.
Values part(const Values& values, index_t items, index_t item);

}  // namespace vitsnna::contract
