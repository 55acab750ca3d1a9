# Multi-stage on Google's static base: no shell, no package manager, no libc, and so no awk either. mawk comes out of the build
# stage, with the three libraries that it needs. It is one program under every name: a busybox called "awk" would still be a
# shell, for whoever starts it as "sh".
# The compile instructions are the same, to the letter, in every Dockerfile here: BuildKit then runs them once for all.
ARG GO_BASE=golang:1.21.3-bookworm
ARG BASE=gcr.io/distroless/static-debian12:nonroot

FROM ${GO_BASE} AS build
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags="-s -w -X main.buildVersion=0.1.0" \
    -o /usr/local/bin/vulnerable-awk-playground .

FROM ${GO_BASE} AS awk
RUN mkdir -p /awk/usr/bin /awk/lib /awk/lib64 && cp /usr/bin/mawk /awk/usr/bin/awk && \
    cp -L --parents $(ldd /usr/bin/mawk | grep -o '/lib[^ ]*') /awk

FROM ${BASE}
COPY --from=awk /awk/usr/bin/awk /usr/bin/awk
COPY --from=awk /awk/lib/ /lib/
COPY --from=awk /awk/lib64/ /lib64/
COPY --from=build /usr/local/bin/vulnerable-awk-playground /usr/local/bin/vulnerable-awk-playground
LABEL org.opencontainers.image.title="vulnerable-awk-playground" \
      org.opencontainers.image.description="Runs AWK scripts that its callers provide; vulnerable on purpose" \
      org.opencontainers.image.licenses="Apache-2.0"
EXPOSE 8080
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/vulnerable-awk-playground"]
