// All that a learner has learnt, as tensors: what a checkpoint holds and a resumed run starts from.
#pragma once

#include <map>
#include <string>

#include "engine/io/tensor_file.h"
#include "train/dino/learner.h"

namespace vitsnna::train {

using Tensors = std::map<std::string, engine::HostTensor>;

/// A block of parameters under their names, in fp32.
Tensors download(engine::Queue& queue, const model::Parameters& parameters);

/// Adds {student,teacher,first_moment,second_moment}/{backbone,head}.<parameter>, moves/{backbone,
/// head} and centre.
void collect(engine::Queue& queue, const DinoLearner& learner, Tensors& tensors);

/// Sets the learner to what collect() found, to the bit. Throws Error naming `where` and the tensor
/// that is missing or of another shape; the learner is then as it was.
void restore(engine::Queue& queue, DinoLearner& learner, const Tensors& tensors,
             const std::string& where);

}  // namespace vitsnna::train
