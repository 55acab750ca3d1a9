# syntax=docker/dockerfile:1.7
ARG GO_VERSION=1.24
ARG ALPINE_VERSION=3.20
FROM --platform=$BUILDPLATFORM tonistiigi/xx:1.5.0 AS xx
FROM --platform=$BUILDPLATFORM golang:${GO_VERSION}-alpine${ALPINE_VERSION} AS builder
COPY --from=xx / /
RUN apk add --no-cache git make
ARG TARGETPLATFORM
WORKDIR /src
COPY go/go.mod go/go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY go .
ENV CGO_ENABLED=0
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build xx-go build -o /out/app . && xx-verify --static /out/app
FROM alpine:${ALPINE_VERSION}
RUN apk add --no-cache ca-certificates tzdata curl && adduser -D -H -u 10001 app
COPY --from=builder /out/app /usr/local/bin/app
USER app
EXPOSE 8080
HEALTHCHECK CMD curl -fsS http://localhost:8080/healthz || exit 1
ENTRYPOINT ["app"]
