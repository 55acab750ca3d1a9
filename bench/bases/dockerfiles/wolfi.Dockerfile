FROM cgr.dev/chainguard/go:latest AS build
WORKDIR /src
COPY go .
RUN CGO_ENABLED=0 go build -o app .
FROM cgr.dev/chainguard/wolfi-base
RUN apk add --no-cache ca-certificates-bundle curl
COPY --from=build /src/app /usr/bin/app
ENTRYPOINT ["/usr/bin/app"]
