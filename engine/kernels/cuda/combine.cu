// Adds up what a token's experts gave, in ascending order of their places, and the shared experts' output.
#include <activations.cuh>

using namespace lynceus;

using Element = ELEMENT;
constexpr int kTopK = TOP_K;

extern "C" __global__ void combine(const Element* results, const int* places, const float* weights,
                                   const Element* shared, Element* out, int hidden) {
  int* sorted = reinterpret_cast<int*>(shared_memory());
  float* counts = reinterpret_cast<float*>(sorted + kTopK);
  const int token = blockIdx.y;
  for (int k = threadIdx.x; k < kTopK; k += blockDim.x) {
    const int* own = places + token * kTopK;
    int rank = 0;
#pragma unroll
    for (int other = 0; other < kTopK; ++other) rank += own[other] < own[k];
    sorted[rank] = own[k];
    counts[rank] = weights[token * kTopK + k];
  }
  sync_block();
  const int channel = 4 * (blockIdx.x * blockDim.x + threadIdx.x);
  if (channel >= hidden) return;
  Four result[kTopK];
#pragma unroll
  for (int k = 0; k < kTopK; ++k) result[k] = load_four(results + static_cast<u64>(sorted[k]) * hidden + channel);
  Four sum = {};
#pragma unroll
  for (int k = 0; k < kTopK; ++k)
    for (int i = 0; i < 4; ++i) sum.v[i] = sum.v[i] + result[k].v[i] * counts[k];
  const u64 at = static_cast<u64>(token) * hidden + channel;
  if (shared != nullptr) {
    const Four more = load_four(shared + at);
    for (int i = 0; i < 4; ++i) sum.v[i] = sum.v[i] + more.v[i];
  }
  store_four(out + at, sum);
}
