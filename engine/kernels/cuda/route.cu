// Chooses a token's experts: softmax in fp32, chosen with the correction bias, weighted without it.
#include <intrinsics.cuh>

namespace lynceus {

constexpr int kExperts = EXPERTS;
constexpr int kEach = (kExperts + kWarp - 1) / kWarp;  // experts of a lane: lane, lane + 32, ...

// Larger for a larger number, and for the lower of two equal experts; never 0. A number that is none comes first or
// last, so that even then different experts are chosen.
__device__ inline u64 rank_of(float score, int expert) {
  const u32 bits = bits_of(score);
  const u32 ordered = bits & 0x80000000u ? ~bits : bits | 0x80000000u;
  return static_cast<u64>(ordered) << 32 | static_cast<u32>(~expert);
}

__device__ inline u64 best_of_warp(u64 value) {
  for (int stride = kWarp / 2; stride > 0; stride /= 2) {
    const u64 other = shuffle_xor(value, stride);
    value = other > value ? other : value;
  }
  return value;
}

__device__ inline float sum_of_warp(float value) {
  for (int stride = kWarp / 2; stride > 0; stride /= 2) value += shuffle_xor(value, stride);
  return value;
}

__device__ inline float largest_of_warp(float value) {
  for (int stride = kWarp / 2; stride > 0; stride /= 2) {
    const float other = shuffle_xor(value, stride);
    value = other > value ? other : value;
  }
  return value;
}

// The lane's share of the softmax of logits [kExperts].
__device__ inline void softmax(const float* logits, float (&probability)[kEach]) {
  constexpr float kNone = -3.402823466e38f;
  float largest = kNone, total = 0;
  for (int i = 0; i < kEach; ++i) {
    const int expert = i * kWarp + lane_id();
    probability[i] = expert < kExperts ? logits[expert] : kNone;
    largest = probability[i] > largest ? probability[i] : largest;
  }
  largest = largest_of_warp(largest);
  for (int i = 0; i < kEach; ++i) {
    const bool there = i * kWarp + lane_id() < kExperts;
    probability[i] = there ? power_of_e(probability[i] - largest) : 0.0f;
    total += probability[i];
  }
  total = sum_of_warp(total);
  for (int i = 0; i < kEach; ++i) probability[i] = probability[i] / total;
}

}  // namespace lynceus

using namespace lynceus;

extern "C" __global__ void route(const float* logits, const float* bias, const u8* modality, int* experts,
                                 float* weights, int tokens, int modalities, int top_k, float norm_min) {
  const int token = blockIdx.x * warps() + warp_id();
  if (token >= tokens) return;
  const int kind = modality == nullptr ? 0 : modality[token];
  float probability[kEach];
  softmax(logits + (static_cast<u64>(token) * modalities + kind) * kExperts, probability);
  u64 rank[kEach];
  for (int i = 0; i < kEach; ++i) {
    const int expert = i * kWarp + lane_id();
    rank[i] = expert < kExperts ? rank_of(probability[i] + bias[kind * kExperts + expert], expert) : 0;
  }
  float total = 0, own = 0;
  for (int slot = 0; slot < top_k; ++slot) {
    u64 best = 0;
    for (int i = 0; i < kEach; ++i) best = rank[i] > best ? rank[i] : best;
    best = best_of_warp(best);
    const int expert = static_cast<int>(~static_cast<u32>(best));
    float chosen = 0;
    for (int i = 0; i < kEach; ++i)
      if (rank[i] == best) {
        chosen = probability[i];
        rank[i] = 0;
      }
    chosen = shuffle(chosen, expert % kWarp);
    total += chosen;
    if (lane_id() == slot) own = chosen;
    if (lane_id() == 0) experts[token * top_k + slot] = kind * kExperts + expert;
  }
  if (lane_id() < top_k) weights[token * top_k + lane_id()] = own / (total > norm_min ? total : norm_min);
}
