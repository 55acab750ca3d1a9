# Multi-stage on Chainguard busybox: glibc, busybox, no package manager. awk is busybox.
# The compile instructions are the same, to the letter, in every Dockerfile here: BuildKit then runs them once for all.
ARG GO_BASE=golang:1.21.3-bookworm
ARG BASE=cgr.dev/chainguard/busybox:latest

FROM ${GO_BASE} AS build
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags="-s -w -X main.buildVersion=0.1.0" \
    -o /usr/local/bin/vulnerable-awk-playground .

FROM ${BASE}
COPY --from=build /usr/local/bin/vulnerable-awk-playground /usr/local/bin/vulnerable-awk-playground
LABEL org.opencontainers.image.title="vulnerable-awk-playground" \
      org.opencontainers.image.description="Runs AWK scripts that its callers provide; vulnerable on purpose" \
      org.opencontainers.image.licenses="Apache-2.0"
EXPOSE 8080
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/vulnerable-awk-playground"]
