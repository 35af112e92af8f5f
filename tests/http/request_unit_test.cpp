// SPDX-License-Identifier: MIT
// RequestParser: where requests end, what is kept, what is refused; however they are cut.
#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include "request.hpp"

namespace flexsc::http {
namespace {

/// Feeds `text` in pieces of `step` bytes; the complete requests in it.
std::vector<Request> parse(std::string_view text, std::size_t step, const Limits& limits = {}) {
  RequestParser parser(limits);
  std::vector<Request> requests;
  while (!text.empty()) {
    std::string_view piece = text.substr(0, step);
    while (!piece.empty()) {
      const std::size_t taken = parser.feed(piece);
      piece.remove_prefix(taken);
      text.remove_prefix(taken);
      if (!parser.complete()) continue;
      requests.push_back(parser.request());
      if (parser.request().refusal != 0 || parser.request().unread_input) return requests;
    }
  }
  return requests;
}

constexpr std::string_view kThree =
    "GET /a HTTP/1.1\r\nHost: h\r\nRange: bytes=1-2\r\nIf-Range: \"t\"\r\n\r\n"
    "HEAD /b HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nConnection: close, x\r\n\r\nxyz"
    "GET /c HTTP/1.0\r\n\r\n";

class Cut : public testing::TestWithParam<std::size_t> {};
INSTANTIATE_TEST_SUITE_P(Pieces, Cut, testing::Values(1, 2, 3, 7, 64, 4096));

TEST_P(Cut, RequestsAreTheSame) {
  // The parser ends at a request that closes, so the second is read twice: once as last.
  const std::vector<Request> first = parse(kThree.substr(0, kThree.find("HEAD")), GetParam());
  ASSERT_EQ(first.size(), 1U);
  EXPECT_EQ(first[0].method, HTTP_GET);
  EXPECT_EQ(first[0].target, "/a");
  EXPECT_EQ(first[0].range, "bytes=1-2");
  EXPECT_EQ(first[0].if_range, "\"t\"");
  EXPECT_TRUE(first[0].keep_alive);
  EXPECT_FALSE(first[0].if_none_match.has_value());

  const std::string_view rest = kThree.substr(kThree.find("HEAD"));
  const std::vector<Request> second = parse(rest.substr(0, rest.find("GET")), GetParam());
  ASSERT_EQ(second.size(), 1U);
  EXPECT_EQ(second[0].method, HTTP_HEAD);
  EXPECT_FALSE(second[0].keep_alive);

  const std::vector<Request> third = parse(rest.substr(rest.find("GET")), GetParam());
  ASSERT_EQ(third.size(), 1U);
  EXPECT_TRUE(third[0].http10);
  EXPECT_FALSE(third[0].keep_alive);
}

TEST_P(Cut, PipelinedRequestsAreSeparated) {
  std::string heap;
  for (int i = 0; i < 10; ++i) {
    heap += "GET /" + std::to_string(i) + " HTTP/1.1\r\nHost: h\r\n\r\n";
  }
  const std::vector<Request> requests = parse(heap, GetParam());
  ASSERT_EQ(requests.size(), 10U);
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(requests[static_cast<std::size_t>(i)].target, "/" + std::to_string(i));
  }
}

TEST_P(Cut, RefusalsAreTheSame) {
  const auto refusal = [](std::string_view text) {
    const std::vector<Request> requests = parse(text, GetParam());
    return requests.empty() ? 0 : requests.back().refusal;
  };
  EXPECT_EQ(refusal("rub(bish\r\n\r\n"), 400);
  EXPECT_EQ(refusal("GET / HTTP/1.1\r\n\r\n"), 400);
  EXPECT_EQ(refusal("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"), 400);
  EXPECT_EQ(refusal("GET / HTTP/3.0\r\nHost: a\r\n\r\n"), 505);
  EXPECT_EQ(refusal("GET / HTTP/1.1\nHost: a\n\n"), 400);
  EXPECT_EQ(refusal("GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
  EXPECT_EQ(refusal("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 65537\r\n\r\n"), 413);
}

TEST_P(Cut, LimitsHold) {
  Limits limits;
  limits.target_bytes = 10;
  limits.header_bytes = 60;
  limits.header_fields = 3;
  const auto refusal = [&](std::string_view text) {
    const std::vector<Request> requests = parse(text, GetParam(), limits);
    return requests.empty() ? -1 : requests.back().refusal;
  };
  EXPECT_EQ(refusal("GET /123456789 HTTP/1.1\r\nHost: a\r\n\r\n"), 0);
  EXPECT_EQ(refusal("GET /1234567890 HTTP/1.1\r\nHost: a\r\n\r\n"), 414);
  EXPECT_EQ(refusal("GET / HTTP/1.1\r\nHost: a\r\nB: c\r\nD: e\r\n\r\n"), 0);
  EXPECT_EQ(refusal("GET / HTTP/1.1\r\nHost: a\r\nB: c\r\nD: e\r\nF: g\r\n\r\n"), 431);
  EXPECT_EQ(refusal("GET / HTTP/1.1\r\nHost: a\r\nB: " + std::string(60, 'c') + "\r\n\r\n"), 431);
}

TEST(RequestParser, NewerMinorVersionsAreTakenAsThisOne) {
  const auto requests = parse("GET / HTTP/1.2\r\nHost: a\r\n\r\n", 100);
  ASSERT_EQ(requests.size(), 1U);
  EXPECT_EQ(requests[0].refusal, 0);
  EXPECT_TRUE(requests[0].keep_alive);
}

TEST(RequestParser, KnowsWhetherItIsInsideARequest) {
  RequestParser parser;
  EXPECT_FALSE(parser.in_request());
  EXPECT_EQ(parser.feed("GET / HTTP/1.1\r\n"), 16U);
  EXPECT_TRUE(parser.in_request());
  const std::string_view rest = "Host: a\r\n\r\nGET /next";
  EXPECT_EQ(parser.feed(rest), 11U);
  EXPECT_TRUE(parser.complete());
  EXPECT_FALSE(parser.in_request());
  EXPECT_EQ(parser.feed(rest.substr(11)), rest.size() - 11);
  EXPECT_TRUE(parser.in_request());
}

TEST(RequestParser, RepeatedListFieldsAreJoined) {
  const auto requests = parse(
      "GET / HTTP/1.1\r\nHost: a\r\nIf-None-Match: \"1\"\r\nif-none-match: \"2\"\r\n\r\n", 100);
  ASSERT_EQ(requests.size(), 1U);
  EXPECT_EQ(requests[0].if_none_match, "\"1\", \"2\"");
}

TEST(RequestParser, UnknownMethodsAreNotImplementedAndRubbishIsBad) {
  EXPECT_EQ(parse("BREW / HTTP/1.1\r\nHost: a\r\n\r\n", 100).at(0).refusal, 501);
  EXPECT_EQ(parse("DESCRIBE / HTTP/1.1\r\nHost: a\r\n\r\n", 100).at(0).refusal, 501);
  EXPECT_EQ(parse("(x) / HTTP/1.1\r\nHost: a\r\n\r\n", 100).at(0).refusal, 400);
}

}  // namespace
}  // namespace flexsc::http
