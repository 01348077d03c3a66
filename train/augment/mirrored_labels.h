// What becomes of labels when the picture is mirrored: left is right. SPEC section 5.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace vitsnna::train {

/// Where each label stands once the picture is mirrored. Labels change places whose names differ in
/// the words left and right alone: `left` and `right`, `Turn_Left` and `turn_right`, `leftLane` and
/// `rightLane`. A word is a run of letters; a capital behind a small letter begins another. All
/// other labels stay where they are.
std::vector<std::size_t> mirrored_labels(const std::vector<std::string>& names);

/// Throws Error naming --flip and the label where a name has one of the two words and there is not
/// exactly one label that it would change places with: mirrored, it would be wrong in silence.
void require_mirrored_labels(const std::vector<std::string>& names, double flip);

}  // namespace vitsnna::train
