// The digest of a set: of one text in which every part has its length before it.
#include "train/data/dataset_digest.h"

#include <cstdint>
#include <span>
#include <string_view>

#include "engine/io/sha256.h"

namespace vitsnna::train {
namespace {

class Text {
 public:
  void add(std::uint64_t number) {
    for (int shift = 0; shift < 64; shift += 8) text_ += static_cast<char>(number >> shift & 0xFF);
  }
  void add(std::string_view part) {
    add(part.size());
    text_ += part;
  }
  std::string digest() const {
    return engine::sha256(std::as_bytes(std::span(text_.data(), text_.size())));
  }

 private:
  std::string text_;
};

}  // namespace

std::string digest_of(const Dataset& dataset) {
  Text text;
  text.add(dataset.label_names.size());
  for (const std::string& name : dataset.label_names) text.add(name);
  text.add(dataset.samples.size());
  for (const Sample& sample : dataset.samples) text.add(sample.id);
  const std::span<const float> labels = dataset.labels;
  text.add({reinterpret_cast<const char*>(labels.data()), labels.size_bytes()});
  return text.digest();
}

}  // namespace vitsnna::train
