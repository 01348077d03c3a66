// The names of a learner's arrays.
#include "train/dino/learner_state.h"

namespace vitsnna::train {
namespace {

StateEntries entries_of(const DinoLearner& learner) {
  StateEntries entries;
  const DinoNetwork &student = learner.student(), &teacher = learner.teacher();
  add_block(entries, "student/backbone.", student.backbone.parameters());
  add_block(entries, "student/head.", student.head.parameters());
  add_block(entries, "teacher/backbone.", teacher.backbone.parameters());
  add_block(entries, "teacher/head.", teacher.head.parameters());
  add_optimizer(entries, "backbone.", learner.backbone_state());
  add_optimizer(entries, "head.", learner.head_state());
  entries.push_back({"centre", {student.head.config().out_dim}, learner.centre()});
  return entries;
}

}  // namespace

void collect(engine::Queue& queue, const DinoLearner& learner, Tensors& tensors) {
  collect(queue, entries_of(learner), tensors);
}

void restore(engine::Queue& queue, DinoLearner& learner, const Tensors& tensors,
             const std::string& where) {
  restore(queue, entries_of(learner), tensors, where);
  learner.refresh();
}

}  // namespace vitsnna::train
