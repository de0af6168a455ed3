// Which experts a token goes to.
#pragma once
#include "kernels.h"
#include "pool.h"

namespace lynceus {

// T tokens, H hidden size, E experts, K of them a token.
struct Router {
  const float* weight;  // [E][H]
  const float* bias;    // [E], counts in the choice alone
  int experts, top_k;
  float norm_min;  // the least that the weights of a token are divided by
};

// chosen and weights [T][K] of x [T][H]: softmax, the K largest with the bias, the lower expert first among equals, and
// their probabilities as parts of their sum. A token's are the same bits whatever else is in its batch.
void route(const Kernels& kernels, const Pool& pool, const Router& router, const float* x, int tokens, int hidden,
           int64_t* chosen, float* weights);

}  // namespace lynceus
