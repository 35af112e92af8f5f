// SPDX-License-Identifier: MIT
/// @file
/// Text as the module writes it.
#pragma once

#include <string>

namespace flexsc::test {

inline std::string counters(unsigned executed, const std::string& more = "") {
  return " executed=" + std::to_string(executed) +
         " helped=1 flushed=2 refused=3 stopped=0 cancelled=0 timed_out=0 batches=" +
         std::to_string(executed / 10) +
         " armed=4 blocked=5 handed_back=6 parks=7 doorbells=8 wakes=7 waits=9 flushes=2" + more +
         "\n";
}

inline const std::string kHead = "flexsc format=1 abi=2\n";

inline std::string group(unsigned id, int process, unsigned executed,
                         const std::string& name = "server", const std::string& state = "open") {
  return "group id=" + std::to_string(id) + " process=" + std::to_string(process) +
         " thread=" + std::to_string(process + 1) + " name=" + name + " state=" + state +
         " pools=1 clients=1 workers=3 running=1 waiting=12" +
         counters(executed, " batch_size=1:20,8:2 latency_ns=256:1,1024:98,4096:1");
}

inline std::string pool(unsigned group, unsigned index, unsigned executed) {
  return "pool group=" + std::to_string(group) + " index=" + std::to_string(index) +
         " cpus=0-3,7 policy=fifo priority=-5 concurrency=2 max_workers=4 spin_us=50 asleep=0"
         " workers=3 running=1 parked=1 blocked_now=1 waiting=12" +
         counters(executed, " batch_size=1:20,8:2 latency_ns=256:1,1024:98,4096:1");
}

inline std::string client(unsigned group, unsigned index, unsigned executed) {
  return "client group=" + std::to_string(group) + " index=" + std::to_string(index) +
         " pages=8 in_wait=1 waiting=12" + counters(executed, " batch_size=1:20 latency_ns=");
}

}  // namespace flexsc::test
