// Viterbi search of the 2-bit code (layout: engine/format/layout.py; oracle: engine/quant/viterbi.py).
//
// A thread block searches kSegments segments side by side: the values of a window are computed once for all of them.
// States, successors and the two passes are those of engine/kernels/cpu/encode.cpp, and so are the bytes.
//
// What is kept for a state is a key: its cost times 256, plus its number among the 256 states that lead to the same
// successors. The least key is thus the least cost and, among equals, the lowest number: one comparison finds both.
#include <codes.cuh>

namespace lynceus {

constexpr int kSegments = SEGMENTS;
constexpr int kSymbols = 256;  // bytes, and so ways into each state; also the threads of a block
constexpr int kStates = 1 << (WINDOW_BITS - 8);
constexpr int kLength = layout::k_SEGMENT;
constexpr int kKeys = kStates * kSegments;

// Above any difference that one step can make (less than 1 << 16), and far enough below 1 << 23: costs are not
// brought back to zero in the 128 steps of a pass, and together with the number must fit 32 bits.
constexpr int kUnreachable = 1 << 20;
constexpr int kWorst = 0x7fffffff;

__device__ inline int number_of(int state) { return state >> (WINDOW_BITS - 16); }

__device__ inline int before(int state, int number) { return number << (WINDOW_BITS - 16) | state >> 8; }

// `half_steps` times the squared distance of the values from the centre, without what all windows have alike.
__device__ inline int norm_of(u32 values, int half_steps) {
  constexpr u32 kSlope = kEveryByte * (256u - 2 * layout::k_CENTRE);
  return half_steps * dp4a(values, values, dp4a(values, kSlope, 0));
}

// Keys of all states after one more byte, and for each state the number of the best one before it.
__device__ inline void step(const int* old_keys, int* new_keys, const u32* wanted, int half_steps, u8* back) {
  u32 target[kSegments];
  for (int s = 0; s < kSegments; ++s) target[s] = wanted[s];
  for (int state = threadIdx.x; state < kStates; state += kSymbols) {
    int best[kSegments];
    for (int s = 0; s < kSegments; ++s) best[s] = kWorst;
    const int* old = old_keys + before(state, 0) * kSegments;
#pragma unroll 4
    for (int number = 0; number < kSymbols; ++number, old += before(0, 1) * kSegments) {
      const u32 values = values_of(state + number * kStates);
      const int norm = norm_of(values, half_steps);
      for (int s = 0; s < kSegments; ++s) {
        const int key = dp4a(values, target[s], norm) * kSymbols + old[s];
        best[s] = key < best[s] ? key : best[s];
      }
    }
    for (int s = 0; s < kSegments; ++s) {
      new_keys[state * kSegments + s] = (best[s] & ~(kSymbols - 1)) | number_of(state);
      back[s * kStates + state] = static_cast<u8>(best[s] & (kSymbols - 1));
    }
  }
}

// One pass over the segments, begun `rotation` channels in; the keys start and end in the first half of `keys`.
__device__ inline void run(int* keys, const u32* wanted, int rotation, int half_steps, u8* back) {
  for (int n = 0; n < kLength; ++n) {
    const int from = n % 2 * kKeys;
    step(keys + from, keys + kKeys - from, wanted + (n + rotation) % kLength * kSegments, half_steps,
         back + static_cast<u64>(n) * kKeys);
    sync_block();
  }
}

// The state before step `stop` on the best path that ends in `state`; `codes` receives the bytes, if there are any.
__device__ inline int walk(int state, int stop, const u8* back, u8* codes) {
  for (int n = kLength - 1; n >= stop; --n) {
    if (codes != nullptr) codes[n] = static_cast<u8>(state & (kSymbols - 1));
    state = before(state, back[static_cast<u64>(n) * kKeys + state]);
  }
  return state;
}

__device__ inline int cheapest(const int* keys, int segment) {
  int best = 0;
  for (int state = 1; state < kStates; ++state)
    if (keys[state * kSegments + segment] >> 8 < keys[best * kSegments + segment] >> 8) best = state;
  return best;
}

// The four bytes of each target, negated; zero where there are fewer segments than kSegments.
__device__ inline void negate(const i8* targets, int count, i8* wanted) {
  for (int i = threadIdx.x; i < kLength * kSegments * kQuad; i += kSymbols) {
    const int row = i % kQuad, segment = i / kQuad % kSegments, n = i / kQuad / kSegments;
    wanted[i] = segment < count ? static_cast<i8>(-targets[(segment * kLength + n) * kQuad + row]) : 0;
  }
}

// Every state is a beginning where `closing` is null, else only that one of each segment.
__device__ inline void begin(int* keys, const int* closing) {
  for (int i = threadIdx.x; i < kKeys; i += kSymbols) {
    const int state = i / kSegments;
    const bool open = closing == nullptr || closing[i % kSegments] == state;
    keys[i] = (open ? 0 : kUnreachable * kSymbols) | number_of(state);
  }
}

}  // namespace lynceus

using namespace lynceus;

// `scratch` has space for the numbers of one pass, [grid][128][kSegments][states].
extern "C" __global__ void __launch_bounds__(256)
    encode(const i8* targets, u8* codes, u8* scratch, int segments, int half_steps) {
  int* keys = reinterpret_cast<int*>(shared_memory());     // [2][states][kSegments]
  u32* wanted = reinterpret_cast<u32*>(keys + 2 * kKeys);  // [128][kSegments], four bytes each
  int* closing = keys + 2 * kKeys + kLength * kSegments;   // [kSegments]
  u8* back = scratch + static_cast<u64>(blockIdx.x) * kLength * kKeys;
  const int mine = threadIdx.x;  // the segment that a thread walks back through, if it is one of the first
  for (int first = blockIdx.x * kSegments; first < segments; first += gridDim.x * kSegments) {
    const int count = segments - first < kSegments ? segments - first : kSegments;
    negate(targets + static_cast<u64>(first) * kLength * kQuad, count, reinterpret_cast<i8*>(wanted));
    begin(keys, nullptr);
    sync_block();
    run(keys, wanted, kLength / 2, half_steps, back);
    if (mine < kSegments) closing[mine] = walk(cheapest(keys, mine), kLength / 2, back + mine * kStates, nullptr);
    sync_block();
    begin(keys, closing);
    sync_block();
    run(keys, wanted, 0, half_steps, back);
    if (mine < count) walk(closing[mine], 0, back + mine * kStates, codes + static_cast<u64>(first + mine) * kLength);
    sync_block();
  }
}
