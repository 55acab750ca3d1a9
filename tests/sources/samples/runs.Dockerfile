ARG BASE=alpine:3
FROM golang:1 AS build
RUN go build
RUN \
  # a comment
  --network=none apt-get update
FROM ${BASE} AS last
run --mount=type=cache,target=/c,from=build apk add x
FROM last
RUN <<END
apk add y
END
FROM scratch
RUN apk add z
