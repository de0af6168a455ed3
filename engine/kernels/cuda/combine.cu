// Adds up what a token's experts gave, in ascending order of their places, and the shared experts' output.
#include <activations.cuh>

using namespace lynceus;

using Element = ELEMENT;

extern "C" __global__ void combine(const Element* results, const int* places, const float* weights,
                                   const Element* shared, Element* out, int top_k, int hidden) {
  int* sorted = reinterpret_cast<int*>(shared_memory());
  float* counts = reinterpret_cast<float*>(sorted + top_k);
  const int token = blockIdx.y;
  for (int k = threadIdx.x; k < top_k; k += blockDim.x) {
    const int* own = places + token * top_k;
    int rank = 0;
    for (int other = 0; other < top_k; ++other) rank += own[other] < own[k];
    sorted[rank] = own[k];
    counts[rank] = weights[token * top_k + k];
  }
  sync_block();
  const int channel = 4 * (blockIdx.x * blockDim.x + threadIdx.x);
  if (channel >= hidden) return;
  Four sum = {};
  for (int k = 0; k < top_k; ++k) {
    const Four one = load_four(results + static_cast<u64>(sorted[k]) * hidden + channel);
    for (int i = 0; i < 4; ++i) sum.v[i] = sum.v[i] + one.v[i] * counts[k];
  }
  const u64 at = static_cast<u64>(token) * hidden + channel;
  if (shared != nullptr) {
    const Four more = load_four(shared + at);
    for (int i = 0; i < 4; ++i) sum.v[i] = sum.v[i] + more.v[i];
  }
  store_four(out + at, sum);
}
