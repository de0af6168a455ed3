#pragma once
#include <cstddef>
#include <cstdint>

#include "kernels.h"

namespace lynceus {

// Segments to encode. Targets are in units of 1/target_steps of a value's step, centred on 0: with 4 steps the
// target 4.0 is 16. `beam` old states are followed at each byte; all of them make the search exact.
struct EncodeTask {
  const uint8_t* values;  // [2^window_bits][4], 0..30
  const int8_t* targets;  // [segments][128][4], -127..127
  uint8_t* codes;         // [segments][128]
  size_t segments;
  int window_bits;
  int centre;
  int target_steps;
  int beam;
  int threads;
  const Kernels* kernels; // whose instruction set the search uses; all find the same path
};

void encode(const EncodeTask& task);

}  // namespace lynceus
