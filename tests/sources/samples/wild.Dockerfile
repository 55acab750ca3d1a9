# syntax=docker/dockerfile:1
# escape=`
FROM `
  # the compiler
  golang:1.21 AS build
RUN <<EOF cat <<<hello && echo $((1<<N))
FROM ubuntu:9
EOF
RUN --mount=type=bind,from=alpine:`
3.18,target=/x echo --mount=from=nobody
COPY `
  --from=busybox:1 /bin/sh /sh
FROM build
