// SPDX-License-Identifier: MIT
//
// What happened between the hosts, as an SVG picture: a column for each host, a row for each message.
#include <algorithm>
#include <array>
#include <cstdio>
#include <memory>

#include <reactor/sim/trace.hpp>

namespace reactor::sim {

namespace {

constexpr int margin_left = 120, column = 240, row_height = 22, margin_top = 60;

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '&') out += "&amp;";
    if (c == '<') out += "&lt;";
    if (c == '>') out += "&gt;";
    if (c != '&' && c != '<' && c != '>') out += c;
  }
  return out;
}

std::string text_at(int x, int y, const char* anchor, std::string_view text, const char* colour = "#222") {
  return "<text x=\"" + std::to_string(x) + "\" y=\"" + std::to_string(y) + "\" text-anchor=\"" + anchor +
         "\" fill=\"" + colour + "\">" + escaped(text) + "</text>\n";
}

std::string line_across(int x1, int x2, int y, const char* style) {
  return "<line x1=\"" + std::to_string(x1) + "\" y1=\"" + std::to_string(y) + "\" x2=\"" + std::to_string(x2) +
         "\" y2=\"" + std::to_string(y) + "\" " + style + "/>\n";
}

/// What a row is drawn of: what has arrived or was lost, and notes. What was sent is drawn where it arrives.
bool is_drawn(const Trace::Record& record) {
  return record.is_note || record.fate == Network::Fate::delivered || record.fate == Network::Fate::lost;
}

}  // namespace

bool Trace::write_svg(const std::string& path, std::size_t rows_max, const std::vector<std::string>& hosts,
                      const std::function<std::string(const Name&)>& host_of) const {
  std::vector<const Record*> rows;
  for (const Record& record : records_) {
    if (is_drawn(record)) rows.push_back(&record);
  }
  if (rows.size() > rows_max) rows.erase(rows.begin(), rows.end() - static_cast<std::ptrdiff_t>(rows_max));
  const auto x_of = [&](std::string_view name) {
    const auto found = std::ranges::find(hosts, name);
    return found == hosts.end() ? 0 : margin_left + column / 2 + column * static_cast<int>(found - hosts.begin());
  };
  const int width = margin_left + column * static_cast<int>(hosts.size());
  const int height = margin_top + row_height * (static_cast<int>(rows.size()) + 1);
  std::string svg =
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"" + std::to_string(width) + "\" height=\"" +
      std::to_string(height) + "\" font-family=\"sans-serif\" font-size=\"11\">\n" +
      "<defs><marker id=\"end\" markerWidth=\"8\" markerHeight=\"8\" refX=\"7\" refY=\"4\" orient=\"auto\">"
      "<path d=\"M0,0 L8,4 L0,8 z\" fill=\"#36c\"/></marker></defs>\n"
      "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n";
  for (const std::string& host : hosts) {
    const std::string x = std::to_string(x_of(host));
    svg += "<line x1=\"" + x + "\" y1=\"" + std::to_string(margin_top - 20) + "\" x2=\"" + x + "\" y2=\"" +
           std::to_string(height) + "\" stroke=\"#bbb\"/>\n";
    svg += text_at(x_of(host), margin_top - 28, "middle", host);
  }
  int y = margin_top;
  for (const Record* record : rows) {
    std::array<char, 32> time{};
    std::snprintf(time.data(), time.size(), "%.3f ms", std::chrono::duration<double, std::milli>(record->time).count());
    svg += text_at(margin_left - 20, y + 4, "end", time.data(), "#888");
    const bool is_lost = record->fate == Network::Fate::lost;
    const int from = x_of(host_of(record->from)), to = x_of(host_of(record->to));
    if (record->is_note) {
      const int x = x_of(record->host);
      svg += text_at(x == 0 ? margin_left : x, y + 4, x == 0 ? "start" : "middle", what(*record), "#a30");
    } else if (from != 0 && to != 0 && from != to) {
      const int end = is_lost ? (from + to) / 2 : to;
      svg += line_across(
          from, end, y,
          is_lost ? "stroke=\"#c33\" stroke-dasharray=\"4 3\"" : "stroke=\"#36c\" marker-end=\"url(#end)\"");
      svg += text_at((from + to) / 2, y - 3, "middle", (is_lost ? "lost: " : "") + what(*record));
    } else {
      svg += text_at(x_of(record->host), y + 4, "middle", what(*record));
    }
    y += row_height;
  }
  svg += "</svg>\n";
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "wb"), &std::fclose);
  return file != nullptr && std::fwrite(svg.data(), 1, svg.size(), file.get()) == svg.size();
}

}  // namespace reactor::sim
