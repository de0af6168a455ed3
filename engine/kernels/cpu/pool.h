// The threads that share the work of one operation at a time: OpenMP's, which are torch's own, so that the two never
// compete for a core.
#pragma once
#include <mutex>

namespace lynceus {

class Pool {
 public:
  explicit Pool(int threads) : threads_(threads) {}

  // Runs task(0), ... task(count - 1) on all threads, the caller's too, and returns when all are done. They are handed
  // out one by one, so a thread that is held up takes fewer of them.
  template <class Task>
  void run(int count, const Task& task) const {
    if (count <= 1 || threads_ == 1) {
      for (int i = 0; i < count; ++i) task(i);
      return;
    }
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads_)
    for (int i = 0; i < count; ++i) task(i);
  }

 private:
  int threads_;
};

// Held by one operation of the process at a time: their scratch is shared.
class PoolLease {
 public:
  explicit PoolLease(int threads) : held_(mutex()), pool_(threads) {}
  const Pool& operator*() const { return pool_; }

 private:
  static std::mutex& mutex() {
    static auto* only = new std::mutex;  // never destroyed: a thread may still compute when the process ends
    return *only;
  }

  std::unique_lock<std::mutex> held_;
  Pool pool_;
};

}  // namespace lynceus
