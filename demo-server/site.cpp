// SPDX-License-Identifier: MIT
#include "site.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <ctime>
#include <string>
#include <system_error>

#include "flexsc/posix.hpp"
#include "head.hpp"
#include "target.hpp"

namespace flexsc::http {

namespace {

/// The end of a status line: code and reason.
const char* status_text(int status) {
  switch (status) {
    case 200:
      return "200 OK";
    case 206:
      return "206 Partial Content";
    case 304:
      return "304 Not Modified";
    case 400:
      return "400 Bad Request";
    case 403:
      return "403 Forbidden";
    case 404:
      return "404 Not Found";
    case 405:
      return "405 Method Not Allowed";
    case 408:
      return "408 Request Timeout";
    case 413:
      return "413 Content Too Large";
    case 414:
      return "414 URI Too Long";
    case 416:
      return "416 Range Not Satisfiable";
    case 431:
      return "431 Request Header Fields Too Large";
    case 501:
      return "501 Not Implemented";
    case 503:
      return "503 Service Unavailable";
    case 505:
      return "505 HTTP Version Not Supported";
    default:
      return "500 Internal Server Error";
  }
}

// Dates and tags are dear to write, and each thread remembers what it has written. None of this
// makes a call that could park a fiber, so the thread cannot change under it.

/// http_date() of now.
[[gnu::noinline]] std::string_view date_now() {
  thread_local std::time_t time = 0;
  thread_local std::string text;
  if (const std::time_t now = std::time(nullptr); time != now || text.empty()) {
    time = now;
    text = http_date(now);
  }
  return text;
}

/// What tells a file from what it was before, as lines of a head. `tag` is a strong validator: it
/// changes whenever the file's bytes may have.
class Validators {
 public:
  /// Those of a file; good until the next call that could park a fiber.
  [[gnu::noinline]] static const Validators& of(const struct stat& status) {
    constexpr std::size_t kKnown = 64;
    thread_local std::array<Validators, kKnown> all;
    Validators& known = all[status.st_ino % kKnown];
    if (!known.are_of(status)) known = Validators(status);
    return known;
  }

  Validators() = default;
  [[nodiscard]] std::string_view lines() const noexcept { return lines_; }
  [[nodiscard]] std::string_view tag() const noexcept {
    return std::string_view(lines_).substr(tag_begin_, tag_size_);
  }

 private:
  explicit Validators(const struct stat& status)
      : inode_(status.st_ino), size_(status.st_size), modified_(status.st_mtim) {
    std::array<char, 3 * 16 + 5> tag;
    tag_size_ = static_cast<std::size_t>(std::snprintf(
        tag.data(), tag.size(), "\"%lx-%lx-%lx\"", inode_, static_cast<unsigned long>(size_),
        static_cast<unsigned long>(modified_.tv_sec) * 1000000000U +
            static_cast<unsigned long>(modified_.tv_nsec)));
    lines_ = "Last-Modified: " + http_date(modified_.tv_sec) + "\r\nETag: ";
    tag_begin_ = lines_.size();
    lines_.append(tag.data(), tag_size_) += "\r\nAccept-Ranges: bytes\r\n";
  }

  [[nodiscard]] bool are_of(const struct stat& status) const noexcept {
    return inode_ == status.st_ino && size_ == status.st_size &&
           modified_.tv_sec == status.st_mtim.tv_sec &&
           modified_.tv_nsec == status.st_mtim.tv_nsec && !lines_.empty();
  }

  ino_t inode_ = 0;
  off_t size_ = 0;
  timespec modified_{};
  std::string lines_;
  std::size_t tag_begin_ = 0;
  std::size_t tag_size_ = 0;
};

/// The file that was last sent for a target.
struct Known {
  /// The place for that of a target, in this thread: it may hold another's. Good until the next
  /// call that could park a fiber.
  [[gnu::noinline]] static Known& place_of(const std::string& target) {
    constexpr std::size_t kKnown = 64;
    thread_local std::array<Known, kKnown> all;
    return all[std::hash<std::string>{}(target) % kKnown];
  }

  std::string target;
  std::string name;  ///< of the file, below the root; empty: none, or too large for a chain
  struct stat status {};
};

/// The lines that all answers have.
void begin_head(HeadWriter& head, Answer& answer, int status, const Request& request, bool last) {
  answer.status = status;
  answer.close = last || !request.keep_alive;
  answer.linger = request.unread_input;
  head.text("HTTP/1.1 ").text(status_text(status)).text("\r\nServer: flexsc-httpd\r\nDate: ");
  head.text(date_now()).text("\r\n");
  if (answer.close) {
    head.text("Connection: close\r\n");
  } else if (request.http10) {
    head.text("Connection: keep-alive\r\n");
  }
}

bool not_modified(const Request& request, std::string_view tag, std::time_t modified) {
  if (request.if_none_match) return any_tag_matches(*request.if_none_match, tag);
  if (!request.if_modified_since) return false;
  const auto since = parse_http_date(*request.if_modified_since);
  return since && modified <= *since;
}

/// Whether a Range field counts: without If-Range, or if that names what we have.
bool range_applies(const Request& request, std::string_view tag, std::time_t modified) {
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

/// The word for Chain::compare() that holds a field of struct stat.
constexpr std::uint64_t word(std::size_t offset) {
  return std::uint64_t{1} << offset / sizeof(std::uint64_t);
}
}  // namespace

const std::uint64_t Foreseen::kWords =
    word(offsetof(struct stat, st_dev)) | word(offsetof(struct stat, st_ino)) |
    word(offsetof(struct stat, st_mode)) | word(offsetof(struct stat, st_size)) |
    word(offsetof(struct stat, st_mtim.tv_sec)) | word(offsetof(struct stat, st_mtim.tv_nsec));

void OwnedFd::reset(int fd) noexcept {
  if (fd_ >= 0) (void)flexsc::close(fd_);
  fd_ = fd;
}

Site::Site(const std::string& root)
    : root_(::open(root.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)) {
  if (root_.get() < 0) throw std::system_error(errno, std::generic_category(), root);
}

Answer Site::answer(const Request& request, bool last, Chain* chain) const {
  if (request.refusal != 0) return refusal(request.refusal, request, last);
  if (request.method != HTTP_GET && request.method != HTTP_HEAD) {
    return refusal(405, request, last);
  }
  const auto mapped = site_path(request.target);
  if (const int* status = std::get_if<int>(&mapped)) return refusal(*status, request, last);
  return answer_with_file(request, std::get<SitePath>(mapped).path, last, chain);
}

Answer Site::text(const Request& request, bool last, std::string_view type, std::string_view body) {
  if (request.refusal != 0) return refusal(request.refusal, request, last);
  if (request.method != HTTP_GET && request.method != HTTP_HEAD) {
    return refusal(405, request, last);
  }
  Answer answer;
  HeadWriter head;
  begin_head(head, answer, 200, request, last);
  head.text("Content-Type: ").text(type).text("\r\nContent-Length: ").number(body.size());
  head.text("\r\nCache-Control: no-store\r\n\r\n");
  answer.head = head.str();
  if (request.method == HTTP_GET) answer.head += body;
  return answer;
}

Answer Site::refusal(int status, const Request& request, bool last) {
  return refusal(status, request, last, std::nullopt);
}

/// `size`: of the file of which a range was asked for.
Answer Site::refusal(int status, const Request& request, bool last,
                     std::optional<std::uint64_t> size) {
  Answer answer;
  HeadWriter head;
  begin_head(head, answer, status, request, last);
  if (status == 405) head.text("Allow: GET, HEAD\r\n");
  if (size) head.text("Content-Range: bytes */").number(*size).text("\r\n");
  const std::string body = std::string(status_text(status)) + '\n';
  head.text("Content-Type: text/plain; charset=utf-8\r\nContent-Length: ").number(body.size());
  head.text("\r\n\r\n");
  answer.head = head.str();
  if (request.method != HTTP_HEAD) answer.head += body;
  return answer;
}

Answer Site::answer_with_file(const Request& request, const std::string& path, bool last,
                              Chain* chain) const {
  struct stat status {};
  std::string named = path;
  long fd = open_with_status(chain, root_.get(), named, status);
  if (fd < 0) return refusal(status_for_open_error(static_cast<int>(-fd)), request, last);
  OwnedFd file(static_cast<int>(fd));
  if (S_ISDIR(status.st_mode)) {
    named += "/index.html";
    fd = open_with_status(chain, root_.get(), named, status);
    if (fd < 0) return refusal(status_for_open_error(static_cast<int>(-fd)), request, last);
    file.reset(static_cast<int>(fd));
  }
  if (!S_ISREG(status.st_mode)) return refusal(404, request, last);

  std::uint64_t begin = 0;
  Answer answer = describe(request, named, status, last, begin);
  if (answer.file_bytes == 0) return answer;
  // sendfile() without an offset goes on from the file's position, which is what a
  // batch segment can record; so the position says where to begin.
  if (begin > 0 && flexsc::lseek(file.get(), static_cast<off_t>(begin), SEEK_SET) < 0) {
    return refusal(500, request, last);
  }
  answer.file = std::move(file);
  if (chain != nullptr && answer.status == 200) {
    const bool chained = answer.file_bytes <= kChained;
    Known::place_of(request.target) = {request.target, chained ? named : "", status};
  }
  return answer;
}

/// The answer with a file, but for the file itself, which is to be sent from `begin` on.
Answer Site::describe(const Request& request, const std::string& name, const struct stat& status,
                      bool last, std::uint64_t& begin) {
  const auto size = static_cast<std::uint64_t>(status.st_size);
  const Validators& validators = Validators::of(status);
  const std::string_view tag = validators.tag();
  const std::time_t modified = status.st_mtim.tv_sec;
  ByteRange range{0, size - 1};  // not used for an empty file
  RangeKind kind = RangeKind::whole;
  const bool unchanged = not_modified(request, tag, modified);
  if (!unchanged && range_applies(request, tag, modified)) {
    kind = parse_range(*request.range, size, range);
  }
  if (kind == RangeKind::unsatisfiable) return refusal(416, request, last, size);

  Answer answer;
  HeadWriter head;
  const bool part = kind == RangeKind::part;
  begin_head(head, answer, unchanged ? 304 : (part ? 206 : 200), request, last);
  head.text(validators.lines());
  const std::uint64_t length = part ? range.last - range.first + 1 : size;
  if (!unchanged) {
    head.text("Content-Type: ").text(media_type(name));
    head.text("\r\nContent-Length: ").number(length).text("\r\n");
    if (part) {
      head.text("Content-Range: bytes ").number(range.first).text("-").number(range.last);
      head.text("/").number(size).text("\r\n");
    }
  }
  answer.head = head.text("\r\n").str();
  if (!unchanged && request.method == HTTP_GET) {
    answer.file_bytes = length;
    begin = part ? range.first : 0;
  }
  return answer;
}

bool Site::foresee(const Request& request, bool last, Foreseen& foreseen) {
  if (request.refusal != 0 || request.method != HTTP_GET) return false;
  const Known& known = Known::place_of(request.target);
  if (known.name.empty() || known.target != request.target) return false;
  std::uint64_t begin = 0;
  foreseen.answer = describe(request, known.name, known.status, last, begin);
  if (foreseen.answer.status != 200 || foreseen.answer.file_bytes == 0) return false;
  foreseen.name = known.name;
  foreseen.expected = known.status;
  return true;
}

}  // namespace flexsc::http
