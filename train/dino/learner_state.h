// All that a learner has learnt, as tensors: what a checkpoint holds and a resumed run starts from.
#pragma once

#include <string>

#include "train/dino/learner.h"
#include "train/state_entries.h"

namespace vitsnna::train {

/// Adds {student,teacher,first_moment,second_moment}/{backbone,head}.<parameter>, moves/{backbone,
/// head} and centre.
void collect(engine::Queue& queue, const DinoLearner& learner, Tensors& tensors);

/// Sets the learner to what collect() found, to the bit. Throws Error naming `where` and the tensor
/// that is missing or of another shape; the learner is then as it was.
void restore(engine::Queue& queue, DinoLearner& learner, const Tensors& tensors,
             const std::string& where);

}  // namespace vitsnna::train
