// Contract of the ops on rows: layer norm and its gradients, GELU, copies.
#include "tests/contract/check.h"
#include "tests/oracle/rows.h"

namespace vitsnna::contract {
namespace {

using kernels::CopyRows;
using kernels::Gelu;
using kernels::LayerNorm;
using kernels::LayerNormBackward;

struct Shape {
  index_t items, rows, columns;
};
const Shape shapes[] = {{1, 1, 1},   {1, 1, 16},   {1, 2, 24},   {3, 1, 33},
                        {2, 33, 65}, {3, 70, 8},   {1, 197, 96}, {1, 300, 384},
                        {1, 5, 640}, {1, 3, 1022}, {1, 2, 1024}, {3, 35, 1100}};

VITSNNA_CONTRACT(RowsContract);

TEST_P(RowsContract, LayerNormIsTheFormula) {
  for (const auto& extents : shapes) {
    const index_t items = extents.items, rows = extents.rows, columns = extents.columns;
    SCOPED_TRACE(testing::Message() << items << "x" << rows << "x" << columns);
    // An offset much larger than the spread: a one-pass variance would cancel.
    Values x = random_values(items * rows * columns, 1);
    for (double& v : x) v = static_cast<double>(static_cast<float>(v + 3.));
    const Values gain = random_values(columns, 2), shift = random_values(columns, 3);
    LayerNorm a;
    a.items = items;
    a.rows = rows;
    a.columns = columns;
    const Outputs got = run_on_every_team(subject(), [&](int threads) {
      const auto input = Operand::input(subject(), strided(items, rows, columns, DType::f32), x);
      const auto g = Operand::input(subject(), dense(columns), gain);
      const auto b = Operand::input(subject(), dense(columns), shift);
      const auto output = Operand::output(subject(), strided(items, rows, columns, precision()));
      a.input = input.matrix();
      a.gain = g.floats();
      a.shift = b.floats();
      a.output = output.matrix();
      launch(subject(), backend().layer_norm, a, threads);
      return Outputs{output.values()};
    });
    // A row of one column is its own mean: what rounds is the mean, times 1 / sqrt(epsilon).
    const double amplification = columns == 1 ? 4. / std::sqrt(1e-6) : 4.;
    expect_close("output", got[0], oracle::layer_norm<double>(a, x, gain, shift),
                 oracle::layer_norm<float>(a, x, gain, shift), amplification, precision());
  }
}

struct BackwardRun {
  Values input_gradient, gain_gradient, shift_gradient;
};

BackwardRun layer_norm_backward(const Subject& subject, LayerNormBackward a, const Values& x,
                                const Values& gain, const Values& dy, const Values& initial,
                                DType dtype, bool parameters, int threads) {
  const auto input =
      Operand::input(subject, strided(a.input_items, a.rows, a.columns, DType::f32), x);
  const auto g = Operand::input(subject, dense(a.columns), gain);
  const auto slope = Operand::input(subject, strided(a.items, a.rows, a.columns, dtype), dy);
  const Layout layout = strided(a.items, a.rows, a.columns, DType::f32);
  const auto dx =
      a.accumulate ? Operand::updated(subject, layout, initial) : Operand::output(subject, layout);
  const Values ones(static_cast<std::size_t>(a.columns), 1.);
  const auto dgain = Operand::updated(subject, dense(a.columns), ones);
  const auto dshift = Operand::updated(subject, dense(a.columns), ones);
  a.input = input.matrix();
  a.gain = g.floats();
  a.output_gradient = slope.matrix();
  a.input_gradient = dx.matrix();
  a.gain_gradient = parameters ? dgain.floats() : nullptr;
  a.shift_gradient = parameters ? dshift.floats() : nullptr;
  launch(subject, subject.backend->layer_norm_backward, a, threads);
  return {dx.values(), dgain.values(), dshift.values()};
}

TEST_P(RowsContract, LayerNormBackwardIsTheGradient) {
  for (const auto& extents : shapes) {
    const index_t items = extents.items, rows = extents.rows, columns = extents.columns;
    for (const bool shared_input : {false, true}) {
      SCOPED_TRACE(testing::Message()
                   << items << "x" << rows << "x" << columns << " shared " << shared_input);
      LayerNormBackward a;
      a.items = items;
      a.input_items = shared_input ? 1 : items;
      a.rows = rows;
      a.columns = columns;
      a.accumulate = shared_input;
      // One column or two: dx vanishes but for epsilon, so only its smallness could be seen.
      a.epsilon = columns < 4 ? .1f : 1e-6f;
      a.output_gradient.dtype = precision();
      const Values x = random_values(a.input_items * rows * columns, 1);
      const Values gain = random_values(columns, 2);
      const Values dy = random_values(items * rows * columns, 3, precision());
      const Values initial = random_values(items * rows * columns, 4);
      const bool parameters = items != 2;
      const Outputs got = run_on_every_team(subject(), [&](int threads) {
        BackwardRun run = layer_norm_backward(subject(), a, x, gain, dy, initial, precision(),
                                              parameters, threads);
        return Outputs{run.input_gradient, run.gain_gradient, run.shift_gradient};
      });
      const auto add = [&](oracle::LayerNormGradients d) {
        for (std::size_t k = 0; k < initial.size() && a.accumulate; ++k) d.input[k] += initial[k];
        for (double& v : d.gain) v = parameters ? v + 1. : 1.;
        for (double& v : d.shift) v = parameters ? v + 1. : 1.;
        return d;
      };
      const auto exact = oracle::layer_norm_backward<double>(a, x, gain, dy);
      const auto want = add(exact), naive = add(oracle::layer_norm_backward<float>(a, x, gain, dy));
      const double total = std::sqrt(static_cast<double>(items * rows));
      expect_close("input_gradient", got[0], want.input, naive.input, largest(want.input));
      expect_close("gain_gradient", got[1], want.gain, naive.gain, total);
      expect_close("shift_gradient", got[2], want.shift, naive.shift, total);
      if (a.accumulate || precision() != DType::f32) continue;

      LayerNorm forward;
      forward.items = items;
      forward.rows = rows;
      forward.columns = columns;
      forward.epsilon = a.epsilon;
      const Values shift = oracle::zeros(columns);
      expect_derivative(
          "d input",
          [&](const Values& v) {
            return dot(oracle::layer_norm<double>(forward, v, gain, shift), dy);
          },
          x, got[0]);
      if (!parameters) continue;
      Values gain_gradient = got[1];
      for (double& v : gain_gradient) v -= 1.;
      expect_derivative(
          "d gain",
          [&](const Values& v) {
            return dot(oracle::layer_norm<double>(forward, x, v, shift), dy);
          },
          gain, gain_gradient);
    }
  }
}

TEST_P(RowsContract, LayerNormBackwardInTwoBatchesEqualsOne) {
  for (const index_t columns : {40, 640, 1100}) {
    SCOPED_TRACE(columns);
    LayerNormBackward a;
    a.items = a.input_items = 3;
    a.rows = 45;
    a.columns = columns;
    a.accumulate = false;
    const index_t count = a.rows * a.columns;
    const Values x = random_values(3 * count, 1), gain = random_values(a.columns, 2);
    const Values dy = random_values(3 * count, 3, precision());
    const auto whole = layer_norm_backward(subject(), a, x, gain, dy, {}, precision(), true, 1);
    a.items = a.input_items = 1;
    const auto slope = Operand::updated(subject(), dense(a.columns),
                                        Values(static_cast<std::size_t>(a.columns), 1.));
    const auto offset = Operand::updated(subject(), dense(a.columns),
                                         Values(static_cast<std::size_t>(a.columns), 1.));
    const auto g = Operand::input(subject(), dense(a.columns), gain);
    for (index_t item = 0; item < 3; ++item) {
      const auto input =
          Operand::input(subject(), dense(1, a.rows, a.columns, DType::f32), part(x, 3, item));
      const auto gradient =
          Operand::input(subject(), dense(1, a.rows, a.columns, precision()), part(dy, 3, item));
      const auto dx = Operand::output(subject(), dense(1, a.rows, a.columns, DType::f32));
      a.input = input.matrix();
      a.gain = g.floats();
      a.output_gradient = gradient.matrix();
      a.input_gradient = dx.matrix();
      a.gain_gradient = slope.floats();
      a.shift_gradient = offset.floats();
      launch(subject(), backend().layer_norm_backward, a, 1);
      EXPECT_TRUE(same_bits(dx.values(), part(whole.input_gradient, 3, item)));
    }
    EXPECT_TRUE(same_bits(slope.values(), whole.gain_gradient));
    EXPECT_TRUE(same_bits(offset.values(), whole.shift_gradient));
  }
}

TEST_P(RowsContract, GeluIsTheErfForm) {
  for (const auto& extents : shapes) {
    const index_t items = extents.items, rows = extents.rows, columns = extents.columns;
    for (const bool in_place : {false, true}) {
      SCOPED_TRACE(testing::Message()
                   << items << "x" << rows << "x" << columns << " in place " << in_place);
      Gelu a;
      a.items = items;
      a.rows = rows;
      a.columns = columns;
      const Values x = random_values(items * rows * columns, 5, precision(), 8.);
      const Outputs got = run_on_every_team(subject(), [&](int threads) {
        const Layout layout = strided(items, rows, columns, precision());
        const auto input = in_place ? Operand::updated(subject(), layout, x)
                                    : Operand::input(subject(), layout, x);
        const auto output = Operand::output(subject(), layout);
        a.input = input.matrix();
        a.output = in_place ? input.matrix() : output.matrix();
        launch(subject(), backend().gelu, a, threads);
        return Outputs{in_place ? input.values() : output.values()};
      });
      expect_close("output", got[0], oracle::gelu<double>(x, precision()),
                   oracle::gelu<float>(x, precision()), largest(x), precision());
    }
  }
}

TEST_P(RowsContract, GeluFarFromZeroIsTheIdentityOrZero) {
  const Values x = {-1e30, -100., -20., 0., 20., 100., 1e30};
  const auto input = Operand::input(subject(), dense(1, 1, 7, DType::f32), x);
  const auto output = Operand::output(subject(), dense(1, 1, 7, DType::f32));
  Gelu a;
  a.rows = 1;
  a.columns = 7;
  a.input = input.matrix();
  a.output = output.matrix();
  launch(subject(), backend().gelu, a, 1);
  const Values y = output.values();
  for (int k = 0; k < 4; ++k) EXPECT_NEAR(y[static_cast<std::size_t>(k)], 0., 1e-7) << k;
  for (int k = 4; k < 7; ++k)
    EXPECT_FLOAT_EQ(static_cast<float>(y[static_cast<std::size_t>(k)]),
                    static_cast<float>(x[static_cast<std::size_t>(k)]));
}

TEST_P(RowsContract, CopyRowsScalesByAnImagesFactor) {
  constexpr index_t rows = 9;  // an image of 5 rows, then two of 2
  const Values factors{9., 0., 1.25, .5}, of_rows{0, 0, 0, 0, 0, 1.25, 1.25, .5, .5};
  for (const index_t columns : {index_t{5}, index_t{64}, index_t{192}}) {
    for (const DType to : {DType::f32, precision()}) {
      for (const bool accumulate : {false, true}) {
        SCOPED_TRACE(testing::Message()
                     << columns << " to " << kernels::name_of(to) << " add " << accumulate);
        const Values x = random_values(rows * columns, 6);
        const Values initial = random_values(rows * columns, 7, to);
        CopyRows a;
        a.rows = rows;
        a.columns = columns;
        a.accumulate = accumulate;
        a.factors.num_runs = 2;
        a.factors.runs[0] = {0, 5, 1};
        a.factors.runs[1] = {5, 2, 2};
        const Outputs got = run_on_every_team(subject(), [&](int threads) {
          const auto scale = Operand::input(subject(), dense(4), factors);
          // Without gaps, rows could be taken for one, but their factors differ.
          const auto layout_of = [&](DType dtype) {
            return columns == 64 ? dense(1, rows, columns, dtype)
                                 : strided(1, rows, columns, dtype);
          };
          const auto source = Operand::input(subject(), layout_of(DType::f32), x);
          const Layout layout = layout_of(to);
          const auto destination = accumulate ? Operand::updated(subject(), layout, initial)
                                              : Operand::output(subject(), layout);
          a.factors.factors = scale.floats();
          a.source = source.matrix();
          a.destination = destination.matrix();
          launch(subject(), backend().copy_rows, a, threads);
          return Outputs{destination.values()};
        });
        Values want;
        for (std::size_t k = 0; k < x.size(); ++k) {
          const double before = accumulate ? initial[k] : 0.;
          want.push_back(before + of_rows[k / static_cast<std::size_t>(columns)] * x[k]);
        }
        // One rounding of a product or of a sum on it, and the store's.
        expect_close("destination", got[0], want, oracle::rounded(want, to), 1., to);
      }
    }
  }
}

TEST_P(RowsContract, CopyRowsConvertsAddsAndZeroes) {
  for (const auto& extents : shapes) {
    const index_t items = extents.items, rows = extents.rows, columns = extents.columns;
    for (const DType from : {DType::f32, precision()}) {
      for (const DType to : {DType::f32, precision()}) {
        for (const bool accumulate : {false, true}) {
          for (const bool broadcast : {false, true}) {
            SCOPED_TRACE(testing::Message()
                         << items << "x" << rows << "x" << columns << " " << kernels::name_of(from)
                         << "->" << kernels::name_of(to) << " add " << accumulate);
            const index_t sources = broadcast ? 1 : items;
            const Values x = random_values(sources * rows * columns, 6, from);
            const Values initial = random_values(items * rows * columns, 7, to);
            CopyRows a;
            a.items = items;
            a.rows = rows;
            a.columns = columns;
            a.accumulate = accumulate;
            const Outputs got = run_on_every_team(subject(), [&](int threads) {
              const auto source =
                  Operand::input(subject(), strided(sources, rows, columns, from), x);
              const Layout layout = strided(items, rows, columns, to);
              const auto destination = accumulate ? Operand::updated(subject(), layout, initial)
                                                  : Operand::output(subject(), layout);
              a.source = source.matrix();
              if (broadcast) a.source.item_stride = 0;
              a.destination = destination.matrix();
              launch(subject(), backend().copy_rows, a, threads);
              return Outputs{destination.values()};
            });
            Values want;
            for (std::size_t k = 0; k < initial.size(); ++k) {
              const auto value = static_cast<float>(x[k % x.size()]);
              const float sum = accumulate ? static_cast<float>(initial[k]) + value : value;
              want.push_back(static_cast<double>(oracle::stored(sum, to)));
            }
            expect_equal("destination", got[0], want);
          }
        }
      }
    }
    CopyRows a;
    a.items = items;
    a.rows = rows;
    a.columns = columns;
    const auto destination = Operand::output(subject(), strided(items, rows, columns, precision()));
    a.destination = destination.matrix();
    launch(subject(), backend().copy_rows, a, 1);
    expect_equal("zeros", destination.values(), oracle::zeros(items * rows * columns));
  }
}

}  // namespace
}  // namespace vitsnna::contract
