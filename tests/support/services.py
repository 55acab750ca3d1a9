"""Small services with real third-party dependencies, as people write them: what ``init`` has to bring in without an edit.

Each is written into an empty folder; its lock files come from the language's own tool.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

TIDY = (("go", "mod", "tidy"),)
GO = "go 1.22\n"


@dataclass(frozen=True)
class Kind:
    """``locked`` are the commands that write its lock files. ``port``, ``health`` and ``needs`` are what init has to find out."""

    files: Mapping[str, str]
    port: int
    health: str
    locked: tuple[tuple[str, ...], ...] = ()
    needs: tuple[str, ...] = ()
    rungs: int = 2
    """As many are built at least."""

    def write(self, root: Path) -> Path:
        """Write it, lock its dependencies, give the folder."""
        for name, text in self.files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text.lstrip("\n"), encoding="utf-8")
        for words in self.locked:
            environment = {**os.environ, "GOFLAGS": "-mod=mod"} if words[:2] == ("go", "mod") else dict(os.environ)
            subprocess.run(words, cwd=root, env=environment, check=True, capture_output=True, timeout=300)
        return root


CHI = Kind(
    {
        "go.mod": f"module example.com/greeter\n\n{GO}\nrequire github.com/go-chi/chi/v5 v5.1.0\n",
        "main.go": """
package main

import (
	"encoding/json"
	"log"
	"net/http"

	"github.com/go-chi/chi/v5"
)

func main() {
	routes := chi.NewRouter()
	routes.Get("/health", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	routes.Get("/hello/{name}", func(w http.ResponseWriter, r *http.Request) {
		json.NewEncoder(w).Encode(map[string]string{"hello": chi.URLParam(r, "name")})
	})
	log.Fatal(http.ListenAndServe(":8081", routes))
}
""",
    },
    8081,
    "/health",
    TIDY,
)

GIN = Kind(
    {
        "go.mod": "module example.com/pages\n\ngo 1.25.0\n\nrequire github.com/gin-gonic/gin v1.12.0\n",
        "pages/index.html": "<html><title>Pages</title></html>\n",
        "config/limits.yaml": "most: 3\n",
        "main.go": """
package main

import (
	"embed"
	"html/template"
	"log"
	"os"

	"github.com/gin-gonic/gin"
)

//go:embed pages/*.html
var pages embed.FS

func main() {
	if _, err := os.ReadFile("config/limits.yaml"); err != nil {
		log.Fatal(err)
	}
	server := gin.Default()
	server.SetHTMLTemplate(template.Must(template.ParseFS(pages, "pages/*.html")))
	server.GET("/", func(c *gin.Context) { c.HTML(200, "index.html", nil) })
	server.GET("/ping", func(c *gin.Context) { c.JSON(200, gin.H{"message": "pong"}) })
	log.Fatal(server.Run(":" + os.Getenv("PORT")))
}
""",
    },
    8080,
    "/ping",
    TIDY,
)

GRPC = Kind(
    {
        "go.mod": "module example.com/asked\n\ngo 1.25.0\n\nrequire google.golang.org/grpc v1.83.2\n",
        "cmd/asked/main.go": """
package main

import (
	"log"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
)

func main() {
	listener, err := net.Listen("tcp", ":9000")
	if err != nil {
		log.Fatal(err)
	}
	server := grpc.NewServer()
	grpc_health_v1.RegisterHealthServer(server, health.NewServer())
	log.Fatal(server.Serve(listener))
}
""",
    },
    9000,
    "grpc",
    TIDY,
)

REPLACED = Kind(
    {
        "go.mod": (
            f"module example.com/orders\n\n{GO}\nrequire (\n\texample.com/ids v0.0.0\n\tgithub.com/go-chi/chi/v5 v5.1.0\n)\n\n"
            "replace example.com/ids => ./ids\n"
        ),
        "ids/go.mod": f"module example.com/ids\n\n{GO}\nrequire github.com/google/uuid v1.6.0\n",
        "ids/ids.go": 'package ids\n\nimport "github.com/google/uuid"\n\nfunc New() string { return uuid.NewString() }\n',
        "cmd/orders-worker/main.go": 'package main\n\nimport "example.com/ids"\n\nfunc main() { println(ids.New()) }\n',
        "cmd/orders/main.go": """
package main

import (
	"log"
	"net/http"

	"example.com/ids"
	"github.com/go-chi/chi/v5"
)

func main() {
	routes := chi.NewRouter()
	routes.Get("/readyz", func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("ready")) })
	routes.Get("/new", func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(ids.New())) })
	log.Fatal(http.ListenAndServe(":7000", routes))
}
""",
    },
    7000,
    "/readyz",
    (("go", "-C", "ids", "mod", "tidy"), *TIDY),
)

VENDORED = Kind(
    {
        "go.mod": f"module example.com/shelf\n\n{GO}\nrequire github.com/go-chi/chi/v5 v5.1.0\n",
        "Makefile": "image:\n\tdocker build -f deploy/Dockerfile -t shelf .\n",
        "deploy/Dockerfile": """
FROM golang:1.22 AS build
WORKDIR /src
COPY . .
RUN CGO_ENABLED=0 go build -mod=vendor -o /out/shelf .

FROM alpine:3
COPY --from=build /out/shelf /usr/local/bin/shelf
EXPOSE 6060
USER 1000
ENTRYPOINT ["/usr/local/bin/shelf"]
""",
        "main.go": """
package main

import (
	"log"
	"net/http"

	"github.com/go-chi/chi/v5"
)

func main() {
	routes := chi.NewRouter()
	routes.Get("/livez", func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("alive")) })
	log.Fatal(http.ListenAndServe(":6060", routes))
}
""",
    },
    6060,
    "/livez",
    (*TIDY, ("go", "mod", "vendor")),
)

SPRING = Kind(
    {
        "pom.xml": """
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <parent>
    <groupId>org.springframework.boot</groupId>
    <artifactId>spring-boot-starter-parent</artifactId>
    <version>3.3.5</version>
  </parent>
  <groupId>example</groupId>
  <artifactId>ledger</artifactId>
  <version>1</version>
  <properties><java.version>17</java.version></properties>
  <dependencies>
    <dependency><groupId>org.springframework.boot</groupId><artifactId>spring-boot-starter-web</artifactId></dependency>
    <dependency><groupId>org.springframework.boot</groupId><artifactId>spring-boot-starter-jdbc</artifactId></dependency>
    <dependency><groupId>org.springframework.boot</groupId><artifactId>spring-boot-starter-actuator</artifactId></dependency>
    <dependency><groupId>org.postgresql</groupId><artifactId>postgresql</artifactId></dependency>
  </dependencies>
  <build><plugins><plugin>
    <groupId>org.springframework.boot</groupId><artifactId>spring-boot-maven-plugin</artifactId>
  </plugin></plugins></build>
</project>
""",
        "compose.yaml": """
services:
  ledger:
    build: .
    ports: ["8080:8080"]
    depends_on: [db]
    environment:
      SPRING_DATASOURCE_URL: jdbc:postgresql://db:5432/ledger
      SPRING_DATASOURCE_USERNAME: ledger
      SPRING_DATASOURCE_PASSWORD: ${LEDGER_PASSWORD:-secret}
  db:
    image: postgres:16
    environment: {POSTGRES_DB: ledger, POSTGRES_USER: ledger, POSTGRES_PASSWORD: "${LEDGER_PASSWORD:-secret}"}
""",
        "src/main/java/example/Ledger.java": """
package example;

import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.jdbc.core.JdbcTemplate;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.RestController;

@SpringBootApplication
@RestController
public class Ledger {
    private final JdbcTemplate database;

    public Ledger(JdbcTemplate database) {
        this.database = database;
    }

    @GetMapping("/sum")
    public Integer sum() {
        return database.queryForObject("select 1 + 1", Integer.class);
    }

    public static void main(String[] words) {
        SpringApplication.run(Ledger.class, words);
    }
}
""",
    },
    8080,
    "/actuator/health",
    needs=("db",),
)

FASTAPI = Kind(
    {
        "requirements.txt": "-r requirements/base.txt\nuvicorn>=0.30\n",
        "requirements/base.txt": "fastapi>=0.110\n",
        "app/__init__.py": "",
        "app/main.py": """
from fastapi import FastAPI

app = FastAPI(title="Prices")


@app.get("/prices")
def prices() -> dict[str, int]:
    return {"tea": 3}
""",
    },
    8000,
    "/openapi.json",
)

FLASK = Kind(
    {
        "requirements.txt": "flask\ngunicorn\nredis\n",
        "Procfile": "web: gunicorn shop:app\n",
        "compose.yaml": """
services:
  web:
    build: .
    environment: {REDIS_URL: "redis://cache:6379/0"}
  cache:
    image: redis:7-alpine
""",
        "Dockerfile": """
FROM python:3.12-slim
WORKDIR /app
COPY requirements.txt .
RUN pip install -r requirements.txt
COPY . .
EXPOSE 5000
CMD ["gunicorn", "-b", "0.0.0.0:5000", "shop:app"]
""",
        "shop.py": """
import os

import redis
from flask import Flask

app = Flask(__name__)
store = redis.Redis.from_url(os.environ["REDIS_URL"])
store.ping()


@app.get("/health")
def health() -> str:
    return str(store.ping())
""",
    },
    5000,
    "/health",
    needs=("cache",),
)

EXPRESS = Kind(
    {
        "package.json": """
{
  "name": "menu", "version": "1.0.0", "private": true,
  "scripts": {"start": "npm run serve", "serve": "node src/server.js", "prepare": "husky"},
  "dependencies": {"express": "^4.21.0"}, "devDependencies": {"husky": "^9.1.0"}
}
""",
        "src/server.js": """
const express = require("express");

const app = express();
app.get("/healthz", (_request, response) => response.json({ up: true }));
app.get("/menu", (_request, response) => response.json(["tea", "milk"]));
const server = app.listen(process.env.PORT || 3000);
process.on("SIGTERM", () => server.close());
""",
    },
    3000,
    "/healthz",
    (("npm", "install", "--package-lock-only", "--ignore-scripts", "--no-audit", "--no-fund"),),
)

AXUM = Kind(
    {
        "Cargo.toml": """
[package]
name = "echo"
version = "0.1.0"
edition = "2021"

[dependencies]
axum = "0.7"
tokio = { version = "1", features = ["macros", "net", "rt-multi-thread", "signal"] }
""",
        "static/index.html": "<title>Echo</title>\n",
        "src/main.rs": """
use axum::{response::Html, routing::get, Router};

#[tokio::main]
async fn main() {
    let page = std::fs::read_to_string("static/index.html").expect("the page");
    let app = Router::new()
        .route("/", get(move || async move { Html(page.clone()) }))
        .route("/healthz", get(|| async { "ok" }));
    let listener = tokio::net::TcpListener::bind("0.0.0.0:4000").await.expect("a port");
    axum::serve(listener, app).await.expect("serve");
}
""",
    },
    4000,
    "/healthz",
    (("cargo", "generate-lockfile"),),
)

RUBY = Kind(
    {
        "Gemfile": "source 'https://rubygems.org'\n",
        "app.rb": """
require "socket"
require "json"

server = TCPServer.new("0.0.0.0", Integer(ENV.fetch("PORT", "4567")))
loop do
  client = server.accept
  path = client.gets.to_s.split[1]
  nil until client.gets.to_s.strip.empty?
  body = JSON.generate(path == "/health" ? { up: true } : { path: path })
  client.write("HTTP/1.1 200 OK\\r\\nContent-Type: application/json\\r\\nContent-Length: #{body.bytesize}\\r\\n")
  client.write("Connection: close\\r\\n\\r\\n#{body}")
  client.close
end
""",
    },
    4567,
    "/health",
    rungs=1,  # no stand-in has Ruby on Alpine
)

PHP = Kind(
    {
        "public/index.php": "<?php header('Content-Type: application/json'); echo json_encode(['tea' => 3]);\n",
        "public/about.php": "<h1>About</h1>\n",
    },
    8080,
    "/",
)

ALL = {
    "chi": CHI, "gin": GIN, "grpc": GRPC, "replaced": REPLACED, "vendored": VENDORED,
    "spring": SPRING, "fastapi": FASTAPI, "flask": FLASK, "express": EXPRESS, "axum": AXUM, "ruby": RUBY, "php": PHP,
}  # fmt: skip
