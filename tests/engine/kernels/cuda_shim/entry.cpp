// Calls one kernel of one source with the arguments that the runner read.
#include KERNEL_SOURCE

#include <cstddef>
#include <utility>

extern void* const* arguments;
void run_kernel();

namespace {

template <class... Arguments, std::size_t... kIndex>
void call(void (*kernel)(Arguments...), std::index_sequence<kIndex...>) {
  kernel(*static_cast<Arguments*>(arguments[kIndex])...);
}

template <class... Arguments>
void call(void (*kernel)(Arguments...)) {
  call(kernel, std::index_sequence_for<Arguments...>{});
}

}  // namespace

void run_kernel() { call(KERNEL_NAME); }
