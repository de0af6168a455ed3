#include "activations.h"

#include <algorithm>

namespace lynceus {

void Activations::resize(int tokens, int rows) {
  tokens_ = tokens;
  blocks_ = (rows + kBlock - 1) / kBlock;
  const size_t count = size_t(tokens_) * blocks_;
  if (scales_.size() >= count) return;
  values_.resize(count * kBlock);
  scales_.resize(count);
  sums_.resize(count * (kBlock / kGroup));
}

void Activations::quantize(const Kernels& kernels, const Pool& pool, const float* x, int tokens, int rows,
                           const int8_t* signs) {
  resize(tokens, rows);
  constexpr int kTokensPerTask = 8;
  pool.run((tokens + kTokensPerTask - 1) / kTokensPerTask, [&](int task) {
    const int end = std::min(tokens, (task + 1) * kTokensPerTask);
    for (int token = task * kTokensPerTask; token < end; ++token)
      quantize_token(kernels, x + size_t(token) * rows, token, rows, signs);
  });
}

void Activations::quantize_token(const Kernels& kernels, const float* x, int token, int rows, const int8_t* signs) {
  const int whole = rows / kBlock;
  for (int b = 0; b < whole; ++b)
    kernels.quantize(x + b * kBlock, signs == nullptr ? nullptr : signs + b * kBlock, values(token, b),
                     scale(token, b), sums(token, b));
  if (whole == blocks_) return;
  float padded[kBlock] = {};
  std::copy(x + whole * kBlock, x + rows, padded);
  kernels.quantize(padded, nullptr, values(token, whole), scale(token, whole), sums(token, whole));
}

}  // namespace lynceus
