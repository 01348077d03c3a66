// One reader a layout, behind open_dataset(): each appends one split to a set.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "train/data/dataset.h"

namespace vitsnna::train {

/// Files below `folder`, however deep, whose names end as image files do (.jpg .jpeg .png .webp
/// .bmp, in any case), in the order of their paths. Names that begin with a dot are passed over.
/// Links are followed; a folder that they lead to again, and a link that leads nowhere, are passed
/// over with a note. A folder that cannot be listed is an Error that names it.
void read_folder(const std::filesystem::path& folder, Dataset& dataset);
void read_bdd_oia(const std::filesystem::path& folder, std::string_view split, Dataset& dataset);
void read_snna(const std::filesystem::path& folder, std::string_view split, Dataset& dataset);
void read_csv(const std::filesystem::path& file, Dataset& dataset);

/// ".jpg" of a.JPG.
std::string lower_extension(const std::filesystem::path& path);

/// Throws Error naming `path` and `where` it was asked for, unless it is a regular file.
void require_image_file(const std::filesystem::path& path, const std::string& where);

}  // namespace vitsnna::train
