// Contract of the linear layers and of the value norm.
#include <memory>

#include "tests/contract/check.h"
#include "tests/oracle/linear.h"

namespace vitsnna::contract {
namespace {

using kernels::Epilogue;
using kernels::Linear;
using kernels::LinearPreparation;
using kernels::LinearWeight;
using kernels::LinearWeightGradient;
using kernels::PrepareLinear;
using kernels::ValueNorm;

VITSNNA_CONTRACT(LinearContract);

/// A weight on the device, prepared if the backend wants it so.
class DeviceWeight {
 public:
  DeviceWeight(const Subject& subject, LinearWeight extents, const Values& master)
      : weight_(extents),
        master_(Operand::input(
            subject, dense(1, extents.out_features, extents.in_features, DType::f32), master)),
        prepared_(Operand::output(
            subject, dense(subject.backend->linear_prepared_bytes(extents), Storage::u8))) {
    weight_.master = master_.floats();
    if (subject.backend->linear_prepared_bytes(extents) == 0) return;
    const LinearPreparation preparation{weight_, prepared_.data()};
    launch(subject, subject.backend->prepare_linear, {&preparation, 1}, 1);
    weight_.prepared = prepared_.data();
  }
  const LinearWeight& get() const { return weight_; }
  const Operand& prepared() const { return prepared_; }

 private:
  LinearWeight weight_;
  Operand master_, prepared_;
};

struct Shape {
  index_t items, rows, inner, outer;
};
const Shape shapes[] = {{1, 1, 1, 1},    {1, 1, 64, 48},    {3, 1, 33, 7},     {2, 33, 65, 100},
                        {3, 70, 96, 33}, {1, 197, 64, 192}, {2, 145, 192, 64}, {1, 600, 8, 5}};

struct Options {
  Epilogue epilogue = Epilogue::none;
  bool bias = false, residual = false, transposed = false, keep = false;
  DType output = DType::f32;
  bool factors = false, in_place = true;  ///< of the residual
};

struct LinearRun {
  const Subject& subject;
  Linear args;
  oracle::LinearOperands operands;  ///< `weight` holds the master, before rounding
  bool in_place = true;             ///< the residual is the output
  Values image_factors;

  Outputs operator()(int threads) const {
    Linear a = args;
    const index_t inner = a.weight.inner(), outer = a.weight.outer();
    const DType dtype = a.weight.dtype;
    const DeviceWeight weight(subject, a.weight, operands.weight);
    const auto input =
        Operand::input(subject, strided(a.items, a.rows, inner, dtype), operands.input);
    const auto bias =
        Operand::input(subject, dense(static_cast<index_t>(operands.bias.size())), operands.bias);
    const auto auxiliary = Operand::input(subject, strided(a.auxiliary_items, a.rows, outer, dtype),
                                          operands.auxiliary);
    const Layout layout = strided(a.items, a.rows, outer, a.output.dtype);
    const bool has_residual = !operands.residual.empty();
    const auto output = has_residual && in_place
                            ? Operand::updated(subject, layout, operands.residual)
                            : Operand::output(subject, layout);
    const auto residual =
        Operand::input(subject, layout,
                       has_residual ? operands.residual : oracle::zeros(a.items * a.rows * outer));
    const auto factors =
        Operand::input(subject, dense(static_cast<index_t>(image_factors.size())), image_factors);
    const auto kept =
        Operand::output(subject, strided(a.items, a.rows, outer, a.pre_activation.dtype));
    a.weight = weight.get();
    a.input = input.matrix();
    a.bias = operands.bias.empty() ? nullptr : bias.floats();
    a.output = output.matrix();
    if (has_residual)
      a.residual = in_place ? kernels::ConstMatrix(output.matrix()) : residual.matrix();
    if (!image_factors.empty()) a.factors.factors = factors.floats();
    if (a.pre_activation.row_stride != 0) {
      a.pre_activation = kept.matrix();
    } else {
      a.pre_activation = {};
    }
    if (a.auxiliary_items > 0) a.auxiliary = auxiliary.matrix();
    launch(subject, subject.backend->linear, a, threads);
    return {output.values(), kept.values()};
  }
};

/// Two sizes of images one after another, read from row 2 of all on: a slab begins inside an image.
void set_factors(LinearRun& run) {
  const index_t rows = run.args.items * run.args.rows;
  kernels::RowFactors& factors = run.args.factors;
  factors.first_row = 2;
  factors.num_runs = 2;
  factors.runs[0] = {0, 3, 1};
  factors.runs[1] = {12, 2, 5};
  for (index_t k = 0; k < 6 + rows / 2; ++k) {
    run.image_factors.push_back(k % 3 == 1 ? 0. : 1. + static_cast<double>(k % 5) / 8.);
  }
  for (index_t r = 2; r < rows + 2; ++r) {
    const index_t image = r < 12 ? 1 + r / 3 : 5 + (r - 12) / 2;
    run.operands.factors.push_back(run.image_factors[static_cast<std::size_t>(image)]);
  }
}

LinearRun make_run(const Subject& subject, const Shape& shape, const Options& options) {
  const DType dtype = subject.precision;
  LinearRun run{subject, {}, {}, true, {}};
  Linear& a = run.args;
  a.items = shape.items;
  a.rows = shape.rows;
  a.weight.dtype = dtype;
  a.weight.transposed = options.transposed;
  a.weight.out_features = options.transposed ? shape.inner : shape.outer;
  a.weight.in_features = options.transposed ? shape.outer : shape.inner;
  a.epilogue = options.epilogue;
  a.output.dtype = options.output;
  a.pre_activation.dtype = dtype;
  a.pre_activation.row_stride = options.keep ? 1 : 0;
  const index_t outputs = shape.items * shape.rows * shape.outer;
  run.operands.input = random_values(shape.items * shape.rows * shape.inner, 1, dtype);
  run.operands.weight = random_values(shape.inner * shape.outer, 2);
  if (options.bias) run.operands.bias = random_values(shape.outer, 3);
  if (options.residual) run.operands.residual = random_values(outputs, 4);
  run.in_place = options.in_place;
  if (options.factors) set_factors(run);
  if (options.epilogue == Epilogue::gelu_backward) {
    a.auxiliary_items = shape.items == 3 ? 1 : shape.items;  // gradients sharing one forward
    run.operands.auxiliary =
        random_values(a.auxiliary_items * shape.rows * shape.outer, 5, dtype, 3.);
  }
  return run;
}

TEST_P(LinearContract, LinearWithEveryEpilogueIsTheFormula) {
  const Options variants[] = {
      {Epilogue::none, true, false, false, false, DType::f32},
      {Epilogue::none, false, false, true, false, precision()},
      {Epilogue::none, true, true, false, false, DType::f32},
      {Epilogue::none, false, true, true, false, DType::f32},
      {Epilogue::gelu, true, false, false, false, precision()},
      {Epilogue::gelu, true, false, false, true, precision()},
      {Epilogue::gelu_backward, false, false, true, false, precision()},
      {Epilogue::gelu_backward, false, false, true, false, DType::f32},
      {Epilogue::none, true, true, false, false, DType::f32, false, false},
      {Epilogue::none, true, true, false, false, DType::f32, true, false},
      {Epilogue::none, true, true, false, false, DType::f32, true, true},
      {Epilogue::gelu, true, true, false, false, DType::f32, true, true},
      {Epilogue::gelu, true, true, false, false, DType::f32, true, false},
      {Epilogue::gelu_backward, false, true, true, false, DType::f32, true, true},
  };
  for (const Shape& shape : shapes) {
    for (const Options& options : variants) {
      SCOPED_TRACE(testing::Message()
                   << shape.items << "x" << shape.rows << " " << shape.inner << "->" << shape.outer
                   << " epilogue " << static_cast<int>(options.epilogue) << " transposed "
                   << options.transposed << " residual " << options.residual << " in place "
                   << options.in_place << " factors " << options.factors);
      const LinearRun run = make_run(subject(), shape, options);
      const Outputs got = run_on_every_team(subject(), run);
      oracle::LinearOperands v = run.operands;
      v.weight = oracle::rounded(v.weight, precision());
      const auto want = oracle::linear<double>(run.args, v);
      const auto naive = oracle::linear<float>(run.args, v);
      const double scale = largest(want.pre_activation) + 1.;
      expect_close("output", got[0], want.output, naive.output, scale, options.output);
      if (options.keep) {
        expect_close("pre_activation", got[1], want.pre_activation, naive.pre_activation, scale,
                     precision());
      }
    }
  }
}

TEST_P(LinearContract, ARowsBitsDoNotDependOnTheItemsBesideIt) {
  const LinearRun whole = make_run(subject(), {5, 37, 96, 80},
                                   {Epilogue::gelu, true, false, false, false, precision()});
  const Values together = whole(1)[0];
  for (index_t item = 0; item < 5; ++item) {
    LinearRun alone = whole;
    alone.args.items = 1;
    alone.operands.input = part(whole.operands.input, 5, item);
    EXPECT_TRUE(same_bits(alone(1)[0], part(together, 5, item))) << "item " << item;
  }
}

TEST_P(LinearContract, LinearOfTheTransposeIsTheGradientOfTheInput) {
  if (precision() != DType::f32) GTEST_SKIP() << "bf16 is too coarse for finite differences";
  const Shape shape{2, 5, 24, 17};  // dy has 24 columns, x has 17
  const LinearRun run =
      make_run(subject(), shape, {Epilogue::gelu_backward, false, false, true, false, DType::f32});
  const Values gradient = run(1)[0];
  // Forward: y = gelu(t) W^T with t the auxiliary; dL/dt = (dy W) * gelu'(t).
  Linear forward;
  forward.items = shape.items;
  forward.rows = shape.rows;
  forward.weight = run.args.weight;
  forward.weight.transposed = false;
  expect_derivative(
      "d input",
      [&](const Values& t) {
        oracle::LinearOperands v;
        v.input = oracle::gelu<double>(t, DType::f32);
        v.weight = run.operands.weight;
        return dot(oracle::linear<double>(forward, v).output, run.operands.input);
      },
      run.operands.auxiliary, gradient);
}

TEST_P(LinearContract, ManyWeightsArePreparedAsEachIsAlone) {
  constexpr index_t count = 70;  // more than one launch takes
  std::vector<std::unique_ptr<const DeviceWeight>> alone;
  std::vector<std::unique_ptr<const Operand>> together;
  std::vector<LinearPreparation> preparations;
  for (index_t k = 0; k < count; ++k) {
    LinearWeight weight;
    weight.dtype = precision();
    weight.out_features = k == 3 ? 130 : 1 + k % 5;
    weight.in_features = k == 3 ? 130 : 1 + k;
    weight.transposed = k % 2 == 1;
    const Values master =
        random_values(weight.out_features * weight.in_features, static_cast<std::uint64_t>(k) + 1);
    alone.emplace_back(new DeviceWeight(subject(), weight, master));
    const index_t bytes = backend().linear_prepared_bytes(weight);
    together.emplace_back(new Operand(Operand::output(subject(), dense(bytes, Storage::u8))));
    preparations.push_back({alone.back()->get(), together.back()->data()});
  }
  launch(subject(), backend().prepare_linear, {preparations.data(), count}, 2);
  for (std::size_t k = 0; k < together.size(); ++k) {
    EXPECT_EQ(together[k]->values(), alone[k]->prepared().values()) << k;
  }
}

TEST_P(LinearContract, WeightGradientIsTheSumOverRows) {
  std::vector<Shape> with_tall(std::begin(shapes), std::end(shapes));
  with_tall.push_back({3, 11000, 2, 8});  // as rows of a training step
  for (const auto& extents : with_tall) {
    const index_t items = extents.items, rows = extents.rows, inner = extents.inner,
                  outer = extents.outer;
    for (const bool weight_only : {false, true}) {
      SCOPED_TRACE(testing::Message() << items << "x" << rows << " " << inner << "->" << outer);
      LinearWeightGradient a;
      a.items = items;
      a.rows = rows;
      a.in_features = inner;
      a.out_features = outer;
      const Values x = random_values(items * rows * inner, 1, precision());
      const Values dy = random_values(items * rows * outer, 2, precision());
      const Values ones(static_cast<std::size_t>(inner * outer), 1.);
      const Values one_each(static_cast<std::size_t>(outer), 1.);
      const Outputs got = run_on_every_team(subject(), [&](int threads) {
        const auto input = Operand::input(subject(), strided(items, rows, inner, precision()), x);
        const auto slope = Operand::input(subject(), strided(items, rows, outer, precision()), dy);
        const auto weight = Operand::updated(subject(), dense(inner * outer), ones);
        const auto bias = Operand::updated(subject(), dense(outer), one_each);
        a.input = input.matrix();
        a.output_gradient = slope.matrix();
        a.weight_gradient = weight.floats();
        a.bias_gradient = weight_only ? nullptr : bias.floats();
        launch(subject(), backend().linear_weight_gradient, a, threads);
        if (!weight_only) {
          const auto bias_alone = Operand::updated(subject(), dense(outer), one_each);
          a.weight_gradient = nullptr;
          a.bias_gradient = bias_alone.floats();
          launch(subject(), backend().linear_weight_gradient, a, threads);
          EXPECT_TRUE(same_bits(bias_alone.values(), bias.values()));
        }
        return Outputs{weight.values(), bias.values()};
      });
      const auto add = [&](oracle::LinearGradients d) {
        for (double& v : d.weight) v += 1.;
        for (double& v : d.bias) v = weight_only ? 1. : v + 1.;
        return d;
      };
      const auto want = add(oracle::linear_weight_gradient<double>(a, x, dy));
      const auto naive = add(oracle::linear_weight_gradient<float>(a, x, dy));
      const double scale = std::sqrt(static_cast<double>(items * rows)) + 1.;
      expect_close("weight_gradient", got[0], want.weight, naive.weight, scale);
      expect_close("bias_gradient", got[1], want.bias, naive.bias, scale);
      if (precision() != DType::f32 || inner * outer > 3000) continue;
      Values gradient = got[0];
      for (double& v : gradient) v -= 1.;
      Linear forward;
      forward.items = items;
      forward.rows = rows;
      forward.weight.out_features = outer;
      forward.weight.in_features = inner;
      expect_derivative(
          "d weight",
          [&](const Values& w) {
            oracle::LinearOperands v;
            v.input = x;
            v.weight = w;
            return dot(oracle::linear<double>(forward, v).output, dy);
          },
          random_values(inner * outer, 3), gradient);
    }
  }
}

TEST_P(LinearContract, ValueNormIsTheNormOfTheTransformedValues) {
  struct NormShape {
    index_t items, rows, heads, head_dim, embed_dim;
  };
  for (const auto& extents :
       {NormShape{1, 1, 1, 8, 8}, NormShape{2, 2, 3, 32, 96}, NormShape{1, 33, 2, 96, 192},
        NormShape{1, 197, 3, 64, 192}, NormShape{3, 70, 3, 64, 100}}) {
    const index_t items = extents.items, rows = extents.rows, heads = extents.heads,
                  head_dim = extents.head_dim, embed_dim = extents.embed_dim;
    SCOPED_TRACE(testing::Message() << items << "x" << rows << " heads " << heads << "x" << head_dim
                                    << " -> " << embed_dim);
    ValueNorm a;
    a.items = items;
    a.rows = rows;
    a.heads = heads;
    a.head_dim = head_dim;
    a.projection.dtype = precision();
    a.projection.out_features = embed_dim;
    a.projection.in_features = heads * head_dim;
    const Values value = random_values(items * rows * heads * head_dim, 1, precision());
    const Values projection = random_values(embed_dim * heads * head_dim, 2);
    const Values used = oracle::rounded(projection, precision());
    const Values scale = random_values(items * heads * rows, 3);
    for (const int wanted : {3, 1, 2, 7, 5, 6}) {  // bit 0: norm, bit 1: per head, bit 2: scaled
      const Values factors = wanted & 4 ? scale : Values{};
      const auto want = oracle::value_norm<double>(a, value, used, factors);
      const auto naive = oracle::value_norm<float>(a, value, used, factors);
      const Outputs got = run_on_every_team(subject(), [&](int threads) {
        const DeviceWeight weight(subject(), a.projection, projection);
        const auto v =
            Operand::input(subject(), strided(items, rows, heads * head_dim, precision()), value);
        const auto s = Operand::input(subject(), dense(items * heads * rows), scale);
        const auto norm = Operand::output(subject(), dense(items * rows));
        const auto per_head = Operand::output(subject(), dense(items * heads * rows));
        ValueNorm run = a;
        run.value = v.matrix();
        run.projection = weight.get();
        run.scale = wanted & 4 ? s.floats() : nullptr;
        run.norm = wanted & 1 ? norm.floats() : nullptr;
        run.norm_per_head = wanted & 2 ? per_head.floats() : nullptr;
        launch(subject(), backend().value_norm, run, threads);
        return Outputs{norm.values(), per_head.values()};
      });
      // The sums are fp32 in either precision; what bf16 rounds is the scaled value.
      if (wanted & 1) expect_close("norm", got[0], want.norm, naive.norm, largest(want.norm));
      if (wanted & 2) {
        expect_close("norm_per_head", got[1], want.per_head, naive.per_head,
                     largest(want.per_head));
      }
    }
  }
}

}  // namespace
}  // namespace vitsnna::contract
