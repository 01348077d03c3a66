// Contract of the training losses.
#include "tests/contract/check.h"
#include "tests/oracle/training.h"
#include "tests/support/expect_error.h"

namespace vitsnna::contract {
namespace {

using kernels::BceWithLogits;
using kernels::DinoLoss;
using kernels::UpdateCentre;

VITSNNA_CONTRACT(LossContract);

struct DinoShape {
  index_t items, crops, out_dim;
};
const DinoShape dino_shapes[] = {{1, 2, 1}, {3, 5, 7}, {2, 10, 192}, {1, 3, 1025}, {2, 4, 4100}};

struct DinoOperands {
  DinoLoss args;
  Values student, teacher, centre, teacher_sum, monitors;
  float teacher_temperature = .05f;
};

DinoOperands dino_operands(const DinoShape& shape, DType dtype, DType teacher_dtype) {
  DinoOperands o;
  o.args.items = shape.items;
  o.args.global_items = 3 * shape.items;  // one of three parts
  o.args.student_crops = shape.crops;
  o.args.out_dim = shape.out_dim;
  o.args.student_gradient.dtype = dtype;
  o.student = random_values(shape.crops * shape.items * shape.out_dim, 1, dtype);
  o.args.teacher.dtype = teacher_dtype;
  o.teacher = random_values(2 * shape.items * shape.out_dim, 2, teacher_dtype);
  o.centre = random_values(shape.out_dim, 3, DType::f32, .3);
  o.teacher_sum = random_values(shape.out_dim, 4);
  o.monitors = {.5, .25};
  return o;
}
DinoOperands dino_operands(const DinoShape& shape, DType dtype) {
  return dino_operands(shape, dtype, dtype);
}

/// {gradient, teacher_sum, monitors}; the gradient in place of the logits or beside them.
Outputs run_dino(const Subject& subject, const DinoOperands& o, DType dtype, bool in_place,
                 int threads) {
  DinoLoss a = o.args;
  const Layout rows = strided(a.student_crops, a.items, a.out_dim, dtype);
  const auto student = in_place ? Operand::updated(subject, rows, o.student)
                                : Operand::input(subject, rows, o.student);
  const auto gradient = Operand::output(subject, rows);
  const auto teacher =
      Operand::input(subject, strided(2, a.items, a.out_dim, a.teacher.dtype), o.teacher);
  const auto centre = Operand::input(subject, dense(a.out_dim), o.centre);
  const auto temperature =
      Operand::input(subject, dense(1), {static_cast<double>(o.teacher_temperature)});
  const auto teacher_sum = Operand::updated(subject, dense(a.out_dim), o.teacher_sum);
  const auto monitors = Operand::updated(subject, dense(2), o.monitors);
  a.student = student.matrix();
  a.teacher = teacher.matrix();
  a.centre = centre.floats();
  a.teacher_temperature = temperature.floats();
  a.student_gradient = in_place ? student.matrix() : gradient.matrix();
  a.teacher_sum = teacher_sum.floats();
  a.monitors = monitors.floats();
  launch(subject, subject.backend->dino_loss, a, threads);
  return {in_place ? student.values() : gradient.values(), teacher_sum.values(), monitors.values()};
}

TEST_P(LossContract, DinoLossIsTheFormula) {
  for (const DinoShape& shape : dino_shapes) {
    // The networks need not agree on a type: every other shape mixes them.
    const DType teacher = shape.crops % 2 == 0        ? precision()
                          : precision() == DType::f32 ? DType::bf16
                                                      : DType::f32;
    SCOPED_TRACE(testing::Message()
                 << shape.items << " items, " << shape.crops << " crops of " << shape.out_dim);
    const DinoOperands o = dino_operands(shape, precision(), teacher);
    const bool in_place = shape.items % 2 == 0;
    const Outputs got = run_on_every_team(subject(), [&](int threads) {
      return run_dino(subject(), o, precision(), in_place, threads);
    });
    const auto add = [&](oracle::DinoResult result) {
      for (std::size_t k = 0; k < o.teacher_sum.size(); ++k)
        result.teacher_sum[k] += o.teacher_sum[k];
      for (std::size_t k = 0; k < 2; ++k) result.monitors[k] += o.monitors[k];
      return result;
    };
    const auto temperature = static_cast<double>(o.teacher_temperature);
    const auto want =
        add(oracle::dino_loss<double>(o.args, o.student, o.teacher, o.centre, temperature));
    const auto naive =
        add(oracle::dino_loss<float>(o.args, o.student, o.teacher, o.centre, temperature));
    // Logits of 1 over a temperature of .05: exponents of some 30, whose rounding is relative.
    const double scale = 32. / (static_cast<double>(o.args.global_items) * .1);
    expect_close("gradient", got[0], want.gradient, naive.gradient, scale, precision());
    expect_close("teacher_sum", got[1], want.teacher_sum, naive.teacher_sum,
                 2. * static_cast<double>(shape.items) + 1.);
    expect_close("monitors", got[2], want.monitors, naive.monitors, 64.);
  }
}

TEST_P(LossContract, DinoGradientIsTheDerivative) {
  if (precision() != DType::f32) skip("bf16 is too coarse for finite differences");
  const DinoOperands o = dino_operands({2, 3, 9}, DType::f32);
  const Outputs got = run_dino(subject(), o, DType::f32, false, 1);
  expect_derivative(
      "d student",
      [&](const Values& student) {
        return oracle::dino_loss<double>(o.args, student, o.teacher, o.centre,
                                         static_cast<double>(o.teacher_temperature))
            .monitors[0];
      },
      o.student, got[0]);
}

TEST_P(LossContract, DinoWantsAPairOfViews) {
  for (const index_t crops : {index_t{0}, index_t{1}}) {
    DinoOperands o = dino_operands({2, 2, 7}, precision());
    o.args.student_crops = crops;
    o.student.resize(static_cast<std::size_t>(crops * 2 * 7));
    EXPECT_ERROR(run_dino(subject(), o, precision(), false, 1), "dino_loss",
                 std::to_string(crops) + " crops");
  }
}

/// A batch in two parts, as accumulation and ranks take it, is the whole batch.
TEST_P(LossContract, DinoPartsAddUpToTheBatch) {
  DinoOperands whole = dino_operands({4, 3, 33}, precision());
  whole.args.global_items = 4;
  const Outputs at_once = run_dino(subject(), whole, precision(), false, 1);
  const auto rows = [&](const Values& values, index_t views, index_t half) {
    Values result;
    for (index_t view = 0; view < views; ++view) {
      const auto first = values.begin() + (view * 4 + half * 2) * 33;
      result.insert(result.end(), first, first + 2 * 33);
    }
    return result;
  };
  DinoOperands part = whole;
  part.args.items = 2;
  for (index_t half = 0; half < 2; ++half) {
    part.student = rows(whole.student, 3, half);
    part.teacher = rows(whole.teacher, 2, half);
    const Outputs got = run_dino(subject(), part, precision(), false, 1);
    expect_equal("gradient", got[0], rows(at_once[0], 3, half));
    part.teacher_sum = got[1];
    part.monitors = got[2];
  }
  expect_close("teacher_sum", part.teacher_sum, at_once[1], at_once[1], 8.);
  expect_close("monitors", part.monitors, at_once[2], at_once[2], 64.);
}

TEST_P(LossContract, UpdateCentreIsTheAverage) {
  for (const index_t columns : {index_t{1}, index_t{33}, index_t{3000}}) {
    const Values sum = random_values(columns, 1, DType::f32, 6.);
    const Values centre = random_values(columns, 2);
    UpdateCentre a;
    a.out_dim = columns;
    a.rows = 6;
    a.momentum = .75f;
    const Outputs got = run_on_every_team(subject(), [&](int threads) {
      const auto s = Operand::updated(subject(), dense(columns), sum);
      const auto c = Operand::updated(subject(), dense(columns), centre);
      a.sum = s.floats();
      a.centre = c.floats();
      launch(subject(), backend().update_centre, a, threads);
      return Outputs{c.values(), s.values()};
    });
    Values want;
    for (std::size_t k = 0; k < sum.size(); ++k) want.push_back(.75 * centre[k] + .25 * sum[k] / 6);
    expect_close("centre", got[0], want, oracle::rounded(want, DType::f32), 1.);
    expect_equal("sum", got[1], Values(sum.size(), 0.));
  }
}

TEST_P(LossContract, BceIsTheFormulaAndItsDerivative) {
  for (const auto& extents : {std::pair<index_t, index_t>{1, 1}, {7, 4}, {300, 3}}) {
    const index_t items = extents.first, classes = extents.second;
    for (const bool weighted : {false, true}) {
      SCOPED_TRACE(testing::Message() << items << "x" << classes << " weighted " << weighted);
      BceWithLogits a;
      a.items = items;
      a.global_items = items + 2;
      a.classes = classes;
      Values logits = random_values(items * classes, 1, DType::f32, 8.);
      if (items > 1) logits[0] = 200.;  // whose exponential overflows
      const Values targets = random_keep(items * classes, 2);
      Values weights;
      if (weighted) {
        for (index_t c = 0; c < classes; ++c) weights.push_back(1.5 + static_cast<double>(c));
      }
      const Outputs got = run_on_every_team(subject(), [&](int threads) {
        const auto x = Operand::input(subject(), dense(items * classes), logits);
        const auto y = Operand::input(subject(), dense(items * classes), targets);
        const auto w =
            Operand::input(subject(), dense(classes), weighted ? weights : oracle::zeros(classes));
        const auto gradient = Operand::output(subject(), dense(items * classes));
        const auto loss = Operand::updated(subject(), dense(1), {.5});
        a.logits = x.floats();
        a.targets = y.floats();
        a.positive_weights = weighted ? w.floats() : nullptr;
        a.gradient = gradient.floats();
        a.loss = loss.floats();
        launch(subject(), backend().bce_with_logits, a, threads);
        return Outputs{gradient.values(), loss.values()};
      });
      const auto want = oracle::bce_with_logits<double>(a, logits, targets, weights);
      const auto naive = oracle::bce_with_logits<float>(a, logits, targets, weights);
      expect_close("gradient", got[0], want.gradient, naive.gradient, largest(want.gradient));
      expect_close("loss", got[1], {.5 + want.loss}, {.5 + naive.loss}, 1. + want.loss);
      expect_derivative(
          "d logits",
          [&](const Values& x) {
            return oracle::bce_with_logits<double>(a, x, targets, weights).loss;
          },
          logits, got[0]);
    }
  }
}

}  // namespace
}  // namespace vitsnna::contract
