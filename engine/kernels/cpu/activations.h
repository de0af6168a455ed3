// Activations in int8: what every compressed matrix is multiplied with.
#pragma once
#include <vector>

#include "kernels.h"
#include "pool.h"

namespace lynceus {

// T tokens of K values; K is padded with zeros to whole blocks. Memory is kept for the next use.
class Activations {
 public:
  void resize(int tokens, int rows);

  int tokens() const { return tokens_; }
  int blocks() const { return blocks_; }
  int8_t* values(int token, int block) { return values_.data() + (size_t(token) * blocks_ + block) * kBlock; }
  float* scale(int token, int block) { return scales_.data() + size_t(token) * blocks_ + block; }
  int32_t* sums(int token, int block) { return sums_.data() + (size_t(token) * blocks_ + block) * (kBlock / kGroup); }

  // Quantizes x [T][K], rotated where signs [K] are given; needs K a multiple of kBlock then.
  void quantize(const Kernels& kernels, const Pool& pool, const float* x, int tokens, int rows, const int8_t* signs);

 private:
  void quantize_token(const Kernels& kernels, const float* x, int token, int rows, const int8_t* signs);

  int tokens_ = 0, blocks_ = 0;
  std::vector<int8_t> values_;
  std::vector<float> scales_;
  std::vector<int32_t> sums_;
};

}  // namespace lynceus
