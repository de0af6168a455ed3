#include "attention.h"

#include <algorithm>
#include <vector>

namespace lynceus {

void attend(const Kernels& kernels, const Pool& pool, const Running& running, float* out) {
  const int together = running.heads / running.key_heads;
  pool.run(running.texts * running.key_heads, [&](int task) {
    thread_local std::vector<float> weights;
    const int text = task / running.key_heads, head = task % running.key_heads;
    const int length = static_cast<int>(running.lengths[text]);
    weights.resize(std::max(weights.size(), size_t(together) * (length + kTile)));
    const size_t first = (size_t(text) * running.heads + size_t(head) * together) * running.size;
    kernels.attend({running.queries + first, running.keys + size_t(head) * running.size,
                    running.values + size_t(head) * running.size, running.slots + size_t(text) * running.width,
                    size_t(running.key_heads) * running.size, length, together, running.size, weights.data(),
                    out + first});
  });
}

void rotate(const Kernels& kernels, const Pool& pool, const Heads& heads, float* out) {
  constexpr int kTokensPerTask = 16;
  pool.run((heads.tokens + kTokensPerTask - 1) / kTokensPerTask, [&](int task) {
    const int end = std::min(heads.tokens, (task + 1) * kTokensPerTask);
    for (int token = task * kTokensPerTask; token < end; ++token) {
      const size_t angles = size_t(token) * heads.size;
      for (int head = 0; head < heads.heads; ++head)
        kernels.rotate(heads.x + token * heads.stride + size_t(head) * heads.size, heads.cosines + angles,
                       heads.sines + angles, heads.size, heads.neighbours,
                       out + (size_t(token) * heads.heads + head) * heads.size);
    }
  });
}

}  // namespace lynceus
