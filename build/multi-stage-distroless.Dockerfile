# Multi-stage on Google's static base: no shell, no package manager, no libc, and so no awk either. One file is taken from
# a donor, a statically linked busybox; started under the name "awk" it is awk and nothing else.
# The compile instructions are the same, to the letter, in every Dockerfile here: BuildKit then runs them once for all.
ARG GO_BASE=golang:1.21.3-bookworm
ARG AWK_DONOR=busybox:1.36.1-musl
ARG BASE=gcr.io/distroless/static-debian12:nonroot

FROM ${AWK_DONOR} AS awk

FROM ${GO_BASE} AS build
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags="-s -w -X main.buildVersion=0.1.0" \
    -o /usr/local/bin/vulnerable-awk-playground .

FROM ${BASE}
COPY --from=awk /bin/busybox /usr/bin/awk
COPY --from=build /usr/local/bin/vulnerable-awk-playground /usr/local/bin/vulnerable-awk-playground
LABEL org.opencontainers.image.title="vulnerable-awk-playground" \
      org.opencontainers.image.description="Runs AWK scripts that its callers provide; vulnerable on purpose" \
      org.opencontainers.image.licenses="Apache-2.0"
EXPOSE 8080
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/vulnerable-awk-playground"]
