// SPDX-License-Identifier: MIT
// Many clients, slow clients, clients that vanish; time limits, exhaustion and stopping.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "fixture.hpp"

namespace flexsc::http::test {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

class Lifecycle : public HttpServer {};
FLEXSC_HTTP_SUITE(Lifecycle);

TEST_P(Lifecycle, ManyClientsAtOnceEachGetTheirBytes) {
  constexpr int kClients = 24;
  std::atomic<int> wrong{0};
  std::vector<std::jthread> threads;
  for (int i = 0; i < kClients; ++i) {
    threads.emplace_back([&, i] {
      const std::string& small = pattern(kSmall);
      const std::string& page = pattern(kPage);
      Client client(port());
      for (int n = 0; n < 20; ++n) {
        const bool even = (i + n) % 2 == 0;
        if (client.get(even ? "/small.txt" : "/page.html").body != (even ? small : page)) ++wrong;
      }
      if (client.get("/big.bin").body != pattern(kBig)) ++wrong;
    });
  }
  threads.clear();
  EXPECT_EQ(wrong.load(), 0);
}

TEST_P(Lifecycle, SlowReadersDoNotHoldUpOthers) {
  add_huge_file();
  std::vector<std::unique_ptr<Client>> slow;
  for (int i = 0; i < 6; ++i) {
    slow.push_back(std::make_unique<Client>(port(), /*receive_buffer=*/4096));
    ASSERT_TRUE(slow.back()->send(request_for("GET", i < 2 ? "/huge.bin" : "/big.bin")));
  }
  Client quick(port());
  for (int i = 0; i < 5; ++i) EXPECT_EQ(quick.get("/page.html").status, 200);
  for (std::size_t i = 0; i < slow.size(); ++i) {
    EXPECT_TRUE(slow[i]->read().body == pattern(i < 2 ? kHuge : kBig));
    EXPECT_EQ(slow[i]->get("/small.txt").status, 200);
  }
}

TEST_P(Lifecycle, ClientsThatVanishDoNoHarm) {
  for (int i = 0; i < 10; ++i) {
    Client client(port(), /*receive_buffer=*/4096);
    ASSERT_TRUE(client.send(request_for("GET", "/big.bin") + request_for("GET", "/big.bin")));
    EXPECT_GT(client.drop(1000), 0U);
  }  // closed with megabytes unread: the server sees a reset
  for (int i = 0; i < 10; ++i) {
    Client client(port());
    ASSERT_TRUE(client.send("GET /small"));
  }
  Client client(port());
  EXPECT_TRUE(client.get("/big.bin").body == pattern(kBig));
}

// A call on a socket with a time limit ends with EINTR when its process goes on after it was
// stopped. The request before was then answered a second time.
TEST_P(Lifecycle, AServerThatWasStoppedAndGoesOnAnswersEachRequestOnce) {
  ServerProcess server(GetParam(), site_root());
  Client client(server.port());
  const std::string& small = pattern(kSmall);
  const std::string& page = pattern(kPage);
  for (int i = 0; i < 10; ++i) {
    const bool even = i % 2 == 0;
    // The other file than last time, so that an answer of then is not taken for this one.
    ASSERT_TRUE(client.get(even ? "/small.txt" : "/page.html").body == (even ? small : page)) << i;
    server.signal(SIGSTOP);
    siginfo_t stopped{};
    ASSERT_EQ(::waitid(P_ALL, 0, &stopped, WSTOPPED), 0);
    server.signal(SIGCONT);
  }
  EXPECT_EQ(server.stop().exit_code, 0);
  EXPECT_EQ(server.stats()["requests"], 10);
}

// Those that wait together are let in together, and nobody twice or never.
TEST_P(Lifecycle, ARushOfClientsIsLetIn) {
  constexpr std::size_t kClients = 150;
  ServerProcess server(GetParam(), site_root());
  const std::uint16_t port = server.port();  // once it listens
  server.signal(SIGSTOP);
  siginfo_t stopped{};
  ASSERT_EQ(::waitid(P_ALL, 0, &stopped, WSTOPPED), 0);
  std::vector<std::unique_ptr<Client>> clients;
  for (std::size_t i = 0; i < kClients; ++i) {
    clients.push_back(std::make_unique<Client>(port));
    ASSERT_TRUE(clients.back()->send(request_for("GET", "/small.txt")));
  }
  server.signal(SIGCONT);
  for (const auto& client : clients) EXPECT_EQ(client->read().status, 200);
  for (const auto& client : clients) EXPECT_EQ(client->get("/small.txt").status, 200);
  clients.clear();
  EXPECT_EQ(server.stop().exit_code, 0);
  EXPECT_EQ(server.stats()["connections"], kClients);
  EXPECT_EQ(server.stats()["requests"], 2 * kClients);
}

// More than fits between server and client, in answers that each are small enough for a chain.
TEST_P(Lifecycle, WhoReadsLateGetsAllOfIt) {
  constexpr int kRequests = 24;
  Client client(port());
  std::string requests;
  for (int i = 0; i < kRequests; ++i) requests += request_for("GET", "/medium.bin");
  ASSERT_TRUE(client.send(requests));
  std::this_thread::sleep_for(milliseconds(400));
  const std::string& medium = pattern(kMedium);
  for (int i = 0; i < kRequests; ++i) ASSERT_TRUE(client.read().body == medium) << i;
}

// Who is served and stays may keep more than it needs for a moment only.
TEST_P(Lifecycle, ThoseWhoStayLeaveRoomForOthers) {
  constexpr std::size_t kFirst = 8;
  constexpr std::size_t kClients = 30;
  ServerProcess server(GetParam(), site_root(), {"--carriers", "0", "--pages", "1"});
  std::vector<std::unique_ptr<Client>> clients;
  for (std::size_t i = 0; i < kClients; ++i) {
    clients.push_back(std::make_unique<Client>(server.port()));
    ASSERT_EQ(clients.back()->get("/small.txt").status, 200) << i;
    if (i < kFirst) {
      ASSERT_EQ(clients.back()->get("/small.txt").status, 200) << i;
    }
  }
  for (const auto& client : clients) ASSERT_EQ(client->get("/small.txt").status, 200);
  clients.clear();
  EXPECT_EQ(server.stop().exit_code, 0);
  EXPECT_EQ(server.stats()["requests"], 2 * kClients + kFirst);
}

TEST_P(Lifecycle, SilenceEndsAConnectionAndAHalfRequestIsTold) {
  ServerProcess server(GetParam(), site_root(),
                       {"--idle-timeout-ms", "700", "--request-timeout-ms", "400"});
  ASSERT_NE(server.port(), 0);
  const auto begun = Clock::now();
  Client silent(server.port());
  Client used(server.port());
  EXPECT_EQ(used.get("/small.txt").status, 200);
  Client half(server.port());
  ASSERT_TRUE(half.send("GET / HTTP/1.1\r\nHost:"));
  Client dribbling(server.port());
  std::jthread dribble([&dribbling](const std::stop_token& stop) {
    // Each byte comes in time; the request as a whole does not.
    (void)dribbling.send("GET /");
    for (int i = 0; i < 200 && !stop.stop_requested() && dribbling.send("a"); ++i) {
      std::this_thread::sleep_for(milliseconds(50));
    }
  });
  EXPECT_EQ(half.read().status, 408);
  EXPECT_TRUE(half.at_end());
  EXPECT_TRUE(silent.at_end());
  EXPECT_TRUE(used.at_end());
  EXPECT_GE(Clock::now() - begun, milliseconds(400));
  EXPECT_EQ(dribbling.read().status, 408);
  dribble.request_stop();
  dribble.join();
  EXPECT_EQ(server.stop().exit_code, 0);
}

TEST_P(Lifecycle, RunningOutOfDescriptorsIsSurvived) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "the sanitizers look at memory through a pipe, and there is none to be had";
#endif
  ServerProcess server(GetParam(), site_root(), {}, {.max_files = 64, .cpus = {}});
  ASSERT_NE(server.port(), 0);
  {
    std::vector<std::unique_ptr<Client>> crowd;
    for (int i = 0; i < 100; ++i) {
      crowd.push_back(std::make_unique<Client>(server.port()));
      ASSERT_TRUE(crowd.back()->connected());
    }
    const auto end = Clock::now() + driver::kPatience;
    while (server.errors().find("cannot accept") == std::string::npos && Clock::now() < end) {
      std::this_thread::sleep_for(milliseconds(5));
    }
    EXPECT_NE(server.errors().find("cannot accept"), std::string::npos) << server.errors();
  }
  // Until the server has seen the whole crowd leave, it may take this client in and have no
  // descriptor left for the file: it says so.
  Response response;
  const auto end = Clock::now() + driver::kPatience;
  do {
    response = Client(server.port()).get("/big.bin");
  } while (response.status == 503 && Clock::now() < end);
  EXPECT_EQ(response.status, 200) << response.trouble;
  EXPECT_TRUE(response.body == pattern(kBig));
  EXPECT_EQ(server.stop().exit_code, 0);
}

TEST_P(Lifecycle, StoppingFinishesWhatWasBegunAndEndsWhatIsIdle) {
  add_huge_file();
  ServerProcess server(GetParam(), site_root());
  ASSERT_NE(server.port(), 0);
  Client idle(server.port());
  EXPECT_EQ(idle.get("/small.txt").status, 200);
  Client untouched(server.port());
  ASSERT_TRUE(untouched.connected());
  Client slow(server.port(), /*receive_buffer=*/4096);
  ASSERT_TRUE(slow.send(request_for("GET", "/huge.bin")));
  Client half(server.port(), /*receive_buffer=*/4096);
  ASSERT_TRUE(half.send(request_for("GET", "/big.bin")));
  EXPECT_EQ(half.drop(100), 100U);
  std::this_thread::sleep_for(milliseconds(100));

  server.signal(15);
  EXPECT_TRUE(idle.at_end());
  EXPECT_TRUE(untouched.at_end());
  std::this_thread::sleep_for(milliseconds(200));
  EXPECT_TRUE(server.running());
  const Response response = slow.read();
  EXPECT_EQ(response.status, 200) << response.trouble;
  EXPECT_TRUE(response.body == pattern(kHuge));
  EXPECT_TRUE(slow.at_end());
  EXPECT_GT(half.drop(2 * kBig), kBig - 100);
  const Ended ended = server.wait();
  EXPECT_EQ(ended.exit_code, 0) << ended.errors;
  EXPECT_FALSE(Client(server.port()).connected());
}

TEST_P(Lifecycle, InterruptStopsAnIdleServer) {
  ServerProcess server(GetParam(), site_root());
  ASSERT_NE(server.port(), 0);
  server.signal(2);
  EXPECT_EQ(server.wait().exit_code, 0);
}

TEST_P(Lifecycle, CountersAddUp) {
  ServerProcess server(GetParam(), site_root());
  ASSERT_NE(server.port(), 0);
  constexpr int kRequests = 50;
  {
    Client client(server.port());
    for (int i = 0; i < kRequests; ++i) EXPECT_EQ(client.get("/page.html").status, 200);
    EXPECT_EQ(client.get("/missing").status, 404);
    Client broken(server.port());
    EXPECT_EQ(broken.ask("rubbish\r\n\r\n").status, 400);
  }
  ASSERT_EQ(server.stop().exit_code, 0);
  const nlohmann::json stats = server.stats();
  EXPECT_EQ(stats["requests"], kRequests + 2);
  EXPECT_EQ(stats["responses"]["200"], kRequests);
  EXPECT_EQ(stats["responses"]["404"], 1);
  EXPECT_EQ(stats["responses"]["400"], 1);
  EXPECT_EQ(stats["connections"], 2);
  EXPECT_GT(stats["bytes"], kRequests * static_cast<int>(kPage));
  EXPECT_EQ(stats["model"], GetParam().model);
  if (GetParam().model == "fibers") {
    // recv, openat2, fstat, send, sendfile, close: all posted, none made by a carrier; or one chain
    // of them, once the file is known.
    const bool chains = GetParam().multi_calls.value_or(GetParam().engine == "kernel");
    const int posted = chains ? 1 : 6;
    EXPECT_GE(stats["runtime"]["posted"], kRequests * posted);
    EXPECT_LT(stats["runtime"]["posted"], kRequests * (posted + 1));
    EXPECT_EQ(stats["runtime"]["posted"], stats["runtime"]["reaped"]);
    EXPECT_EQ(stats["runtime"]["spawned"], stats["runtime"]["finished"]);
  } else {
    EXPECT_GE(stats["crossings"], kRequests * (GetParam().model == "esca" ? 5 : 6));
  }
}

TEST(HttpdProgram, SaysWhyAnEngineIsMissing) {
  const Side kernel{"fibers", "kernel"};
  const std::string reason = kernel.missing();
  if (reason.empty()) GTEST_SKIP() << "the kernel engine is here";
  ServerProcess server(kernel, site_root());
  const Ended ended = server.wait();
  EXPECT_EQ(ended.exit_code, 3);
  EXPECT_NE(ended.errors.find(reason), std::string::npos) << ended.errors;
}

TEST(HttpdProgram, RefusesWhatItCannotDo) {
  EXPECT_NE(ServerProcess({"epoll", ""}, "/does/not/exist").wait().exit_code, 0);
  EXPECT_NE(ServerProcess({"fibers", "direct"}, site_root()).wait().exit_code, 0);
  EXPECT_NE(ServerProcess({"magic", ""}, site_root()).wait().exit_code, 0);
}

}  // namespace
}  // namespace flexsc::http::test
