// What the machine can do at most: read bandwidth, and int8 products in registers. Prints one line for each.
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

#include <immintrin.h>

namespace {

constexpr size_t kBytes = size_t{1} << 30;
constexpr int kRounds = 5;

template <class Work>
double best_seconds(int threads, Work work) {
  double best = 1e9;
  for (int round = 0; round < kRounds; ++round) {
    const auto begin = std::chrono::steady_clock::now();
    std::vector<std::thread> others;
    for (int t = 1; t < threads; ++t) others.emplace_back(work, t);
    work(0);
    for (auto& other : others) other.join();
    best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  }
  return best;
}

volatile long long sink;

void sum(const uint8_t* from, size_t bytes) {
  __m256i total[4] = {};
  for (size_t i = 0; i < bytes; i += 128)
    for (int k = 0; k < 4; ++k)
      total[k] = _mm256_add_epi64(total[k], _mm256_load_si256(reinterpret_cast<const __m256i*>(from + i + 32 * k)));
  for (auto& t : total) sink = sink + _mm256_extract_epi64(t, 0);
}

#if defined(__AVX512VNNI__)
constexpr double kOperations = 16.0 * 128;
#define LYNCEUS_DOT(n) asm volatile("vpdpbusd %%zmm30, %%zmm31, %%zmm" #n ::: "xmm" #n);
#else
constexpr double kOperations = 16.0 * 64;
#define LYNCEUS_DOT(n) asm volatile("vpmaddubsw %%ymm14, %%ymm15, %%ymm" #n ::: "xmm" #n);
#endif

void multiply(long rounds) {
  for (long i = 0; i < rounds; ++i) {
    LYNCEUS_DOT(0) LYNCEUS_DOT(1) LYNCEUS_DOT(2) LYNCEUS_DOT(3) LYNCEUS_DOT(4) LYNCEUS_DOT(5) LYNCEUS_DOT(6)
    LYNCEUS_DOT(7) LYNCEUS_DOT(0) LYNCEUS_DOT(1) LYNCEUS_DOT(2) LYNCEUS_DOT(3) LYNCEUS_DOT(4) LYNCEUS_DOT(5)
    LYNCEUS_DOT(6) LYNCEUS_DOT(7)
  }
}

}  // namespace

int main(int, char** arguments) {
  const int threads = std::atoi(arguments[1]);
  auto* memory = static_cast<uint8_t*>(std::aligned_alloc(64, kBytes));
  std::fill(memory, memory + kBytes, uint8_t{1});
  const size_t share = kBytes / threads / 128 * 128;
  const double reading = best_seconds(threads, [&](int t) { sum(memory + t * share, share); });
  constexpr long kLoops = 5'000'000;
  const double computing = best_seconds(threads, [](int) { multiply(kLoops); });
  std::printf("%.2f\n%.1f\n", share * threads / reading / 1e9, threads * kLoops * kOperations / computing / 1e9);
}
