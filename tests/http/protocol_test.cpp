// SPDX-License-Identifier: MIT
// Connections: how long they live, and requests that come in pieces, in heaps or broken.
#include <gtest/gtest.h>

#include <array>
#include <string>
#include <utility>

#include "fixture.hpp"

namespace flexsc::http::test {
namespace {

class Protocol : public HttpServer {};
FLEXSC_HTTP_SUITE(Protocol);

TEST_P(Protocol, ConnectionsPersistUntilTheClientIsDone) {
  Client client(port());
  for (int i = 0; i < 20; ++i) ASSERT_EQ(client.get("/small.txt").status, 200) << i;
  client.finish_sending();
  EXPECT_TRUE(client.at_end());
}

TEST_P(Protocol, CloseIsHonouredAndSaid) {
  Client client(port());
  const Response response = client.get("/page.html", "Connection: close\r\n");
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.field("connection"), "close");
  EXPECT_TRUE(response.body == pattern(kPage));
  EXPECT_TRUE(client.at_end());
}

TEST_P(Protocol, Http10ClosesUnlessAskedToStay) {
  Client plain(port());
  const Response closed = plain.ask("GET /small.txt HTTP/1.0\r\n\r\n");
  EXPECT_EQ(closed.status, 200);
  EXPECT_EQ(closed.field("connection"), "close");
  EXPECT_TRUE(plain.at_end());

  Client staying(port());
  for (int i = 0; i < 3; ++i) {
    const Response kept = staying.ask("GET /small.txt HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    EXPECT_EQ(kept.status, 200) << kept.trouble;
    EXPECT_EQ(kept.field("connection"), "keep-alive");
  }
}

TEST_P(Protocol, PipelinedRequestsAreAnsweredInOrder) {
  Client client(port());
  std::string heap;
  for (int i = 0; i < 40; ++i) heap += request_for("GET", i % 2 == 0 ? "/small.txt" : "/page.html");
  ASSERT_TRUE(client.send(heap));
  for (int i = 0; i < 40; ++i) {
    const Response response = client.read();
    ASSERT_EQ(response.status, 200) << i << ": " << response.trouble;
    ASSERT_TRUE(response.body == pattern(i % 2 == 0 ? kSmall : kPage)) << i;
  }
}

TEST_P(Protocol, PipelinedAnswersThatFillEveryBufferAreNotLost) {
  // Sends without reading until the server's sends fall short, then reads it all.
  Client client(port(), /*receive_buffer=*/4096);
  std::string heap;
  for (int i = 0; i < 12; ++i) heap += request_for("GET", "/big.bin") + request_for("GET", "/none");
  ASSERT_TRUE(client.send(heap));
  const std::string& big = pattern(kBig);
  for (int i = 0; i < 12; ++i) {
    const Response found = client.read();
    ASSERT_EQ(found.status, 200) << i << ": " << found.trouble;
    ASSERT_TRUE(found.body == big) << i;
    ASSERT_EQ(client.read().status, 404) << i;
  }
}

TEST_P(Protocol, RequestsMayArriveByteByByte) {
  Client client(port());
  for (const char byte : request_for("GET", "/small.txt", "X-Field: value\r\n")) {
    ASSERT_TRUE(client.send({&byte, 1}));
  }
  EXPECT_TRUE(client.read().body == pattern(kSmall));
}

TEST_P(Protocol, ARequestAndAHalfAreOneAnswerAndThenAnother) {
  Client client(port());
  const std::string two = request_for("GET", "/small.txt") + request_for("GET", "/page.html");
  ASSERT_TRUE(client.send(two.substr(0, two.size() - 10)));
  EXPECT_TRUE(client.read().body == pattern(kSmall));
  ASSERT_TRUE(client.send(two.substr(two.size() - 10)));
  EXPECT_TRUE(client.read().body == pattern(kPage));
}

TEST_P(Protocol, AClientThatStoppedSendingStillGetsItsAnswers) {
  Client client(port());
  ASSERT_TRUE(client.send(request_for("GET", "/big.bin") + request_for("GET", "/small.txt")));
  client.finish_sending();
  EXPECT_TRUE(client.read().body == pattern(kBig));
  EXPECT_TRUE(client.read().body == pattern(kSmall));
  EXPECT_TRUE(client.at_end());
}

TEST_P(Protocol, BodiesAreTakenInAndIgnored) {
  Client client(port());
  const std::string with_body = request_for("GET", "/small.txt", "Content-Length: 5\r\n") + "GET /";
  for (int i = 0; i < 3; ++i) {
    const Response response = client.ask(with_body);
    ASSERT_EQ(response.status, 200) << response.trouble;
    EXPECT_TRUE(response.body == pattern(kSmall));
  }
  EXPECT_EQ(client.ask(request_for("POST", "/", "Content-Length: 5\r\n") + "12345").status, 405);
  EXPECT_EQ(client.get("/small.txt").status, 200);
}

TEST_P(Protocol, MethodsOtherThanGetAndHeadAreNotAllowed) {
  Client client(port());
  for (const char* method : {"POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "CONNECT"}) {
    const Response response = client.ask(request_for(method, "/small.txt"));
    EXPECT_EQ(response.status, 405) << method << response.trouble;
    EXPECT_EQ(response.field("allow"), "GET, HEAD") << method;
  }
}

TEST_P(Protocol, UpgradesAreIgnored) {
  Client client(port());
  const Response response =
      client.get("/small.txt", "Connection: Upgrade\r\nUpgrade: websocket\r\n");
  EXPECT_EQ(response.status, 200) << response.trouble;
  EXPECT_EQ(client.get("/small.txt").status, 200);
}

TEST_P(Protocol, BrokenRequestsAreAnsweredByTheirClassAndEndTheConnection) {
  const std::string get = "GET / HTTP/1.1\r\n";
  const std::array<std::pair<std::string, int>, 17> cases{{
      {"nonsense\r\n\r\n", 400},
      {"GET /\r\n\r\n", 400},
      {"GET / FTP/1.1\r\n\r\n", 400},
      {"GET /a b HTTP/1.1\r\nHost: x\r\n\r\n", 400},
      {get + "\r\n", 400},  // no Host
      {get + "Host: a\r\nHost: b\r\n\r\n", 400},
      {get + "Host: a\r\nBroken field\r\n\r\n", 400},
      {get + "Host: a\r\nContent-Length: 1x\r\n\r\n", 400},
      {get + "Host: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400},
      {get + "Host: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
      {get + "Host: a\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n", 400},
      {"BREW /pot HTTP/1.1\r\nHost: a\r\n\r\n", 501},
      {"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505},
      {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
      {"GET /" + std::string(9000, 'a') + " HTTP/1.1\r\nHost: a\r\n\r\n", 414},
      {get + "Host: a\r\nX: " + std::string(20000, 'b') + "\r\n\r\n", 431},
      {get + "Host: a\r\nContent-Length: 1000000\r\n\r\n", 413},
  }};
  for (const auto& [bytes, status] : cases) {
    Client client(port());
    const Response response = client.ask(bytes);
    EXPECT_EQ(response.status, status) << bytes.substr(0, 80) << response.trouble;
    EXPECT_EQ(response.field("connection"), "close") << bytes.substr(0, 80);
    EXPECT_TRUE(client.at_end()) << bytes.substr(0, 80);
  }
}

TEST_P(Protocol, TooManyFieldsAreRefused) {
  std::string fields;
  for (int i = 0; i < 150; ++i) fields += "X-" + std::to_string(i) + ": y\r\n";
  Client client(port());
  EXPECT_EQ(client.get("/", fields).status, 431);
}

TEST_P(Protocol, AFieldWithoutEndIsRefusedBeforeItEnds) {
  Client client(port());
  (void)client.send("GET / HTTP/1.1\r\nHost: a\r\nX:");
  const std::string blanks(4096, ' ');
  for (int i = 0; i < 32 && client.send(blanks); ++i) {
  }
  EXPECT_EQ(client.read().status, 431);
}

TEST_P(Protocol, GoodRequestsBeforeABrokenOneAreAnswered) {
  Client client(port());
  ASSERT_TRUE(client.send(request_for("GET", "/small.txt") + request_for("GET", "/page.html") +
                          "rubbish\r\n\r\n" + request_for("GET", "/small.txt")));
  EXPECT_TRUE(client.read().body == pattern(kSmall));
  EXPECT_TRUE(client.read().body == pattern(kPage));
  EXPECT_EQ(client.read().status, 400);
  EXPECT_TRUE(client.at_end());
}

TEST_P(Protocol, AnExpectingClientIsAnsweredAtOnce) {
  Client client(port());
  const Response response =
      client.get("/small.txt", "Content-Length: 10\r\nExpect: 100-continue\r\n");
  EXPECT_EQ(response.status, 200) << response.trouble;
  EXPECT_EQ(response.field("connection"), "close");
  EXPECT_TRUE(client.at_end());
}

TEST_P(Protocol, ChunkedBodiesAreIgnoredUpToTheLimit) {
  Client client(port());
  EXPECT_EQ(client
                .ask(request_for("GET", "/small.txt", "Transfer-Encoding: chunked\r\n") +
                     "4\r\nwxyz\r\n0\r\n\r\n")
                .status,
            200);
  (void)client.send(request_for("GET", "/small.txt", "Transfer-Encoding: chunked\r\n"));
  const std::string chunk = "1000\r\n" + std::string(4096, 'c') + "\r\n";
  for (int i = 0; i < 20 && client.send(chunk); ++i) {
  }
  EXPECT_EQ(client.read().status, 413);
}

}  // namespace
}  // namespace flexsc::http::test
