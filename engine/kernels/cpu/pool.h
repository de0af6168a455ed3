// The threads that share the work of one operation at a time.
#pragma once
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace lynceus {

// `threads - 1` helpers that live as long as the pool. Tasks are handed out one by one by an atomic ticket, so a
// thread that is held up takes fewer of them, and one that does not run at all is not waited for.
class Pool {
 public:
  using Task = std::function<void(int task, int worker)>;

  explicit Pool(int threads);
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  int threads() const { return static_cast<int>(helpers_.size()) + 1; }

  // Runs tasks 0..count-1 on all threads, the caller's too, and returns when all are done. `worker` is 0 for the
  // caller and below threads() for all. Not to be called by two threads at once, nor from a task.
  void run(int count, const Task& task);

 private:
  void help(int worker);
  bool take(uint64_t job, int worker);

  // The number of the job in the upper half, the next task in the lower: taking a task of a job that has ended fails.
  std::atomic<uint64_t> ticket_{0};
  std::atomic<int> count_{0};
  std::atomic<int> done_{0};
  std::atomic<const Task*> task_{nullptr};
  std::atomic<int> sleepers_{0};
  std::atomic<bool> closing_{false};
  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<std::thread> helpers_;
};

// The process's pool of that many threads, held by one operation at a time.
class PoolLease {
 public:
  explicit PoolLease(int threads);
  Pool* operator->() const;
  Pool& operator*() const;

 private:
  std::unique_lock<std::mutex> held_;
};

}  // namespace lynceus
