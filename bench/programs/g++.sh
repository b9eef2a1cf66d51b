# g++: compiles one file with many of the standard headers and templates made of them.
prepare() {
    cat >"$data/heavy.cpp" <<'CPP'
#include <algorithm>
#include <array>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <filesystem>
#include <fstream>
#include <functional>
#include <future>
#include <iomanip>
#include <iostream>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <numeric>
#include <optional>
#include <queue>
#include <random>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <tuple>
#include <unordered_map>
#include <unordered_set>
#include <variant>
#include <vector>

template <int N> struct shelf {
    std::map<std::string, std::vector<std::shared_ptr<std::array<int, N>>>> by_name;
    std::unordered_map<int, std::function<int(int)>> functions;
    std::variant<int, std::string, std::array<char, N>> any;

    int fill(int count)
    {
        for (int i = 0; i < count; i++) {
            by_name[std::to_string(i % (N + 7))].push_back(std::make_shared<std::array<int, N>>());
            functions[i] = [i](int x) { return x * i + N; };
        }
        std::set<std::pair<int, std::string>> order;
        for (auto &entry : by_name) {
            std::sort(entry.second.begin(), entry.second.end());
            order.emplace(static_cast<int>(entry.second.size()), entry.first);
        }
        std::ostringstream text;
        for (auto &entry : order) {
            text << std::setw(N) << entry.first << entry.second;
        }
        any = text.str();
        return functions[3](N) + std::visit([](auto &) { return N; }, any);
    }
};

template <int N> int fill_all(int count)
{
    if constexpr (N > 0) {
        return shelf<N>().fill(count) + fill_all<N - 1>(count);
    }
    return 0;
}

int main(int argc, char **)
{
    std::regex digits("[0-9]+(a|b)*");
    auto later = std::async([argc] { return fill_all<SHELVES>(argc); });
    std::cout << later.get() << std::regex_match("123", digits) << std::filesystem::current_path();
}
CPP
}

perform() {
    cd "$data"
    measured g++ -std=c++17 -O1 -DSHELVES=$((2 * scale)) -c heavy.cpp -o "$work/heavy.o"
    sha256sum <"$work/heavy.o"
}
