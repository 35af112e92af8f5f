// SPDX-License-Identifier: MIT
// What a client gets for a file, and what it does not get at all.
#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>

#include "fixture.hpp"

namespace flexsc::http::test {
namespace {

class Files : public HttpServer {};
FLEXSC_HTTP_SUITE(Files);

TEST_P(Files, ArriveByteForByteInEverySize) {
  Client client(port());
  for (const auto& [target, size] : {std::pair("/small.txt", kSmall),
                                     std::pair("/page.html", kPage), std::pair("/big.bin", kBig)}) {
    const Response response = client.get(target);
    ASSERT_EQ(response.status, 200) << target << ": " << response.trouble;
    EXPECT_EQ(response.field("content-length"), std::to_string(size));
    EXPECT_TRUE(response.body == pattern(size)) << target;
  }
}

TEST_P(Files, EmptyFileHasAnEmptyBody) {
  Client client(port());
  const Response response = client.get("/empty.txt");
  EXPECT_EQ(response.status, 200) << response.trouble;
  EXPECT_EQ(response.field("content-length"), "0");
  EXPECT_EQ(client.get("/small.txt").status, 200);
}

TEST_P(Files, HeadSaysTheSameWithoutABody) {
  Client client(port());
  ASSERT_TRUE(client.send(request_for("HEAD", "/page.html")));
  const Response head = client.read(/*head_only=*/true);
  EXPECT_EQ(head.status, 200);
  const Response get = client.get("/page.html");  // a body sent by mistake would break this
  ASSERT_EQ(get.status, 200) << get.trouble;
  for (const char* name : {"content-length", "content-type", "etag", "last-modified"}) {
    EXPECT_EQ(head.field(name), get.field(name)) << name;
  }
}

TEST_P(Files, HeadOfAMissingFileHasNoBody) {
  Client client(port());
  ASSERT_TRUE(client.send(request_for("HEAD", "/missing")));
  EXPECT_EQ(client.read(/*head_only=*/true).status, 404);
  EXPECT_EQ(client.get("/small.txt").status, 200);
}

TEST_P(Files, FoldersGiveTheirIndexOrAreNotFound) {
  Client client(port());
  EXPECT_EQ(client.get("/").body, "<p>start</p>\n");
  EXPECT_EQ(client.get("/folder/").body, "<p>folder</p>\n");
  EXPECT_EQ(client.get("/folder").body, "<p>folder</p>\n");
  EXPECT_EQ(client.get("/empty/").status, 404);
  EXPECT_EQ(client.get("/empty").status, 404);
  EXPECT_EQ(client.get("/small.txt/").status, 404);
}

TEST_P(Files, TargetsAreDecodedAndQueriesIgnored) {
  Client client(port());
  EXPECT_EQ(client.get("/with%20space.txt").body, "spaced\n");
  EXPECT_EQ(client.get("/%66older/index.html?a=/../b").body, "<p>folder</p>\n");
  EXPECT_EQ(client.get("//folder//index.html").body, "<p>folder</p>\n");
  EXPECT_EQ(client.get("http://elsewhere/folder/").body, "<p>folder</p>\n");
}

TEST_P(Files, NothingOutsideTheSiteIsServed) {
  Client client(port());
  for (const char* target :
       {"/../secret.txt", "/%2e%2e/secret.txt", "/folder/../../secret.txt", "/..%2fsecret.txt",
        "/folder/%2E%2E%2F..%2Fsecret.txt", "/escape", "//../secret.txt", "/./../secret.txt"}) {
    const Response response = client.get(target);
    EXPECT_EQ(response.status, 404) << target << response.trouble;
    EXPECT_EQ(response.body.find("secret"), std::string::npos) << target;
  }
}

TEST_P(Files, MalformedTargetsAreRefused) {
  Client client(port());
  EXPECT_EQ(client.get("/small.txt%00.html").status, 400);
  EXPECT_EQ(client.get("/%zz").status, 400);
  EXPECT_EQ(client.get("/%4").status, 400);
  EXPECT_EQ(client.get("/" + std::string(300, 'n')).status, 404);
}

TEST_P(Files, OtherThanRegularFilesAreNotServedNorWaitedFor) {
  Client client(port());
  EXPECT_EQ(client.get("/fifo").status, 404);
}

TEST_P(Files, RangesGiveExactlyTheirBytes) {
  Client client(port());
  const std::string& page = pattern(kPage);
  struct Case {
    const char* range;
    std::size_t first, last;
  };
  for (const auto& [range, first, last] : std::array<Case, 5>{{{"bytes=0-0", 0, 0},
                                                               {"bytes=100-199", 100, 199},
                                                               {"bytes=4000-", 4000, kPage - 1},
                                                               {"bytes=-29", kPage - 29, kPage - 1},
                                                               {"bytes=0-99999", 0, kPage - 1}}}) {
    const Response response = client.get("/page.html", std::string("Range: ") + range + "\r\n");
    EXPECT_EQ(response.status, 206) << range << response.trouble;
    EXPECT_EQ(response.field("content-range"), "bytes " + std::to_string(first) + '-' +
                                                   std::to_string(last) + '/' +
                                                   std::to_string(kPage));
    EXPECT_TRUE(response.body == page.substr(first, last - first + 1)) << range;
  }
}

TEST_P(Files, RangesThatCannotBeGivenAreSaidOrIgnored) {
  Client client(port());
  for (const char* range : {"bytes=4729-", "bytes=99999-100000", "bytes=-0"}) {
    const Response response = client.get("/page.html", std::string("Range: ") + range + "\r\n");
    EXPECT_EQ(response.status, 416) << range;
    EXPECT_EQ(response.field("content-range"), "bytes */4729") << range;
  }
  EXPECT_EQ(client.get("/empty.txt", "Range: bytes=0-\r\n").status, 416);
  for (const char* range : {"bytes=5-4", "lines=1-2", "bytes=a-b", "bytes=0-1,4-5", "bytes=-"}) {
    const Response response = client.get("/page.html", std::string("Range: ") + range + "\r\n");
    EXPECT_EQ(response.status, 200) << range;
    EXPECT_TRUE(response.body == pattern(kPage)) << range;
  }
}

TEST_P(Files, ValidatorsSaveAndGuardTransfers) {
  Client client(port());
  const Response first = client.get("/page.html");
  const std::string tag = first.field("etag");
  const std::string date = first.field("last-modified");
  ASSERT_FALSE(tag.empty());
  EXPECT_EQ(client.get("/page.html", "If-None-Match: " + tag + "\r\n").status, 304);
  EXPECT_EQ(client.get("/page.html", "If-None-Match: \"a\", W/" + tag + "\r\n").status, 304);
  EXPECT_EQ(client.get("/page.html", "If-None-Match: \"other\"\r\n").status, 200);
  EXPECT_EQ(client.get("/page.html", "If-Modified-Since: " + date + "\r\n").status, 304);
  const std::string range = "Range: bytes=0-9\r\nIf-Range: ";
  EXPECT_EQ(client.get("/page.html", range + tag + "\r\n").status, 206);
  EXPECT_EQ(client.get("/page.html", range + "\"other\"\r\n").status, 200);
  EXPECT_EQ(client.get("/page.html", range + date + "\r\n").status, 206);
}

TEST_P(Files, ValidatorsChangeWithTheFile) {
  Client client(port());
  const std::filesystem::path file = site_root() / "changing.txt";
  std::ofstream(file) << "old";
  const Response first = client.get("/changing.txt");
  std::ofstream(file) << "new";
  std::filesystem::last_write_time(
      file, std::filesystem::last_write_time(file) + std::chrono::seconds(2));
  const std::string tag = first.field("etag");
  const Response second = client.get("/changing.txt", "If-None-Match: " + tag + "\r\n");
  EXPECT_EQ(second.status, 200) << "it has as many bytes as before, but others";
  EXPECT_EQ(second.body, "new");
  EXPECT_NE(second.field("etag"), tag);
  EXPECT_NE(second.field("last-modified"), first.field("last-modified"));
  EXPECT_EQ(client.get("/changing.txt", "If-None-Match: " + second.field("etag") + "\r\n").status,
            304);
  std::filesystem::remove(file);
}

// A server may remember what it has served, but not give it when it is gone.
TEST_P(Files, WhatWasServedBeforeIsServedAsItIsNow) {
  namespace fs = std::filesystem;
  Client client(port());
  const fs::path file = site_root() / "remembered.txt";
  const auto expect = [&client](const char* target, std::string_view body) {
    for (int i = 0; i < 3; ++i) {
      const Response response = client.get(target);
      EXPECT_EQ(response.status, 200) << target << i << response.trouble;
      EXPECT_EQ(response.body, body) << target << i;
      EXPECT_EQ(response.field("content-length"), std::to_string(body.size())) << target << i;
    }
  };
  std::ofstream(file) << "first";
  expect("/remembered.txt", "first");
  std::ofstream(file) << "longer than before";
  expect("/remembered.txt", "longer than before");
  std::ofstream(file) << "short";
  expect("/remembered.txt", "short");
  // Another file of the same size and time.
  const auto time = fs::last_write_time(file);
  std::ofstream(site_root() / "other.txt") << "other";
  fs::last_write_time(site_root() / "other.txt", time);
  fs::rename(site_root() / "other.txt", file);
  expect("/remembered.txt", "other");
  fs::remove(file);
  EXPECT_EQ(client.get("/remembered.txt").status, 404);
  fs::create_directory(file);
  EXPECT_EQ(client.get("/remembered.txt").status, 404);
  std::ofstream(file / "index.html") << "index";
  expect("/remembered.txt", "index");
  std::ofstream(file / "index.html") << "another";
  expect("/remembered.txt", "another");
  fs::remove_all(file);
  std::ofstream(file) << "";
  expect("/remembered.txt", "");
  fs::resize_file(file, 300'000);  // too long for a chain
  expect("/remembered.txt", std::string(300'000, '\0'));
  fs::remove(file);
  EXPECT_EQ(client.get("/remembered.txt").status, 404);
}

}  // namespace
}  // namespace flexsc::http::test
