// The mixture of experts: routed tokens through 2-bit gate, up and down.
#pragma once
#include <vector>

#include "matrix.h"

namespace lynceus {

// E experts of size I on a hidden size H; each a SwiGLU network.
struct Experts {
  std::vector<Matrix> gate_up;  // E of [2I][H], the gates first
  std::vector<Matrix> down;     // E of [H][I]
  const int8_t* signs;          // [H], of the input's rotation
  const int8_t* down_signs;     // [I], of the rotation between

  int hidden() const { return down.front().channels; }
  int size() const { return down.front().rows; }
};

// Where each of T tokens goes, [T][K] each.
struct Routed {
  const int64_t* experts;
  const float* weights;
  int tokens;
  int top_k;
};

// out [T][H]: for each token the weighted sum over its experts, added in ascending order of the expert.
void run_experts(const Kernels& kernels, const Pool& pool, const Experts& experts, const Routed& routed, const float* x,
                 float* out);

}  // namespace lynceus
