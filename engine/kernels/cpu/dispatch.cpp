#include <cstring>

#include "kernels.h"

namespace lynceus {
namespace {

#if defined(__x86_64__)
bool has_avx512() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512vnni");
}

bool has_avx2() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
}
#endif

bool asked(const char* name, const Kernels& table) { return name[0] == '\0' || std::strcmp(name, table.name) == 0; }

}  // namespace

const Kernels* kernels(const char* name) {
#if defined(__x86_64__)
  if (asked(name, kAvx512) && has_avx512()) return &kAvx512;
  if (asked(name, kAvx2) && has_avx2()) return &kAvx2;
#endif
  return asked(name, kPortable) ? &kPortable : nullptr;
}

}  // namespace lynceus
