// Viterbi search of the 2-bit code (layout: engine/quant/layout.py; oracle: engine/quant/viterbi.py).
//
// A thread block searches SEGMENTS segments side by side: the values of a window are computed once for all of them.
// The states, their successors and the two passes are those of engine/kernels/cpu/encode.cpp, so are the bytes.
//
// What is kept for a state is a key, its cost times 256 plus its number among the 256 states that lead to the same
// successors. The least key is thus the least cost and, among equals, the lowest number: one comparison finds both.
#include <codes.cuh>
#include <intrinsics.cuh>
#include <layout.cuh>

namespace {

constexpr int kSymbols = 256;  // bytes, and so ways into each state; also threads of a block
constexpr int kStates = 1 << (WINDOW_BITS - 8);
constexpr int kLength = lynceus::layout::k_SEGMENT;
constexpr int kKeys = kStates * SEGMENTS;

// Above any difference that one step can make (less than 1 << 16), and far enough below 1 << 23: costs are not
// brought back to zero in the 128 steps of a pass, and together with the number must fit 32 bits.
constexpr int kUnreachable = 1 << 20;
constexpr int kWorst = 0x7fffffff;

__device__ __forceinline__ int number_of(int state) { return state >> (WINDOW_BITS - 16); }

__device__ __forceinline__ int before(int state, int number) { return number << (WINDOW_BITS - 16) | state >> 8; }

// Half of `target_steps` times the squared distance of a window's values from the centre, up to what all have alike.
__device__ __forceinline__ int norm_of(int values, int half_steps) {
  constexpr int kSlope = static_cast<int>(0x01010101u * (256u - 2 * lynceus::layout::k_CENTRE));  // -30, four times
  return half_steps * lynceus::dot4(values, values, lynceus::dot4(values, kSlope, 0));
}

// Keys of all states after one more byte, and for each state the number of the best one before it.
__device__ __forceinline__ void step(const int* old_keys, int* new_keys, const int* wanted, int half_steps,
                                     unsigned char* back) {
  int target[SEGMENTS];
  for (int s = 0; s < SEGMENTS; ++s) target[s] = wanted[s];
  for (int state = threadIdx.x; state < kStates; state += kSymbols) {
    int best[SEGMENTS];
    for (int s = 0; s < SEGMENTS; ++s) best[s] = kWorst;
    const int* old = old_keys + before(state, 0) * SEGMENTS;
#pragma unroll 4
    for (int number = 0; number < kSymbols; ++number, old += before(0, 1) * SEGMENTS) {
      const int values = lynceus::values_of(state + number * kStates);
      const int norm = norm_of(values, half_steps);
      for (int s = 0; s < SEGMENTS; ++s)
        best[s] = min(best[s], lynceus::dot4(values, target[s], norm) * kSymbols + old[s]);
    }
    for (int s = 0; s < SEGMENTS; ++s) {
      new_keys[state * SEGMENTS + s] = (best[s] & ~(kSymbols - 1)) | number_of(state);
      back[s * kStates + state] = static_cast<unsigned char>(best[s]);
    }
  }
}

// One pass over the segments, begun `rotation` channels in; the keys start and end in the first half of `keys`.
__device__ __forceinline__ void run(int* keys, const int* wanted, int rotation, int half_steps, unsigned char* back) {
  for (int n = 0; n < kLength; ++n) {
    const int from = n % 2 * kKeys;
    step(keys + from, keys + kKeys - from, wanted + (n + rotation) % kLength * SEGMENTS, half_steps,
         back + static_cast<size_t>(n) * kKeys);
    __syncthreads();
  }
}

// The state before step `stop` on the best path that ends in `state`; `codes` receives the bytes, if there are any.
__device__ __forceinline__ int walk(int state, int stop, const unsigned char* back, unsigned char* codes) {
  for (int n = kLength - 1; n >= stop; --n) {
    if (codes != nullptr) codes[n] = static_cast<unsigned char>(state);
    state = before(state, back[static_cast<size_t>(n) * kKeys + state]);
  }
  return state;
}

__device__ __forceinline__ int cheapest(const int* keys, int segment) {
  int best = 0;
  for (int state = 1; state < kStates; ++state)
    if (keys[state * SEGMENTS + segment] >> 8 < keys[best * SEGMENTS + segment] >> 8) best = state;
  return best;
}

// The four bytes of each target, negated; zero where there are fewer segments than SEGMENTS.
__device__ __forceinline__ void negate(const signed char* targets, int count, signed char* wanted) {
  constexpr int kRows = lynceus::layout::k_ROWS_PER_BYTE;
  for (int i = threadIdx.x; i < kLength * SEGMENTS * kRows; i += kSymbols) {
    const int row = i % kRows, segment = i / kRows % SEGMENTS, n = i / kRows / SEGMENTS;
    wanted[i] = segment < count ? static_cast<signed char>(-targets[(segment * kLength + n) * kRows + row]) : 0;
  }
}

// Every state is a beginning where `closing` is null, else only that one of each segment.
__device__ __forceinline__ void begin(int* keys, const int* closing) {
  for (int i = threadIdx.x; i < kKeys; i += kSymbols) {
    const int state = i / SEGMENTS;
    const bool open = closing == nullptr || closing[i % SEGMENTS] == state;
    keys[i] = (open ? 0 : kUnreachable * kSymbols) | number_of(state);
  }
}

}  // namespace

// `scratch` has room for the numbers of one pass, [grid][128][SEGMENTS][states].
extern "C" __global__ void __launch_bounds__(kSymbols)
    encode(const signed char* targets, unsigned char* codes, unsigned char* scratch, int segments, int half_steps) {
  extern __shared__ __align__(16) int shared[];
  int* keys = shared;                          // [2][states][SEGMENTS]
  int* wanted = keys + 2 * kKeys;              // [128][SEGMENTS], four bytes each
  int* closing = wanted + kLength * SEGMENTS;  // [SEGMENTS]
  unsigned char* back = scratch + static_cast<size_t>(blockIdx.x) * kLength * kKeys;
  const int mine = threadIdx.x;  // the segment that a thread walks back through, if it is one of the first
  for (int first = blockIdx.x * SEGMENTS; first < segments; first += gridDim.x * SEGMENTS) {
    const int count = min(SEGMENTS, segments - first);
    negate(targets + static_cast<size_t>(first) * kLength * sizeof(int), count, reinterpret_cast<signed char*>(wanted));
    begin(keys, nullptr);
    __syncthreads();
    run(keys, wanted, kLength / 2, half_steps, back);
    if (mine < SEGMENTS) closing[mine] = walk(cheapest(keys, mine), kLength / 2, back + mine * kStates, nullptr);
    __syncthreads();
    begin(keys, closing);
    __syncthreads();
    run(keys, wanted, 0, half_steps, back);
    if (mine < count) walk(closing[mine], 0, back + mine * kStates, codes + static_cast<size_t>(first + mine) * kLength);
    __syncthreads();
  }
}
