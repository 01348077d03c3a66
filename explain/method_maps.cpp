// One short function a method, in the symbols of SPEC section 2; sums in double.
#include "explain/method_maps.h"

#include <algorithm>
#include <cmath>

namespace vitsnna::explain {

namespace {

using Row = std::vector<double>;  // over tokens, the CLS token first

const float* block_row(const std::vector<float>& rows, const Ingredients& in, index_t block,
                       index_t head) {
  return rows.data() + (block * in.heads + head) * in.tokens;
}

/// (1/H) sum_h term(h, j)
template <class Term>
Row mean_over_heads(const Ingredients& in, const Term& term) {
  Row row(static_cast<std::size_t>(in.tokens), 0.);
  for (index_t head = 0; head < in.heads; ++head) {
    for (index_t j = 0; j < in.tokens; ++j) row[static_cast<std::size_t>(j)] += term(head, j);
  }
  for (double& value : row) value /= static_cast<double>(in.heads);
  return row;
}

Row as_row(const std::vector<float>& values) { return {values.begin(), values.end()}; }

Row product(Row left, const Row& right) {
  for (std::size_t j = 0; j < left.size(); ++j) left[j] *= right[j];
  return left;
}

/// mean_h g_hj of a (heads, tokens) gradient row.
Row head_mean(const Ingredients& in, const std::vector<float>& gradient) {
  return mean_over_heads(in, [&](index_t head, index_t j) -> double {
    return gradient[static_cast<std::size_t>(head * in.tokens + j)];
  });
}

/// mean_h relu(g_hj)
Row relu_head_mean(const Ingredients& in, const std::vector<float>& gradient) {
  return mean_over_heads(in, [&](index_t head, index_t j) -> double {
    return std::max(0.f, gradient[static_cast<std::size_t>(head * in.tokens + j)]);
  });
}

/// term(value, pixel) of every pixel, summed over channels and over each patch.
template <class Term>
std::vector<double> patch_sums(const PixelPath& path, const Term& term) {
  const index_t grid_width = path.width / path.patch_size;
  const index_t grid_height = path.height / path.patch_size;
  std::vector<double> sums(static_cast<std::size_t>(grid_height * grid_width), 0.);
  std::size_t pixel = 0;
  for (index_t channel = 0; channel < path.channels; ++channel) {
    for (index_t y = 0; y < path.height; ++y) {
      double* row = sums.data() + y / path.patch_size * grid_width;
      for (index_t x = 0; x < path.width; ++x, ++pixel) row[x / path.patch_size] += term(pixel);
    }
  }
  return sums;
}

double step_from_baseline(const PixelPath& path, std::size_t pixel) {
  const double start = path.baseline ? static_cast<double>(path.baseline[pixel]) : 0.;
  return static_cast<double>(path.image[pixel]) - start;
}

std::vector<double> integrated_gradients(const LabelIngredients& label, const PixelPath& path) {
  return patch_sums(path, [&](std::size_t pixel) {
    return step_from_baseline(path, pixel) * static_cast<double>(label.path_pixel_gradient[pixel]);
  });
}

/// A row without its CLS column.
std::vector<double> patches_of(const Row& row) { return {row.begin() + 1, row.end()}; }

std::vector<double> compute(Method method, bool paper, const Ingredients& in,
                            const LabelIngredients& label, const PixelPath& path) {
  const index_t last = in.blocks - 1;
  const auto attention = [&](index_t block, index_t head, index_t j) -> double {
    return block_row(in.attention_rows, in, block, head)[j];
  };
  const auto gradient = [&](index_t block, index_t head, index_t j) -> double {
    return block_row(label.gradient_rows, in, block, head)[j];
  };
  switch (method) {
    case Method::rawatt:  // mean_h A^L
      return patches_of(
          mean_over_heads(in, [&](index_t head, index_t j) { return attention(last, head, j); }));
    case Method::attgrad:
      if (paper) {  // mean_h A^L * G^L, signed
        return patches_of(mean_over_heads(in, [&](index_t head, index_t j) {
          return attention(last, head, j) * gradient(last, head, j);
        }));
      }
      return patches_of(mean_over_heads(in, [&](index_t head, index_t j) {  // sum_l C_l
        double sum = 0;
        for (index_t block = 0; block < in.blocks; ++block) {
          sum += std::max(0., attention(block, head, j) * gradient(block, head, j));
        }
        return sum;
      }));
    case Method::attin:
      return patches_of(as_row(paper ? in.transformed_attention : label.authors_weighted_chain));
    case Method::genericatt:
      return patches_of(as_row(paper ? label.paper_chain : label.authors_chain));
    case Method::attig: {
      if (!paper) {
        return patches_of(
            product(as_row(label.authors_chain), relu_head_mean(in, label.scaled_last_gradient)));
      }
      std::vector<double> map = patches_of(as_row(label.paper_chain));
      const std::vector<double> pixels = integrated_gradients(label, path);
      for (std::size_t j = 0; j < map.size(); ++j) map[j] *= pixels[j];
      return map;
    }
    case Method::snna:
      if (paper) {
        return patches_of(
            product(as_row(label.paper_weighted_chain), head_mean(in, label.noisy_last_gradient)));
      }
      return patches_of(product(as_row(label.authors_weighted_chain),
                                relu_head_mean(in, label.noisy_last_gradient)));
    case Method::rollout:
      return patches_of(as_row(in.rollout));
    case Method::gradient:  // sum_l mean_h G_l
      return patches_of(mean_over_heads(in, [&](index_t head, index_t j) {
        double sum = 0;
        for (index_t block = 0; block < in.blocks; ++block) sum += gradient(block, head, j);
        return sum;
      }));
    case Method::attsg:
      return patches_of(
          product(as_row(label.authors_chain), relu_head_mean(in, label.noisy_last_gradient)));
    case Method::inputgrad:  // x * df/dx
      return patch_sums(path, [&](std::size_t pixel) {
        return static_cast<double>(path.image[pixel]) *
               static_cast<double>(label.pixel_gradient[pixel]);
      });
    case Method::ig:
      return integrated_gradients(label, path);
    case Method::smoothgrad:  // |mean df/dx|
      return patch_sums(path, [&](std::size_t pixel) {
        return std::abs(static_cast<double>(label.noisy_pixel_gradient[pixel]));
      });
  }
  return {};
}

}  // namespace

std::vector<float> method_map(Method method, Formulation formulation,
                              const Ingredients& ingredients, std::size_t label,
                              const PixelPath& path) {
  const std::vector<double> map = compute(method, formulation == Formulation::paper, ingredients,
                                          ingredients.labels.at(label), path);
  return {map.begin(), map.end()};
}

double attributed(const Ingredients& ingredients, std::size_t label, const PixelPath& path) {
  double sum = 0;
  for (const double patch : integrated_gradients(ingredients.labels.at(label), path)) sum += patch;
  return sum;
}

}  // namespace vitsnna::explain
