// SPDX-License-Identifier: MIT
#include "site.hpp"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <ctime>
#include <system_error>

#include "flexsc/posix.hpp"
#include "target.hpp"

namespace flexsc::http {

namespace {

const char* reason_phrase(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 206:
      return "Partial Content";
    case 304:
      return "Not Modified";
    case 400:
      return "Bad Request";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 413:
      return "Content Too Large";
    case 414:
      return "URI Too Long";
    case 416:
      return "Range Not Satisfiable";
    case 431:
      return "Request Header Fields Too Large";
    case 501:
      return "Not Implemented";
    case 503:
      return "Service Unavailable";
    case 505:
      return "HTTP Version Not Supported";
    default:
      return "Internal Server Error";
  }
}

/// http_date(), which is dear, with a memory of each thread for the times that are asked for again
/// and again. Makes no call that could park a fiber, so the thread cannot change under it.
[[gnu::noinline]] std::string_view date_text(std::time_t time) {
  struct Known {
    std::time_t time = 0;
    std::string text;
  };
  constexpr std::size_t kKnown = 64;
  thread_local std::array<Known, kKnown> all;
  Known& known = all[static_cast<std::size_t>(time) % kKnown];
  if (known.time != time || known.text.empty()) known = {time, http_date(time)};
  return known.text;
}

void add_field(Answer& answer, std::string_view name, std::string_view value) {
  answer.head.append(name).append(": ").append(value).append("\r\n");
}

void begin_head(Answer& answer, int status, const Request& request, bool last) {
  answer.status = status;
  answer.close = last || !request.keep_alive;
  answer.linger = request.unread_input;
  answer.head.reserve(384);
  answer.head.append("HTTP/1.1 ").append(std::to_string(status)).append(" ");
  answer.head.append(reason_phrase(status)).append("\r\nServer: flexsc-httpd\r\n");
  add_field(answer, "Date", date_text(std::time(nullptr)));
  if (answer.close) {
    answer.head += "Connection: close\r\n";
  } else if (request.http10) {
    answer.head += "Connection: keep-alive\r\n";
  }
}

/// A strong validator: it changes whenever the file's bytes may have.
std::string entity_tag(const struct stat& status) {
  std::string tag = "\"";
  const auto add = [&tag](std::uint64_t number) {
    std::array<char, 16> digits;
    const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number, 16).ptr;
    tag.append(digits.data(), end);
  };
  add(status.st_ino);
  tag += '-';
  add(static_cast<std::uint64_t>(status.st_size));
  tag += '-';
  add(static_cast<std::uint64_t>(status.st_mtim.tv_sec) * 1000000000U +
      static_cast<std::uint64_t>(status.st_mtim.tv_nsec));
  return tag += '"';
}

bool not_modified(const Request& request, const std::string& tag, std::time_t modified) {
  if (request.if_none_match) return any_tag_matches(*request.if_none_match, tag);
  if (!request.if_modified_since) return false;
  const auto since = parse_http_date(*request.if_modified_since);
  return since && modified <= *since;
}

/// Whether a Range field counts: without If-Range, or if that names what we have.
bool range_applies(const Request& request, const std::string& tag, std::time_t modified) {
  if (request.method != HTTP_GET || !request.range) return false;
  if (!request.if_range) return true;
  if (request.if_range->starts_with('"')) return *request.if_range == tag;
  const auto date = parse_http_date(*request.if_range);
  return date && *date == modified;
}

int status_for_open_error(int error) {
  switch (error) {
    case EACCES:
    case EPERM:
      return 403;
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case EAGAIN:
      return 503;
    case ENOENT:
    case ENOTDIR:
    case ELOOP:  // a symbolic link of a kind that is not followed
    case EXDEV:  // a symbolic link that leads out of the site
    case ENXIO:  // a socket
    case ENAMETOOLONG:
      return 404;
    default:
      return 500;
  }
}

/// Opens a file below `root`, never outside it; a descriptor or -errno. Non-blocking,
/// because opening a FIFO would otherwise wait for a writer.
long open_beneath(int root, const std::string& path) {
  open_how how{};
  how.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
  for (int attempt = 0;; ++attempt) {
    const long fd = flexsc::syscall(SYS_openat2, root, reinterpret_cast<long>(path.c_str()),
                                    reinterpret_cast<long>(&how), sizeof how);
    if (fd >= 0) return fd;
    // EAGAIN: something was renamed meanwhile, so that the kernel could not be sure
    // that the path stays below the root.
    if ((errno != EAGAIN && errno != EINTR) || attempt == 8) return -errno;
  }
}

}  // namespace

void OwnedFd::reset(int fd) noexcept {
  if (fd_ >= 0) (void)flexsc::close(fd_);
  fd_ = fd;
}

Site::Site(const std::string& root)
    : root_(::open(root.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)) {
  if (root_.get() < 0) throw std::system_error(errno, std::generic_category(), root);
}

Answer Site::answer(const Request& request, bool last) const {
  if (request.refusal != 0) return refusal(request.refusal, request, last);
  if (request.method != HTTP_GET && request.method != HTTP_HEAD) {
    return refusal(405, request, last);
  }
  const auto mapped = site_path(request.target);
  if (const int* status = std::get_if<int>(&mapped)) return refusal(*status, request, last);
  return answer_with_file(request, std::get<SitePath>(mapped).path, last);
}

Answer Site::text(const Request& request, bool last, std::string_view type, std::string_view body) {
  if (request.refusal != 0) return refusal(request.refusal, request, last);
  if (request.method != HTTP_GET && request.method != HTTP_HEAD) {
    return refusal(405, request, last);
  }
  Answer answer;
  begin_head(answer, 200, request, last);
  add_field(answer, "Content-Type", type);
  add_field(answer, "Content-Length", std::to_string(body.size()));
  add_field(answer, "Cache-Control", "no-store");
  answer.head += "\r\n";
  if (request.method == HTTP_GET) answer.head += body;
  return answer;
}

Answer Site::refusal(int status, const Request& request, bool last) {
  Answer answer;
  begin_head(answer, status, request, last);
  if (status == 405) add_field(answer, "Allow", "GET, HEAD");
  const std::string body = std::to_string(status) + ' ' + reason_phrase(status) + '\n';
  add_field(answer, "Content-Type", "text/plain; charset=utf-8");
  add_field(answer, "Content-Length", std::to_string(body.size()));
  answer.head += "\r\n";
  if (request.method != HTTP_HEAD) answer.head += body;
  return answer;
}

Answer Site::answer_with_file(const Request& request, const std::string& path, bool last) const {
  long fd = open_beneath(root_.get(), path);
  if (fd < 0) return refusal(status_for_open_error(static_cast<int>(-fd)), request, last);
  OwnedFd file(static_cast<int>(fd));
  struct stat status {};
  if (flexsc::fstat(file.get(), &status) != 0) return refusal(500, request, last);
  std::string named = path;
  if (S_ISDIR(status.st_mode)) {
    named += "/index.html";
    fd = open_beneath(root_.get(), named);
    if (fd < 0) return refusal(status_for_open_error(static_cast<int>(-fd)), request, last);
    file.reset(static_cast<int>(fd));
    if (flexsc::fstat(file.get(), &status) != 0) return refusal(500, request, last);
  }
  if (!S_ISREG(status.st_mode)) return refusal(404, request, last);

  const auto size = static_cast<std::uint64_t>(status.st_size);
  const std::string tag = entity_tag(status);
  const std::time_t modified = status.st_mtim.tv_sec;
  ByteRange range{0, size - 1};  // not used for an empty file
  RangeKind kind = RangeKind::whole;
  const bool unchanged = not_modified(request, tag, modified);
  if (!unchanged && range_applies(request, tag, modified)) {
    kind = parse_range(*request.range, size, range);
  }

  Answer answer;
  if (kind == RangeKind::unsatisfiable) {
    answer = refusal(416, request, last);
    // Inserted before the blank line would do as well; fields have no order.
    answer.head.insert(answer.head.find("\r\n") + 2,
                       "Content-Range: bytes */" + std::to_string(size) + "\r\n");
    return answer;
  }
  begin_head(answer, unchanged ? 304 : (kind == RangeKind::part ? 206 : 200), request, last);
  add_field(answer, "Last-Modified", date_text(modified));
  add_field(answer, "ETag", tag);
  add_field(answer, "Accept-Ranges", "bytes");
  if (unchanged) {
    answer.head += "\r\n";
    return answer;
  }
  const std::uint64_t length = kind == RangeKind::part ? range.last - range.first + 1 : size;
  add_field(answer, "Content-Type", media_type(named));
  add_field(answer, "Content-Length", std::to_string(length));
  if (kind == RangeKind::part) {
    add_field(answer, "Content-Range",
              "bytes " + std::to_string(range.first) + '-' + std::to_string(range.last) + '/' +
                  std::to_string(size));
  }
  answer.head += "\r\n";
  if (request.method == HTTP_GET && length > 0) {
    // sendfile() without an offset goes on from the file's position, which is what a
    // batch segment can record; so the position says where to begin.
    if (kind == RangeKind::part && range.first > 0 &&
        flexsc::lseek(file.get(), static_cast<off_t>(range.first), SEEK_SET) < 0) {
      return refusal(500, request, last);
    }
    answer.file = std::move(file);
    answer.file_bytes = length;
  }
  return answer;
}

}  // namespace flexsc::http
