// SPDX-License-Identifier: MIT
#include "rival.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <thread>

namespace flexsc::bench {

namespace {

sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

/// A port that nobody uses now.
std::uint16_t free_port() {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = loopback(0);
  socklen_t length = sizeof address;
  const bool found = fd >= 0 &&
                     ::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 &&
                     ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length) == 0;
  ::close(fd);
  if (!found) throw std::runtime_error("there is no free port");
  return ntohs(address.sin_port);
}

bool accepts(std::uint16_t port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const sockaddr_in address = loopback(port);
  const bool accepted =
      ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  ::close(fd);
  return accepted;
}

std::string nginx_configuration(const std::string& folder, const std::string& root,
                                std::uint16_t port) {
  std::ostringstream text;
  text << "daemon off;\n"
          "master_process off;  # one worker, which is the process\n";
  if (::geteuid() == 0) text << "user root root;\n";
  text << "pid " << folder << "/pid;\n"
       << "error_log stderr warn;\n"
          "events { worker_connections 20000; }\n"
          "http {\n"
          "  access_log off;\n"
          "  sendfile on;\n"
          "  tcp_nopush on;  # head and file in one segment, as ours do\n"
          "  keepalive_requests 1000000000;\n"
          "  default_type text/html;\n";
  for (const char* name : {"client_body", "proxy", "fastcgi", "uwsgi", "scgi"}) {
    text << "  " << name << "_temp_path " << folder << "/" << name << ";\n";
  }
  text << "  server { listen 127.0.0.1:" << port << "; root " << root << "; }\n}\n";
  return text.str();
}

std::string lighttpd_configuration(const std::string& root, std::uint16_t port) {
  std::ostringstream text;
  text << "server.bind = \"127.0.0.1\"\n"
       << "server.port = " << port << "\n"
       << "server.document-root = \"" << root << "\"\n"
       << "server.modules = ()  # no log\n"
          "server.network-backend = \"sendfile\"\n"
          "server.stat-cache-engine = \"disable\"  # the file is opened for each request\n"
          "server.max-keep-alive-requests = 65535  # its most\n"
          "server.max-fds = 65536\n"
          "mimetype.assign = (\".html\" => \"text/html\")\n";
  return text.str();
}

}  // namespace

std::string Rival::configuration(RivalKind kind, const std::string& folder, const std::string& root,
                                 std::uint16_t port) {
  return kind == RivalKind::nginx ? nginx_configuration(folder, root, port)
                                  : lighttpd_configuration(root, port);
}

Rival::Rival(RivalKind kind, const std::filesystem::path& root, const std::vector<int>& cpus)
    : kind_(kind),
      port_(free_port()),
      child_(words(root), {.cpus = cpus}, {.out = {}, .errors = folder_.path() / "errors"}) {
  await();
}

/// Writes its configuration; its command line.
std::vector<std::string> Rival::words(const std::filesystem::path& root) const {
  const std::string folder = folder_.path();
  const std::string file = folder + "/configuration";
  std::ofstream(file) << configuration(kind_, folder, root, port_);
  if (kind_ == RivalKind::nginx) return {"nginx", "-p", folder, "-c", file, "-e", "stderr"};
  return {"lighttpd", "-D", "-f", file};
}

void Rival::await() {
  const std::string name(to_string(kind_));
  const auto end = std::chrono::steady_clock::now() + http::driver::kPatience;
  while (!accepts(port_)) {
    if (!child_.running()) {
      throw std::runtime_error(
          child_.exit_code() == http::driver::kNotFound
              ? name + " is not there: run `./run setup`"
              : name + " ended: " + http::driver::contents_of(folder_.path() / "errors"));
    }
    if (std::chrono::steady_clock::now() > end) throw std::runtime_error(name + " does not serve");
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

Rival::~Rival() {
  child_.signal(SIGTERM);
  (void)child_.wait();
}

}  // namespace flexsc::bench
