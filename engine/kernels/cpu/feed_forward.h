// A feed-forward network of compressed matrices in one pass: what is between its layers stays in the cache.
#pragma once
#include "matrix.h"

namespace lynceus {

// down(silu(gate x) * up x), or down(quick_gelu(up x)) where there is no gate. Biases may be null.
struct FeedForward {
  const Matrix* gate;
  const Matrix* up;    // [I][H]
  const Matrix* down;  // [H][I]
  const float* up_bias;
  const float* down_bias;
};

// out [T][H] of x [T][H].
void feed_forward(const Kernels& kernels, const Pool& pool, const FeedForward& network, const float* x, int tokens,
                  float* out);

}  // namespace lynceus
