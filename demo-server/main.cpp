// SPDX-License-Identifier: MIT
// flexsc-httpd: a static-file server that shows the ways to make system calls.
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <exception>
#include <thread>

#include "options.hpp"
#include "stats.hpp"

namespace {

using namespace flexsc::http;

/// Takes SIGTERM and SIGINT in a thread of its own; the first stops the model, a second
/// one ends the process. Every other thread has them blocked, provided that block() was
/// called before any was made.
class SignalThread {
 public:
  static sigset_t signals() {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    return set;
  }

  static void block() {
    const sigset_t set = signals();
    pthread_sigmask(SIG_BLOCK, &set, nullptr);
  }

  explicit SignalThread(Model& model) : thread_([this, &model] { work(model); }) {}
  SignalThread(const SignalThread&) = delete;
  SignalThread& operator=(const SignalThread&) = delete;
  ~SignalThread() {
    finished_.store(true);
    pthread_kill(thread_.native_handle(), SIGINT);
    thread_.join();
  }

 private:
  void work(Model& model) {
    const sigset_t set = signals();
    for (bool stopped = false;; stopped = true) {
      int number = 0;
      sigwait(&set, &number);
      if (finished_.load()) return;
      if (stopped) _exit(128 + number);
      model.stop();
    }
  }

  std::atomic<bool> finished_{false};  // set before the signal that makes work() look at it
  std::thread thread_;                 // last: it uses the others
};

/// The sentence that says why an engine cannot be used here; empty if it can, or if the
/// model has no use for one.
std::string missing_engine(const ModelOptions& options) {
  if (options.kind != ModelKind::fibers && options.kind != ModelKind::esca) return {};
  for (const flexsc::Availability& found : flexsc::probe()) {
    if (found.kind == options.engine.kind && !found.available) return found.reason;
  }
  return {};
}

int run(const Options& options) {
  const std::string missing = missing_engine(options.model);
  if (!missing.empty()) {
    std::fprintf(stderr, "flexsc-httpd: %s\n", missing.c_str());
    return 3;
  }
  Service service(options.service);
  const std::unique_ptr<Model> model = Model::make(options.model, service);
  {
    SignalThread signals(*model);
    if (!options.port_file.empty()) {
      write_file(options.port_file, std::to_string(model->port()) + '\n');
    }
    if (!options.quiet) {
      std::printf("flexsc-httpd: serving %s on http://%s:%u/ (%s)\n", options.service.root.c_str(),
                  options.service.address.c_str(), unsigned{model->port()},
                  std::string(to_string(options.model.kind)).c_str());
      std::fflush(stdout);
    }
    model->run();
  }
  if (!options.stats_file.empty()) write_stats(options, service.tally(), model->stats());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  int exit_code = 0;
  try {
    const auto options = parse_options(argc, argv, exit_code);
    if (!options) return exit_code;
    SignalThread::block();
    // Clients that go away show as EPIPE. sendfile() has no flag for that.
    signal(SIGPIPE, SIG_IGN);
    return run(*options);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "flexsc-httpd: %s\n", error.what());
    return 1;
  }
}
