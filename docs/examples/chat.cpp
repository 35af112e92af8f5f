// SPDX-License-Identifier: MIT
// A chat room: every line that somebody sends goes to all others. Usage: flexsc-chat [PORT
// [ENGINE]], then some times: nc localhost 7000
//
// Each connection has two fibers: one reads its lines, one writes what others say, from a channel
// of its own. Who does not keep up is put out instead of holding up the room.
#include <array>
#include <csignal>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "flexsc/channel.hpp"
#include "flexsc/fiber.hpp"
#include "flexsc/mutex.hpp"
#include "flexsc/posix.hpp"
#include "listen.hpp"

namespace {

constexpr std::size_t kBehind = 64;  // lines that a member may lag behind
constexpr std::size_t kLine = 1024;  // bytes; longer ones are cut into pieces

struct Member {
  explicit Member(int connection) : fd(connection) {}
  const int fd;
  flexsc::BoundedChannel<std::string> lines{kBehind};
};

/// Who is there. Fibers of all carriers use it.
class Room {
 public:
  void enter(Member& member) {
    const std::scoped_lock lock(mutex_);
    members_.push_back(&member);
  }
  void leave(Member& member) {
    const std::scoped_lock lock(mutex_);
    members_.remove(&member);
  }
  void say(const std::string& line, const Member& speaker) {
    const std::scoped_lock lock(mutex_);
    for (Member* each : members_) {
      if (each == &speaker) continue;
      std::string copy = line;
      if (each->lines.try_send(copy) == flexsc::ChannelStatus::timeout) {
        ::shutdown(each->fd, SHUT_RDWR);  // ends its two fibers
      }
    }
  }

 private:
  flexsc::Mutex mutex_;
  std::list<Member*> members_;
};

void write_lines(Member& member) {
  while (const std::optional<std::string> line = member.lines.receive()) {
    for (std::string_view rest = *line; !rest.empty();) {
      const ssize_t sent = flexsc::send(member.fd, rest.data(), rest.size(), 0);
      if (sent <= 0) return;
      rest.remove_prefix(static_cast<std::size_t>(sent));
    }
  }
}

void read_lines(Room& room, Member& member) {
  std::array<char, kLine> buffer;
  std::string pending;
  for (;;) {
    const ssize_t got = flexsc::recv(member.fd, buffer.data(), buffer.size(), 0);
    if (got <= 0) return;
    pending.append(buffer.data(), static_cast<std::size_t>(got));
    for (std::size_t end = 0; (end = pending.find('\n')) != std::string::npos;) {
      room.say(pending.substr(0, end + 1), member);
      pending.erase(0, end + 1);
    }
    if (pending.size() >= kLine) {
      room.say(pending + '\n', member);
      pending.clear();
    }
  }
}

void serve(flexsc::Runtime& runtime, Room& room, int connection) {
  Member member(connection);
  room.enter(member);
  flexsc::Fiber writer = runtime.spawn([&] { write_lines(member); }, {.name = "writer"});
  read_lines(room, member);
  room.leave(member);
  member.lines.close();
  ::shutdown(connection, SHUT_RDWR);  // the writer may be in the middle of a send
  writer.join();
  flexsc::close(connection);
}

}  // namespace

int main(int argc, char** argv) try {
  std::signal(SIGPIPE, SIG_IGN);
  flexsc::RuntimeOptions options;
  options.engine.kind = flexsc::engine_named(argc > 2 ? argv[2] : "threads");

  Room room;
  flexsc::Runtime runtime(options);
  const int listener = example::listen_on(example::port_of(argc, argv, 7000));
  runtime
      .spawn([&] {
        for (;;) {
          const int connection = flexsc::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
          if (connection < 0) continue;
          runtime.spawn([&, connection] { serve(runtime, room, connection); }, {.name = "reader"})
              .detach();
        }
      })
      .join();
  return 0;
} catch (const std::system_error& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
