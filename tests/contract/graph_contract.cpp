// Contract of captured work: a replay reads device memory as it is then, and no host memory.
#include "tests/contract/relevance_operands.h"

namespace vitsnna::contract {
namespace {

VITSNNA_CONTRACT(GraphContract);

/// Everything that the two relevance ops and the capturing backward read and write, for one image.
/// The chains are in host memory, which is overwritten with others as soon as each op is on the
/// queue.
class Explanation {
 public:
  static constexpr index_t heads = 2, head_dim = 32, tokens = 40, gradients = 3, width = 64;
  static constexpr AttentionShape shape{1, heads, head_dim, tokens, tokens};

  Explanation(const Subject& subject, std::size_t num_chains)
      : subject_(subject),
        v_(backward_operands(shape, gradients, subject.precision)),
        query_(Operand::input(subject, rows(1), v_.forward.query)),
        key_(Operand::input(subject, rows(1), v_.forward.key)),
        value_(Operand::input(subject, rows(1), v_.forward.value)),
        output_(Operand::input(subject, rows(1), v_.output)),
        sums_(Operand::input(subject, dense(heads * tokens), v_.log_sum_exp)),
        slope_(Operand::updated(subject, rows(gradients), v_.output_gradient)),
        attention_(
            Operand::input(subject, dense(heads * tokens), random_values(heads * tokens, 40))),
        query_gradient_(Operand::output(subject, rows(gradients))),
        key_gradient_(Operand::output(subject, rows(gradients))),
        value_gradient_(Operand::output(subject, rows(gradients))),
        chains_(subject, random_chains(heads, tokens, gradients, num_chains), tokens),
        rows_chains_(subject, random_chains(heads, tokens, gradients, num_chains), tokens),
        cls_chains_(subject, random_chains(heads, tokens, gradients, num_chains), tokens) {}

  /// Puts the three ops on the queue, whose scratch must do for each of them.
  void put_on(kernels::Queue& queue) {
    const kernels::Backend& backend = *subject_.backend;
    RelevanceRows capture = relevance(chains_);
    AttentionBackward args = backward_args(capture);
    backend.attention_backward(queue, args);
    chains_.overwrite();
    capture = RelevanceRows{};
    args = AttentionBackward{};
    RelevanceRows alone = relevance(rows_chains_);
    backend.relevance_rows(queue, alone);
    rows_chains_.overwrite();
    alone = RelevanceRows{};
    RelevanceClsRow cls;
    cls.heads = heads;
    cls.num_tokens = tokens;
    cls.attention = attention_.floats();
    cls.chains = cls_chains_.data();
    cls.num_chains = cls_chains_.size();
    backend.relevance_cls_row(queue, cls);
    cls_chains_.overwrite();
    cls = RelevanceClsRow{};
  }

  index_t scratch_bytes(const kernels::Queue& queue) const {
    const RelevanceRows capture = relevance(chains_);
    return std::max(subject_.backend->attention_backward.scratch_for(queue, backward_args(capture)),
                    subject_.backend->relevance_rows.scratch_for(queue, relevance(rows_chains_)));
  }

  /// As another image's pass would leave them.
  void set_output_gradient(const Values& values) { slope_.set(values); }
  const Values& output_gradient() const { return v_.output_gradient; }

  Outputs outputs() const {
    Outputs result{query_gradient_.values(), key_gradient_.values(), value_gradient_.values()};
    for (const DeviceChains* chains : {&chains_, &rows_chains_, &cls_chains_}) {
      for (Values& row : chains->outputs()) result.push_back(std::move(row));
    }
    return result;
  }

 private:
  Layout rows(index_t items) const { return strided(items, tokens, width, subject_.precision); }

  RelevanceRows relevance(const DeviceChains& chains) const {
    RelevanceRows a;
    a.heads = heads;
    a.head_dim = head_dim;
    a.num_tokens = tokens;
    a.gradients = gradients;
    a.query = query_.matrix();
    a.key = key_.matrix();
    a.value = value_.matrix();
    a.log_sum_exp = sums_.floats();
    a.output_gradient = slope_.matrix();
    a.chains = chains.data();
    a.num_chains = chains.size();
    return a;
  }

  AttentionBackward backward_args(const RelevanceRows& capture) const {
    AttentionBackward a;
    a.shape = shape;
    a.gradients = gradients;
    a.query = query_.matrix();
    a.key = key_.matrix();
    a.value = value_.matrix();
    a.output = output_.matrix();
    a.log_sum_exp = sums_.floats();
    a.output_gradient = slope_.matrix();
    a.query_gradient = query_gradient_.matrix();
    a.key_gradient = key_gradient_.matrix();
    a.value_gradient = value_gradient_.matrix();
    a.capture = &capture;
    return a;
  }

  const Subject& subject_;
  BackwardOperands v_;
  Operand query_, key_, value_, output_, sums_, slope_, attention_;
  Operand query_gradient_, key_gradient_, value_gradient_;
  DeviceChains chains_, rows_chains_, cls_chains_;
};

TEST_P(GraphContract, AReplayReadsDeviceMemoryAsItIsThenAndNoHostMemory) {
  if (!backend().begin_capture) GTEST_SKIP() << "this backend has no graphs";
  constexpr std::size_t num_chains = 18;  // more than travel with one launch
  kernels::Queue queue = subject().queue();
  const auto with_scratch = [&](Explanation& explanation) {
    queue.scratch_bytes = explanation.scratch_bytes(queue);
    return Operand::output(subject(), dense(queue.scratch_bytes, Storage::u8));
  };
  const Values another = random_values(
      static_cast<index_t>(Explanation(subject(), 1).output_gradient().size()), 77, precision());

  Outputs first, second;  // launched one by one
  for (const bool is_another : {false, true}) {
    Explanation explanation(subject(), num_chains);
    const auto scratch = with_scratch(explanation);
    queue.scratch = scratch.data();
    if (is_another) explanation.set_output_gradient(another);
    explanation.put_on(queue);
    backend().synchronize(queue);
    (is_another ? second : first) = explanation.outputs();
  }

  Explanation explanation(subject(), num_chains), other(subject(), 2);
  const auto scratch = with_scratch(explanation), other_scratch = with_scratch(other);
  queue.scratch = scratch.data();
  queue.scratch_bytes = explanation.scratch_bytes(queue);
  backend().begin_capture(queue);
  explanation.put_on(queue);
  const auto graph = backend().end_capture(queue);
  for (const bool is_another : {false, true, false}) {
    kernels::Queue between = subject().queue();  // other work comes between replays
    between.scratch = other_scratch.data();
    between.scratch_bytes = other.scratch_bytes(between);
    other.put_on(between);
    explanation.set_output_gradient(is_another ? another : explanation.output_gradient());
    backend().launch_graph(queue, *graph);
    backend().synchronize(queue);
    const Outputs got = explanation.outputs();
    const Outputs& want = is_another ? second : first;
    for (std::size_t k = 0; k < want.size(); ++k) {
      EXPECT_TRUE(same_bits(got[k], want[k])) << "output " << k << ", another " << is_another;
    }
  }
}

}  // namespace
}  // namespace vitsnna::contract
