// Training losses, each with the gradient of its logits. SPEC sections 4 and 5.
#pragma once

#include <string>

#include "kernels/error.h"
#include "kernels/types.h"

namespace vitsnna::kernels {

/// DINO's cross-entropy between views. Crops 0 and 1 are the teacher's views.
///   p_vb = softmax(student_vb / student_temperature)
///   q_ib = softmax((teacher_ib - centre) / teacher_temperature),  i in {0, 1}
///   loss = sum_b sum_i sum_{v != i} -q_ib . ln p_vb / (pairs * global_items)
/// with pairs = 2 (student_crops - 1). Two sums are added for whoever updates centre and monitors;
/// since they and the gradient are divided by the items of all parts of a batch, parts (of an
/// accumulated batch, of ranks) add up to the whole. Student crops see q_0 + q_1 but for the two
/// that are teacher's views, so each q and each p is worked out once. Fixed summation order.
struct DinoLoss {
  index_t items = 0;          ///< images here
  index_t global_items = 0;   ///< images of the whole batch
  index_t student_crops = 2;  ///< views of an image that the student sees, at least 2
  index_t out_dim = 0;
  ConstMatrix student;            ///< (student_crops, items, out_dim) logits, fp32 or bf16
  ConstMatrix teacher;            ///< (2, items, out_dim) logits, fp32 or bf16
  const float* centre = nullptr;  ///< (out_dim)
  float student_temperature = .1f;
  const float* teacher_temperature = nullptr;  ///< device memory, one number
  Matrix student_gradient;  ///< as `student`, overwritten; may be `student` itself
  float* teacher_sum =
      nullptr;                ///< (out_dim), += sum of the teacher's logits over its 2 items rows
  float* monitors = nullptr;  ///< (2), += loss, teacher's entropy; their difference is KL(q|p)
};
inline const char* op_name(const DinoLoss&) { return "dino_loss"; }
/// Every backend's first act: throws Error where there is no pair of views, or where the gradient
/// is not of the student's type.
inline void check(const DinoLoss& a) {
  if (a.student_crops < 2) {
    throw Error("op dino_loss: " + std::to_string(a.student_crops) +
                " crops of the student's, at least 2 wanted");
  }
  if (a.student_gradient.dtype != a.student.dtype) {
    throw Error(std::string("op dino_loss: gradient in ") + name_of(a.student_gradient.dtype) +
                ", " + name_of(a.student.dtype) + " as the student's logits wanted");
  }
}
inline double flops(const DinoLoss& a) {
  return 10. * static_cast<double>((a.student_crops + 2) * a.items) *
         static_cast<double>(a.out_dim);
}
inline double bytes(const DinoLoss& a) {
  return static_cast<double>(a.items) * static_cast<double>(a.out_dim) *
         static_cast<double>(2 * a.student_crops * size_of(a.student.dtype) +
                             2 * size_of(a.teacher.dtype));
}

/// centre = momentum centre + (1 - momentum) sum / rows; the sum is then zero again.
struct UpdateCentre {
  index_t out_dim = 0;
  index_t rows = 0;  ///< teacher rows in `sum`: 2 * global_items
  float momentum = .9f;
  float* sum = nullptr;     ///< (out_dim)
  float* centre = nullptr;  ///< (out_dim)
};
inline const char* op_name(const UpdateCentre&) { return "update_centre"; }
inline double flops(const UpdateCentre& a) { return 3. * static_cast<double>(a.out_dim); }
inline double bytes(const UpdateCentre& a) { return 16. * static_cast<double>(a.out_dim); }

/// Binary cross-entropy with logits x and targets y in [0, 1]:
///   loss += sum w_c y softplus(-x) + (1 - y) softplus(x)  /  (global_items * classes)
/// and its gradient; w_c is the weight of a class's positives.
struct BceWithLogits {
  index_t items = 0;
  index_t global_items = 0;
  index_t classes = 0;
  const float* logits = nullptr;            ///< (items, classes)
  const float* targets = nullptr;           ///< (items, classes)
  const float* positive_weights = nullptr;  ///< (classes), or null: 1
  float* gradient = nullptr;                ///< (items, classes), overwritten
  float* loss = nullptr;                    ///< one number, added to
};
inline const char* op_name(const BceWithLogits&) { return "bce_with_logits"; }
inline double flops(const BceWithLogits& a) {
  return 20. * static_cast<double>(a.items * a.classes);
}
inline double bytes(const BceWithLogits& a) {
  return 12. * static_cast<double>(a.items * a.classes);
}

}  // namespace vitsnna::kernels
