// What the INPUT arguments stand for: image files and tensors, each with the stem of its outputs.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "cli/options.h"
#include "cli/session.h"
#include "explain/pictures/preprocess.h"

namespace vitsnna::cli {

struct InputItem {
  std::string path;
  std::string stem;  ///< file name without its extension; `_<i>` for item i of a batched .npy
  bool is_tensor = false;
  std::optional<index_t> item;  ///< of a batched .npy

  /// "street.jpg", or "batch.npy, item 3".
  std::string text() const;
};

/// Files as given, folders as their pictures and tensors (sorted by name, not recursive), globs
/// even where the shell left them alone. Throws Error for one that is missing or stands for nothing
/// and for two inputs with one stem; UsageError for a .npy beside --size or --crop.
std::vector<InputItem> find_inputs(const InputArguments& arguments);

/// Reads and prepares inputs. Every input is read once before anything is computed, so that a bad
/// one stops the run with nothing written; small sets are kept for the second time.
class InputLoader {
 public:
  InputLoader(std::vector<InputItem> items, const explain::SizeOptions& size, Session& session);

  std::size_t count() const { return items_.size(); }
  const InputItem& item(std::size_t index) const { return items_.at(index); }
  /// The model's input size of an item.
  explain::Extent extent(std::size_t index) const { return extents_.at(index); }
  /// What has to be said about an item's geometry; empty where nothing has.
  const std::string& note(std::size_t index) const { return notes_.at(index); }

  /// Throws Error naming the file. Hands out a kept input, and forgets it. May run beside
  /// everything but another load() or peek(), on a queue of its own.
  explain::LoadedInput load(std::size_t index, engine::Queue& queue);
  explain::LoadedInput load(std::size_t index) { return load(index, session_.queue()); }
  /// The same, but what is kept stays kept.
  explain::LoadedInput peek(std::size_t index) const;
  /// How long the item took to be read and prepared.
  double read_seconds(std::size_t index) const { return read_seconds_.at(index); }

 private:
  explain::LoadedInput read(const InputItem& item, engine::Queue& queue) const;

  std::vector<InputItem> items_;
  explain::SizeOptions size_;
  Session& session_;
  std::vector<explain::Extent> extents_;
  std::vector<std::string> notes_;
  std::vector<double> read_seconds_;
  std::vector<std::optional<explain::LoadedInput>> kept_;
};

}  // namespace vitsnna::cli
