#include "routing.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

namespace lynceus {
namespace {

void softmax(std::vector<float>& logits) {
  const float most = *std::max_element(logits.begin(), logits.end());
  float sum = 0.0f;
  for (float& each : logits) sum += each = std::exp(each - most);
  for (float& each : logits) each /= sum;
}

void choose(const Router& router, const std::vector<float>& probabilities, int64_t* chosen, float* weights) {
  std::vector<int> order(router.experts);
  std::iota(order.begin(), order.end(), 0);
  const auto before = [&](int a, int b) {
    const float first = probabilities[a] + router.bias[a], second = probabilities[b] + router.bias[b];
    return first > second || (first == second && a < b);
  };
  std::partial_sort(order.begin(), order.begin() + router.top_k, order.end(), before);
  float sum = 0.0f;
  for (int k = 0; k < router.top_k; ++k) sum += probabilities[order[k]];
  for (int k = 0; k < router.top_k; ++k) {
    chosen[k] = order[k];
    weights[k] = probabilities[order[k]] / std::max(sum, router.norm_min);
  }
}

// The logits of kTogether experts from `first` on, or of those that are left.
void score(const Kernels& kernels, const Router& router, const float* x, int hidden, int first, float* logits) {
  const float* rows[kTogether];
  for (int i = 0; i < kTogether; ++i) rows[i] = router.weight + size_t(std::min(first + i, router.experts - 1)) * hidden;
  float found[kTogether];
  kernels.dot(x, rows, hidden, found);
  std::copy_n(found, std::min(kTogether, router.experts - first), logits + first);
}

}  // namespace

void route(const Kernels& kernels, const Pool& pool, const Router& router, const float* x, int tokens, int hidden,
           int64_t* chosen, float* weights) {
  std::vector<float> logits(size_t(tokens) * router.experts);
  const int parts = (router.experts + kTogether - 1) / kTogether;
  pool.run(tokens * parts, [&](int task) {
    const int token = task / parts;
    score(kernels, router, x + size_t(token) * hidden, hidden, task % parts * kTogether,
          logits.data() + size_t(token) * router.experts);
  });
  for (int token = 0; token < tokens; ++token) {
    const float* own = logits.data() + size_t(token) * router.experts;
    std::vector<float> probabilities(own, own + router.experts);
    softmax(probabilities);
    choose(router, probabilities, chosen + size_t(token) * router.top_k, weights + size_t(token) * router.top_k);
  }
}

}  // namespace lynceus
