// Attention of one new token, in the compiler's portable vectors. Included once by each kernels_*.cpp, like block_math.h.
#pragma once
#include "block_math.h"

namespace lynceus {
namespace {

inline int padded(int length) { return (length + kLanes - 1) / kLanes * kLanes; }

inline void ask_for(const float* row, int size) {
  constexpr int kLine = 64 / sizeof(float);
  for (int d = 0; d < size; d += kLine) __builtin_prefetch(row + d);
}

// Weights before the softmax: each key is read once for all queries. What lies anywhere is asked for ahead, the value
// too, which is wanted soon after.
template <int kCount>
void score(const Attend& task, int first) {
  constexpr int kAhead = 8;
  const float scale = 1.0f / __builtin_sqrtf(static_cast<float>(task.size));
  for (int i = 0; i < task.length; ++i) {
    const float* key = task.keys + task.slots[i] * task.stride;
    if (i + kAhead < task.length) ask_for(task.keys + task.slots[i + kAhead] * task.stride, task.size);
    ask_for(task.values + task.slots[i] * task.stride, task.size);
    Floats sum[kCount] = {};
    for (int d = 0; d < task.size; d += kLanes) {
      Floats k;
      load(k, key + d);
      unroll<kCount>([&](auto r) LYNCEUS_INLINE {
        Floats q;
        load(q, task.query + (first + r) * task.size + d);
        sum[r] += q * k;
      });
    }
    for (int r = 0; r < kCount; ++r) task.weights[(first + r) * padded(task.length) + i] = total(sum[r]) * scale;
  }
}

// The softmax of one query's weights, without the division; their sum comes back.
inline float soften(float* weights, int length) {
  float most = weights[0];
  for (int i = 1; i < length; ++i) most = weights[i] > most ? weights[i] : most;
  for (int i = length; i < padded(length); ++i) weights[i] = most - 1000.0f;
  Floats sum = {};
  for (int i = 0; i < padded(length); i += kLanes) {
    Floats w;
    load(w, weights + i);
    w = exponential(w - most);
    if (i + kLanes > length)
      for (int lane = length - i; lane < kLanes; ++lane) w[lane] = 0.0f;
    sum += w;
    store(weights + i, w);
  }
  return total(sum);
}

// The values by their weights, a vector of each at a time: each value is read once for all queries.
template <int kCount>
void mix(const Attend& task, int first, const float* sums) {
  for (int d = 0; d < task.size; d += kLanes) {
    Floats mixed[kCount] = {};
    for (int i = 0; i < task.length; ++i) {
      Floats value;
      load(value, task.values + task.slots[i] * task.stride + d);
      unroll<kCount>([&](auto r) LYNCEUS_INLINE {
        mixed[r] += value * task.weights[(first + r) * padded(task.length) + i];
      });
    }
    for (int r = 0; r < kCount; ++r) store(task.out + (first + r) * task.size + d, mixed[r] / sums[r]);
  }
}

template <int kCount>
void attend_together(const Attend& task, int first) {
  float sums[kCount];
  score<kCount>(task, first);
  for (int r = 0; r < kCount; ++r) sums[r] = soften(task.weights + (first + r) * padded(task.length), task.length);
  mix<kCount>(task, first, sums);
}

void attend(const Attend& task) {
  using Queries1to8 = void (*)(const Attend&, int);
  constexpr Queries1to8 table[] = {attend_together<1>, attend_together<2>, attend_together<3>, attend_together<4>,
                                   attend_together<5>, attend_together<6>, attend_together<7>, attend_together<8>};
  constexpr int kMost = sizeof table / sizeof *table;
  for (int first = 0; first < task.queries; first += kMost)
    table[(task.queries - first < kMost ? task.queries - first : kMost) - 1](task, first);
}

}  // namespace
}  // namespace lynceus
