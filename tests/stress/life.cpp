// SPDX-License-Identifier: MIT
#include "life.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstring>
#include <fstream>
#include <string>

#include "passing.hpp"

namespace flexsc_stress {

using flexsc_guest::call;
using flexsc_guest::Client;
using flexsc_guest::Failure;
using flexsc_guest::Group;

namespace {

constexpr unsigned kMaxClients = 4;
constexpr unsigned kMaxPages = 3;

std::size_t count_in(const char* folder) {
  DIR* const entries = ::opendir(folder);
  if (entries == nullptr) return 0;
  std::size_t count = 0;
  while (const dirent* entry = ::readdir(entries)) count += entry->d_name[0] != '.' ? 1 : 0;
  ::closedir(entries);
  return count - (std::strcmp(folder, "/proc/self/fd") == 0 ? 1 : 0);
}

}  // namespace

std::size_t workers() {
  std::size_t count = 0;
  DIR* const threads = ::opendir("/proc/self/task");
  if (threads == nullptr) return 0;
  while (const dirent* entry = ::readdir(threads)) {
    if (entry->d_name[0] == '.') continue;
    std::ifstream name(std::string("/proc/self/task/") + entry->d_name + "/comm");
    std::string text;
    std::getline(name, text);
    count += text.rfind("flexsc-w", 0) == 0 ? 1 : 0;
  }
  ::closedir(threads);
  return count;
}

std::size_t open_descriptors() {
  return count_in("/proc/self/fd");
}

Life::Life(std::uint64_t seed, bool faulty)
    : random_(seed),
      company_seed_(seed ^ 0x5deece66dULL),
      faulty_(faulty),
      sink_(flexsc_guest::make_pipe()),
      source_(flexsc_guest::make_pipe()),
      never_(flexsc_guest::make_pipe(O_NONBLOCK)),
      buffer_(1 << 16),
      descriptors_(open_descriptors()) {}

Life::~Life() = default;

void Life::live(unsigned operations) {
  company_ = std::jthread([this](const std::stop_token& stop) { keep_company(stop); });
  for (unsigned i = 0; i < operations; ++i) {
    try {
      step();
    } catch (const Failure&) {
      // The module said no to a set-up: a signal, a limit, no memory. Nothing else throws it.
    }
    if (i % 64 == 63) settle();
  }
  settle();
  // Most ends leave the clearing up to the kernel.
  switch (random_.below(6)) {
    case 0:
      post();
      ::_exit(0);
    case 1:
      post();
      ::execl("/proc/self/exe", "flexsc-stress", "--nothing", nullptr);
      ::_exit(faulty_ ? 0 : 1);
    case 2:
      post();
      ::raise(SIGSEGV);
      break;
    case 3:
      // The last thread of the program leaves, and not the process.
      company_.request_stop();
      company_.join();
      post();
      flexsc_guest::direct(SYS_exit, 0);
      break;
    default:
      clean_end();
  }
}

void Life::step() {
  if (groups_.empty()) return make_group();
  if (mine_.empty()) return make_client();
  switch (random_.below(40)) {
    case 0:
      return make_group();
    case 1:
      return make_client();
    case 2:
      return drop_client();
    case 3:
    case 4:
      return change_pool();
    case 5:
    case 6:
      return cancel();
    case 7:
      return protect();
    case 8:
      return random_.one_in(8) ? fork_and_try() : post();
    case 9:
      return random_.one_in(4) ? leave_in_flight() : post();
    case 10:
    case 11:
    case 12:
      return post_illegal();
    case 13:
    case 14:
      return feed();
    default:
      post();
  }
  if (Mine* mine = any()) {
    switch (random_.below(8)) {
      case 0:
        mine->client->flush();
        break;
      case 1:
        mine->client->notify();
        break;
      case 2:
        mine->client->doorbell(random_.below(FLEXSC_MAX_POOLS + 1));
        break;
      case 3:
        mine->client->wait(random_.below(3), std::chrono::microseconds(random_.below(500)),
                           random_.below(4));
        break;
      default:
        reap(*mine);
    }
  }
}

void Life::make_group() {
  if (groups_.size() == kMaxGroups) {
    // The oldest goes, with everything that is on its way.
    const std::size_t gone = random_.below(static_cast<unsigned>(groups_.size()));
    if (!groups_[gone]) return;
    groups_[gone]->close();
    return;
  }
  groups_.push_back(std::make_unique<Group>());
  pools_.push_back(0);
  const unsigned pools = random_.below(3) + 1;
  for (unsigned i = 0; i < pools; ++i) {
    const long made = groups_.back()->create_pool({.concurrency = random_.below(3) + 1,
                                                   .standby_max = random_.below(16),
                                                   .spin_us = random_.below(2) * 50});
    if (made >= 0) ++pools_.back();
  }
}

void Life::make_client() {
  if (mine_.size() == kMaxClients) return;
  const std::size_t group = random_.below(static_cast<unsigned>(groups_.size()));
  const unsigned pages = random_.below(kMaxPages) + 1;
  Mine mine;
  mine.client = std::make_shared<Client>(*groups_[group], pages);
  mine.group = group;
  mine.kinds.resize(pages);
  for (auto& page : mine.kinds) page.fill(Kind::kFree);
  mine_.push_back(std::move(mine));
  share();
}

/// Its pages go under the workers, or its descriptor, or first one and then the other. What was on
/// its way cannot be looked at any more; it may have been written or not, so all is settled before.
void Life::drop_client() {
  settle();
  if (mine_.empty()) return;
  const std::size_t at = random_.below(static_cast<unsigned>(mine_.size()));
  const std::shared_ptr<Client> client = mine_[at].client;
  mine_.erase(mine_.begin() + static_cast<std::ptrdiff_t>(at));
  share();
  static char bytes[8];
  client->fill(0, 0, call(SYS_read, source_.reader.get(), bytes, 1));
  client->fill(0, 1, call(SYS_getppid));
  client->submit(0, 3);
  if (random_.one_in(2)) {
    client->unmap();
  } else {
    ::mprotect(client->base(), client->bytes(), PROT_NONE);
  }
  client->close();
  feed();
}

void Life::change_pool() {
  const std::size_t group = random_.below(static_cast<unsigned>(groups_.size()));
  const std::vector<unsigned char> cpus{static_cast<unsigned char>(random_.below(4))};
  flexsc_guest::PoolChange change{.concurrency = random_.below(4),
                                  .standby_max = random_.below(8),
                                  .spin_us = random_.below(2) * 100};
  if (random_.one_in(3)) change.cpus = cpus;
  if (random_.one_in(4)) change.sched = {random_.below(6), static_cast<int>(random_.below(30)) - 5};
  (void)groups_[group]->update_pool(random_.below(4), change);
}

void Life::protect() {
  Mine* const mine = any();
  if (mine == nullptr) return;
  // The company only makes commands. Whatever happens to the mapping, the kernel has its own.
  ::mprotect(mine->client->base(), mine->client->bytes(), PROT_READ);
  mine->client->doorbell(0);
  ::mprotect(mine->client->base(), mine->client->bytes(), PROT_READ | PROT_WRITE);
}

/// A child has neither the pages nor a descriptor that works.
void Life::fork_and_try() {
  Mine* const mine = any();
  if (mine == nullptr) return;
  const pid_t child = ::fork();
  if (child == 0) {
    unsigned char resident = 0;
    if (mine->client->flush() != -EPERM || mine->client->cancel(0, 0) != -EPERM) ::_exit(1);
    if (::mincore(mine->client->base(), 1, &resident) != -1) ::_exit(2);
    flexsc_query query{};
    query.size = sizeof query;
    const long asked = flexsc_guest::control(groups_[mine->group]->fd(), FLEXSC_IOC_QUERY, &query);
    ::_exit(asked == -EPERM || asked == -EBADF ? 0 : 3);
  }
  if (child < 0) return;
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) != 0) {
    throw Violation("a child could use its parent's group: " + std::to_string(WEXITSTATUS(status)));
  }
}

/// The descriptor of a client, in a message that nobody will receive: with it goes the socket that
/// would receive it, so that only the kernel's search for such circles frees them.
void Life::leave_in_flight() {
  Mine* const mine = any();
  if (mine == nullptr) return;
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) return;
  flexsc_guest::send_fds(ends[0], std::array{mine->client->fd(), ends[1]},
                         MSG_DONTWAIT | MSG_NOSIGNAL);
  ::close(ends[0]);
  ::close(ends[1]);
}

void Life::clean_end() {
  company_.request_stop();
  company_.join();
  mine_.clear();
  shared_.clear();
  groups_.clear();
  if (!flexsc_guest::eventually([] { return workers() == 0; })) {
    throw Violation(std::to_string(workers()) + " workers are left");
  }
  // Task work and the collection of descriptors in flight take a moment.
  if (!flexsc_guest::eventually([&] { return open_descriptors() <= descriptors_; })) {
    throw Violation(std::to_string(open_descriptors()) + " descriptors are open, there were " +
                    std::to_string(descriptors_));
  }
}

void Life::share() {
  const std::lock_guard lock(mutex_);
  shared_.assign(mine_.begin(), mine_.end());
}

/// Another thread, which makes commands and never looks at entries.
void Life::keep_company(const std::stop_token& stop) {
  Random random(company_seed_);
  while (!stop.stop_requested()) {
    Shared with;
    {
      const std::lock_guard lock(mutex_);
      if (!shared_.empty()) with = shared_[random.below(static_cast<unsigned>(shared_.size()))];
    }
    if (with.client) {
      switch (random.below(6)) {
        case 0:
          with.client->flush();
          break;
        case 1:
          with.client->notify();
          break;
        case 2:
          (void)with.client->cancel(0, random.below(64));
          break;
        case 3:
          with.client->doorbell(random.below(3));
          break;
        default:
          with.client->wait(random.below(4), std::chrono::microseconds(random.below(800)),
                            random.below(4));
      }
    }
    std::this_thread::sleep_for(std::chrono::microseconds(random.below(400)));
  }
}

}  // namespace flexsc_stress
