#include <arpa/inet.h>
#include <csignal>
#include <cstdlib>
#include <dlfcn.h>
#include <fstream>
#include <functional>
#include <iostream>
#include <map>
#include <pwd.h>
#include <sstream>
#include <string>
#include <unistd.h>

static std::string file(const char *path) {
    std::ifstream in(path);
    std::stringstream text;
    text << in.rdbuf();
    return text.str();
}

static std::string late() {
    void *library = dlopen("libz.so.1", RTLD_NOW);
    if (!library) return "no library";
    return reinterpret_cast<const char *(*)()>(dlsym(library, "zlibVersion"))();
}

int main() {
    std::signal(SIGTERM, [](int) { _exit(0); });
    std::map<std::string, std::function<std::string()>> get = {
        {"/health", [] { return "ok"; }},
        {"/prices", [] { return "tea 3"; }},
        {"/file", [] { return file("/etc/words"); }},
        {"/late", late},
        {"/version", [] { return std::string(getenv("SHOP_VERSION")) + " " + getenv("GREETING"); }},
        {"/save", [] { std::ofstream("/data/last") << "x"; return file("/data/last") == "x" ? "saved" : "lost"; }},
        {"/user", [] { return getpwuid(getuid())->pw_name; }},
    };
    int server = socket(AF_INET, SOCK_STREAM, 0), yes = 1;
    setsockopt(server, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(8080);
    if (bind(server, reinterpret_cast<sockaddr *>(&address), sizeof address) || listen(server, 16)) return 1;
    while (true) {
        int client = accept(server, nullptr, nullptr);
        char buffer[4096];
        ssize_t size = read(client, buffer, sizeof buffer - 1);
        std::istringstream words(std::string(buffer, size > 0 ? size : 0));
        std::string method, path;
        words >> method >> path;
        auto found = get.find(path);
        std::string body = found == get.end() ? "none" : found->second();
        std::string head = found == get.end() ? "404 Not Found" : "200 OK";
        std::string answer = "HTTP/1.1 " + head + "\r\nContent-Type: text/plain\r\nContent-Length: " + std::to_string(body.size()) +
                             "\r\nConnection: close\r\n\r\n" + body;
        (void)!write(client, answer.data(), answer.size());
        close(client);
    }
}
