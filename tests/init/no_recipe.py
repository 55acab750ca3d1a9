"""Services in languages that the tool has no recipe for. Each answers the same operations: data of its own, a file of its image, a
module that is loaded when it is first asked for, a variable of a build argument, a folder that it may write to."""

from __future__ import annotations

OPERATIONS = ("/health", "/prices", "/file", "/late", "/version", "/save", "/user")

_SETTINGS = """\
RUN useradd --create-home --uid 1234 shop && mkdir /data && chown shop:shop /data && ln -s /srv/shop/words.txt /etc/words
ARG VERSION
LABEL org.example.version="v${VERSION}" org.example.team=shop
ENV SHOP_VERSION=$VERSION GREETING="it's $5 \\"here\\""
WORKDIR /srv/shop
COPY --chown=shop words.txt ./
"""
_END = """\
USER shop
VOLUME ["/data"]
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --retries=2 CMD true
"""


def _dockerfile(packages: str, copies: str, command: str, *, builds: str = "") -> str:
    head = f"# syntax=docker/dockerfile:1\nARG VERSION=7\n{builds}FROM debian:12\n"
    install = f"RUN apt-get update && apt-get install -y --no-install-recommends {packages}\n"
    return f"{head}{install}{_SETTINGS}{copies}{_END}CMD {command}\n"


PERL = r"""
use strict;
use warnings;
use IO::Socket::INET;

$SIG{TERM} = sub { exit 0 };
my %get = (
    '/health' => sub { 'ok' },
    '/prices' => sub { 'tea 3' },
    '/file' => sub { open my $file, '<', '/etc/words' or die; local $/; <$file> },
    '/late' => sub { require Digest::SHA; require POSIX; Digest::SHA::sha256_hex(POSIX::floor(3.5)) },
    '/version' => sub { "$ENV{SHOP_VERSION} $ENV{GREETING}" },
    '/save' => sub { open my $file, '>', '/data/last' or die; print $file 'x'; 'saved' },
    '/user' => sub { (getpwuid $<)[0] },
);
my $server = IO::Socket::INET->new(LocalPort => 8080, Listen => 16, ReuseAddr => 1) or die "cannot listen: $!";
while (my $client = $server->accept) {
    my ($path) = (<$client> // '') =~ m{^GET (\S+)};
    while (defined(my $line = <$client>)) { last if $line =~ /^\r?\n$/ }
    my $body = $path && $get{$path} ? eval { $get{$path}->() } : undef;
    my $status = defined $body ? '200 OK' : '404 Not Found';
    $body //= 'none';
    my $length = length $body;
    print $client "HTTP/1.1 $status\r\nContent-Type: text/plain\r\nContent-Length: $length\r\nConnection: close\r\n\r\n$body";
    close $client;
}
"""

CPP = r"""
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
"""

LUA = r"""
local socket = require("socket")
local function file(path)
  local handle = assert(io.open(path))
  local text = handle:read("a")
  handle:close()
  return text
end
local get = {
  ["/health"] = function() return "ok" end,
  ["/prices"] = function() return "tea 3" end,
  ["/file"] = function() return file("/etc/words") end,
  ["/late"] = function() return (require("mime").b64("tea")) end,
  ["/version"] = function() return os.getenv("SHOP_VERSION") .. " " .. os.getenv("GREETING") end,
  ["/save"] = function() local out = assert(io.open("/data/last", "w")) out:write("x") out:close() return "saved" end,
  ["/user"] = function() return file("/etc/passwd"):match("\n(%w+):x:1234:") end,
}
local server = assert(socket.bind("0.0.0.0", 8080))
while true do
  local client = server:accept()
  client:settimeout(5)
  local path = (client:receive() or ""):match("^GET (%S+)")
  repeat local line = client:receive() until not line or line == ""
  local body = get[path] and get[path]() or nil
  local status = body and "200 OK" or "404 Not Found"
  body = body or "none"
  local head = "HTTP/1.1 " .. status .. "\r\nContent-Type: text/plain\r\nContent-Length: " .. #body
  client:send(head .. "\r\nConnection: close\r\n\r\n" .. body)
  client:close()
end
"""

ELIXIR = r"""
defmodule Shop do
  def get("/health"), do: "ok"
  def get("/prices"), do: "tea 3"
  def get("/file"), do: File.read!("/etc/words")
  def get("/late"), do: Base.encode16(:crypto.hash(:sha256, "tea"))
  def get("/version"), do: System.get_env("SHOP_VERSION") <> " " <> System.get_env("GREETING")
  def get("/save"), do: if(File.write("/data/last", "x") == :ok, do: "saved", else: "lost")
  def get("/user"), do: hd(Regex.run(~r/\n(\w+):x:1234:/, File.read!("/etc/passwd"), capture: :all_but_first))
  def get(_), do: nil

  def serve(server) do
    {:ok, client} = :gen_tcp.accept(server)
    case :gen_tcp.recv(client, 0, 5000) do
      {:ok, request} ->
        [_, path | _] = String.split(request, " ")
        body = get(path)
        status = if body, do: "200 OK", else: "404 Not Found"
        body = body || "none"
        head = "HTTP/1.1 #{status}\r\nContent-Type: text/plain\r\nContent-Length: #{byte_size(body)}\r\nConnection: close\r\n\r\n"
        :gen_tcp.send(client, head <> body)
      _ -> :ok
    end
    :gen_tcp.close(client)
    serve(server)
  end
end

{:ok, server} = :gen_tcp.listen(8080, [:binary, active: false, reuseaddr: true])
Shop.serve(server)
"""

_WORDS = {"words.txt": "milk\nhoney\n", ".dockerignore": "*\n!words.txt\n!server.*\n"}

SERVICES = {
    "perl": {
        **_WORDS,
        "Dockerfile": _dockerfile("perl", "COPY server.pl ./\n", '["perl", "server.pl"]'),
        "server.pl": PERL,
    },
    "cpp": {
        **_WORDS,
        "Dockerfile": _dockerfile(
            "libstdc++6 zlib1g",
            "COPY --from=build /server /usr/local/bin/server\n",
            '["server"]',
            builds="FROM debian:12 AS build\nRUN apt-get update && apt-get install -y --no-install-recommends g++\n"
            "COPY server.cpp ./\nRUN g++ -O1 -o /server server.cpp\n",
        ),
        "server.cpp": CPP,
    },
    "lua": {
        **_WORDS,
        "Dockerfile": _dockerfile("lua5.4 lua-socket", "COPY server.lua ./\n", '["lua5.4", "server.lua"]'),
        "server.lua": LUA,
    },
    "elixir": {
        **_WORDS,
        "Dockerfile": _dockerfile("elixir", "COPY server.exs ./\n", '["elixir", "server.exs"]'),
        "server.exs": ELIXIR,
    },
}
