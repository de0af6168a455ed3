// Viterbi search of the 2-bit code (layout: engine/format/layout.py; oracle: engine/quant/viterbi.py).
//
// The state between two bytes is the window without its oldest byte, `window_bits - 8` bits. From the old state p
// the byte c leads through the window w = p << 8 | c to the new state w mod 2^(window_bits - 8), at the cost of the
// squared distance between w's four values and the target. All costs are integers, so every build finds the same path.
#include "encode.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <limits>
#include <thread>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace lynceus {
namespace {

constexpr int kSegment = 128;
constexpr int kRows = 4;
constexpr int kSymbols = 256;
constexpr int32_t kUnreachable = 1 << 28;  // above any path's cost, and far from overflow when steps are added

// One step for one block of 256 new states, which all have the same set of predecessors.
struct Block {
  const uint8_t* values;     // [windows][4]
  const int32_t* norms;      // [windows]
  const int32_t* old_cost;   // [states]
  const int32_t* old_states; // predecessors to try, ascending
  int count;
  int bits_of_older;         // window_bits - 16: a predecessor's number within the block is p >> this
  const int8_t* target;      // [4], negated
};

void step_portable(const Block& b, int32_t* cost, uint8_t* back) {
  std::fill(cost, cost + kSymbols, kUnreachable * 2);
  std::memset(back, 0, kSymbols);
  for (int i = 0; i < b.count; ++i) {
    const int p = b.old_states[i];
    const uint8_t* v = b.values + static_cast<size_t>(p) * kSymbols * kRows;
    const int32_t* norm = b.norms + static_cast<size_t>(p) * kSymbols;
    const auto number = static_cast<uint8_t>(p >> b.bits_of_older);
    for (int c = 0; c < kSymbols; ++c) {
      const int32_t dot = v[4 * c] * b.target[0] + v[4 * c + 1] * b.target[1] + v[4 * c + 2] * b.target[2] +
                          v[4 * c + 3] * b.target[3];
      const int32_t d = b.old_cost[p] + norm[c] + dot;
      back[c] = d < cost[c] ? number : back[c];
      cost[c] = d < cost[c] ? d : cost[c];
    }
  }
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) __m256i load256(const void* from) {
  return _mm256_loadu_si256(static_cast<const __m256i*>(from));
}

__attribute__((target("avx2"))) void step_avx2(const Block& b, int32_t* cost, uint8_t* back) {
  int32_t packed;
  std::memcpy(&packed, b.target, sizeof packed);
  const __m256i target = _mm256_set1_epi32(packed), ones = _mm256_set1_epi16(1);
  constexpr int kLanes = 8, kChunks = 4;  // 32 new states at a time stay in registers
  for (int first = 0; first < kSymbols; first += kLanes * kChunks) {
    __m256i best[kChunks], from[kChunks];
    for (int k = 0; k < kChunks; ++k) {
      best[k] = _mm256_set1_epi32(kUnreachable * 2);
      from[k] = _mm256_setzero_si256();
    }
    for (int i = 0; i < b.count; ++i) {
      const int p = b.old_states[i];
      const __m256i old = _mm256_set1_epi32(b.old_cost[p]);
      const __m256i number = _mm256_set1_epi32(p >> b.bits_of_older);
      for (int k = 0; k < kChunks; ++k) {
        const size_t window = static_cast<size_t>(p) * kSymbols + first + k * kLanes;
        // The pairs' sums fit 16 bits: values are at most 30, targets 127.
        const __m256i pairs = _mm256_maddubs_epi16(load256(b.values + window * kRows), target);
        const __m256i dot = _mm256_madd_epi16(pairs, ones);
        const __m256i d = _mm256_add_epi32(_mm256_add_epi32(old, load256(b.norms + window)), dot);
        from[k] = _mm256_blendv_epi8(from[k], number, _mm256_cmpgt_epi32(best[k], d));
        best[k] = _mm256_min_epi32(best[k], d);
      }
    }
    for (int k = 0; k < kChunks; ++k) {
      alignas(32) int32_t numbers[kLanes];
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(cost + first + k * kLanes), best[k]);
      _mm256_store_si256(reinterpret_cast<__m256i*>(numbers), from[k]);
      for (int lane = 0; lane < kLanes; ++lane) back[first + k * kLanes + lane] = static_cast<uint8_t>(numbers[lane]);
    }
  }
}

__attribute__((target("avx512f,avx512bw,avx512vl,avx512vnni"))) void step_vnni(const Block& b, int32_t* cost,
                                                                               uint8_t* back) {
  int32_t packed;
  std::memcpy(&packed, b.target, sizeof packed);
  const __m512i target = _mm512_set1_epi32(packed);
  constexpr int kLanes = 16, kChunks = 4;  // 64 new states at a time stay in registers
  for (int first = 0; first < kSymbols; first += kLanes * kChunks) {
    __m512i best[kChunks], from[kChunks];
    for (int k = 0; k < kChunks; ++k) {
      best[k] = _mm512_set1_epi32(kUnreachable * 2);
      from[k] = _mm512_setzero_si512();
    }
    for (int i = 0; i < b.count; ++i) {
      const int p = b.old_states[i];
      const __m512i old = _mm512_set1_epi32(b.old_cost[p]);
      const __m512i number = _mm512_set1_epi32(p >> b.bits_of_older);
      for (int k = 0; k < kChunks; ++k) {
        const size_t window = static_cast<size_t>(p) * kSymbols + first + k * kLanes;
        __m512i d = _mm512_add_epi32(old, _mm512_loadu_si512(b.norms + window));
        d = _mm512_dpbusd_epi32(d, _mm512_loadu_si512(b.values + window * kRows), target);
        const __mmask16 better = _mm512_cmplt_epi32_mask(d, best[k]);
        best[k] = _mm512_min_epi32(best[k], d);
        from[k] = _mm512_mask_mov_epi32(from[k], better, number);
      }
    }
    for (int k = 0; k < kChunks; ++k) {
      _mm512_storeu_si512(cost + first + k * kLanes, best[k]);
      _mm_storeu_si128(reinterpret_cast<__m128i*>(back + first + k * kLanes), _mm512_cvtepi32_epi8(from[k]));
    }
  }
}
#endif

using Step = void (*)(const Block&, int32_t*, uint8_t*);

// One for each name that `kernels` knows, and with its instructions.
Step step_of(const Kernels& table) {
#if defined(__x86_64__)
  if (&table == &kAvx512) return step_vnni;
  if (&table == &kAvx2) return step_avx2;
#endif
  return &table == &kPortable ? step_portable : nullptr;
}

// Searches segments one after the other; owns the memory of one thread.
class Search {
 public:
  Search(const EncodeTask& task, const int32_t* norms, Step step)
      : task_(task), norms_(norms), step_(step), states_(1 << (task.window_bits - 8)), cost_(states_), next_(states_),
        back_(static_cast<size_t>(kSegment) * states_), kept_(states_ / kSymbols) {}

  // Tail biting by two passes: the first, begun half a segment away, says in which state the segment should close.
  void encode(const int8_t* targets, uint8_t* codes) {
    std::fill(cost_.begin(), cost_.end(), 0);
    run(targets, kSegment / 2);
    const int last = static_cast<int>(std::min_element(cost_.begin(), cost_.end()) - cost_.begin());
    const int closing = walk_back(last, kSegment / 2, nullptr);
    std::fill(cost_.begin(), cost_.end(), kUnreachable);
    cost_[closing] = 0;
    run(targets, 0);
    walk_back(closing, 0, codes);
  }

 private:
  void run(const int8_t* targets, int rotation) {
    for (int n = 0; n < kSegment; ++n) {
      const int8_t* wanted = targets + static_cast<size_t>((n + rotation) % kSegment) * kRows;
      int8_t negated[kRows];
      for (int i = 0; i < kRows; ++i) negated[i] = static_cast<int8_t>(-wanted[i]);
      keep_best();
      for (size_t block = 0; block < kept_.size(); ++block) {
        const Block b{task_.values, norms_, cost_.data(), kept_[block].data(), static_cast<int>(kept_[block].size()),
                      task_.window_bits - 16, negated};
        step_(b, next_.data() + block * kSymbols, back_.data() + static_cast<size_t>(n) * states_ + block * kSymbols);
      }
      const int32_t least = *std::min_element(next_.begin(), next_.end());
      for (int s = 0; s < states_; ++s) cost_[s] = std::min(next_[s] - least, kUnreachable);
    }
  }

  // Groups the old states by the block of new states they lead to, and drops all but the beam's best; one of each
  // block stays, so that every closing state can be reached.
  void keep_best() {
    int32_t limit = std::numeric_limits<int32_t>::max();
    if (task_.beam < states_) {
      ranked_ = cost_;
      std::nth_element(ranked_.begin(), ranked_.begin() + task_.beam - 1, ranked_.end());
      limit = ranked_[task_.beam - 1];
    }
    for (size_t block = 0; block < kept_.size(); ++block) {
      kept_[block].clear();
      int best = static_cast<int>(block);
      for (int p = static_cast<int>(block); p < states_; p += static_cast<int>(kept_.size())) {
        if (cost_[p] < cost_[best]) best = p;
        if (cost_[p] <= limit) kept_[block].push_back(p);
      }
      if (kept_[block].empty()) kept_[block].push_back(best);
    }
  }

  // Follows the best path from `state` after the last step; stops where the rotated pass crosses the segment's end.
  int walk_back(int state, int rotation, uint8_t* codes) {
    for (int n = kSegment - 1; n >= 0; --n) {
      if (codes == nullptr && (n + rotation) % kSegment == kSegment - 1) return state;
      if (codes != nullptr) codes[n] = static_cast<uint8_t>(state);
      const int number = back_[static_cast<size_t>(n) * states_ + state];
      state = number << (task_.window_bits - 16) | state >> 8;
    }
    return state;
  }

  const EncodeTask& task_;
  const int32_t* norms_;
  Step step_;
  int states_;
  std::vector<int32_t> cost_, next_, ranked_;
  std::vector<uint8_t> back_;
  std::vector<std::vector<int32_t>> kept_;
};

}  // namespace

void encode(const EncodeTask& task) {
  const size_t windows = size_t{1} << task.window_bits;
  std::vector<int32_t> norms(windows);
  for (size_t w = 0; w < windows; ++w)
    for (int i = 0; i < kRows; ++i) {
      const int v = task.values[w * kRows + i] - task.centre;
      norms[w] += v * v * task.target_steps / 2;
    }
  const Step step = step_of(*task.kernels);
  std::atomic<size_t> taken{0};
  auto work = [&] {
    Search search(task, norms.data(), step);
    for (size_t s = taken++; s < task.segments; s = taken++)
      search.encode(task.targets + s * kSegment * kRows, task.codes + s * kSegment);
  };
  std::vector<std::thread> helpers;
  for (int i = 1; i < task.threads; ++i) helpers.emplace_back(work);
  work();
  for (auto& helper : helpers) helper.join();
}

}  // namespace lynceus
