// Contract of rows scaled to a length.
#include "tests/contract/check.h"
#include "tests/oracle/training.h"

namespace vitsnna::contract {
namespace {

using kernels::NormalizeRows;
using kernels::NormalizeRowsBackward;

VITSNNA_CONTRACT(NormalizeContract);

struct Extents {
  index_t rows, columns;
};
const Extents extents[] = {{1, 1}, {3, 5}, {70, 48}, {40, 257}, {5, 1030}};

/// Rows of very different lengths, and one of zeros.
Values rows_of_many_lengths(const Extents& size) {
  Values x = random_values(size.rows * size.columns, 1);
  for (index_t r = 0; r < size.rows; ++r) {
    const double factor = r == 2 ? 0. : std::ldexp(1., static_cast<int>(r % 21) - 10);
    for (index_t c = 0; c < size.columns; ++c) {
      x[static_cast<std::size_t>(r * size.columns + c)] *= factor;
    }
  }
  return x;
}

TEST_P(NormalizeContract, RowsHaveTheirLength) {
  for (const Extents& size : extents) {
    for (const bool with_length : {false, true}) {
      SCOPED_TRACE(testing::Message() << size.rows << "x" << size.columns << " " << with_length);
      NormalizeRows a;
      a.rows = size.rows;
      a.columns = size.columns;
      a.output.dtype = precision();
      const Values x = rows_of_many_lengths(size);
      const Values length = random_values(size.rows, 2);
      const Outputs got = run_on_every_team(subject(), [&](int threads) {
        const auto input = Operand::input(subject(), dense(size.rows * size.columns), x);
        const auto g = Operand::input(subject(), dense(size.rows), length);
        const auto output =
            Operand::output(subject(), strided(1, size.rows, size.columns, precision()));
        a.input = input.floats();
        a.length = with_length ? g.floats() : nullptr;
        a.output = output.matrix();
        launch(subject(), backend().normalize_rows, a, threads);
        return Outputs{output.values()};
      });
      const Values lengths = with_length ? length : Values();
      expect_close("output", got[0], oracle::normalize_rows<double>(a, x, lengths),
                   oracle::normalize_rows<float>(a, x, lengths), 1., precision());
    }
  }
}

TEST_P(NormalizeContract, BackwardIsTheGradient) {
  for (const Extents& size : extents) {
    for (const bool with_length : {false, true}) {
      SCOPED_TRACE(testing::Message() << size.rows << "x" << size.columns << " " << with_length);
      NormalizeRowsBackward a;
      a.rows = size.rows;
      a.columns = size.columns;
      a.accumulate = with_length;
      // Lengths near 1, so that one scale judges all rows; the zero row is looked at below.
      const Values x = random_values(size.rows * size.columns, 1);
      const Values length = random_values(size.rows, 2), before = random_values(size.rows, 5);
      const Values dy = random_values(size.rows * size.columns, 3);
      const Values initial = random_values(size.rows * size.columns, 4);
      const Outputs got = run_on_every_team(subject(), [&](int threads) {
        const auto input = Operand::input(subject(), dense(size.rows * size.columns), x);
        const auto g = Operand::input(subject(), dense(size.rows), length);
        const auto slope = Operand::input(subject(), dense(size.rows * size.columns), dy);
        const Layout layout = dense(size.rows * size.columns);
        const auto dx = a.accumulate ? Operand::updated(subject(), layout, initial)
                                     : Operand::output(subject(), layout);
        const auto dg = Operand::updated(subject(), dense(size.rows), before);
        a.input = input.floats();
        a.length = with_length ? g.floats() : nullptr;
        a.output_gradient = slope.floats();
        a.input_gradient = dx.floats();
        a.length_gradient = with_length ? dg.floats() : nullptr;
        launch(subject(), backend().normalize_rows_backward, a, threads);
        return Outputs{dx.values(), dg.values()};
      });
      const Values lengths = with_length ? length : Values();
      const auto add = [&](oracle::NormalizeGradients d) {
        for (std::size_t k = 0; k < initial.size() && a.accumulate; ++k) d.input[k] += initial[k];
        for (std::size_t k = 0; k < before.size(); ++k) {
          d.length[k] = before[k] + (with_length ? d.length[k] : 0.);
        }
        return d;
      };
      const auto want = add(oracle::normalize_rows_backward<double>(a, x, lengths, dy));
      const auto naive = add(oracle::normalize_rows_backward<float>(a, x, lengths, dy));
      const double width = std::sqrt(static_cast<double>(size.columns));
      // One column: dy and its projection cancel but for rounding, over a length as small as x.
      double shortest = 1.;
      for (index_t r = 0; r < size.rows; ++r) {
        shortest = std::min(shortest, oracle::row_norm<double>(x, r, size.columns));
      }
      expect_close("input_gradient", got[0], want.input, naive.input, 4. / shortest);
      expect_close("length_gradient", got[1], want.length, naive.length, width);
      if (with_length || size.columns == 1) continue;
      NormalizeRows forward;
      forward.rows = size.rows;
      forward.columns = size.columns;
      expect_derivative(
          "d input",
          [&](const Values& v) { return dot(oracle::normalize_rows<double>(forward, v, {}), dy); },
          x, got[0]);
    }
  }
}

/// A row of zeros is scaled by 1 / epsilon, forward and backward, and stays finite.
TEST_P(NormalizeContract, ZeroRowsStayFinite) {
  const index_t columns = 33;
  NormalizeRowsBackward a;
  a.rows = 1;
  a.columns = columns;
  a.epsilon = .5f;
  a.accumulate = false;
  const Values dy = random_values(columns, 1);
  const auto input = Operand::input(subject(), dense(columns), oracle::zeros(columns));
  const auto slope = Operand::input(subject(), dense(columns), dy);
  const auto dx = Operand::output(subject(), dense(columns));
  a.input = input.floats();
  a.output_gradient = slope.floats();
  a.input_gradient = dx.floats();
  launch(subject(), backend().normalize_rows_backward, a, 1);
  Values want = dy;
  for (double& v : want) v *= 2.;
  expect_equal("input_gradient", dx.values(), want);
}

}  // namespace
}  // namespace vitsnna::contract
