FROM mirror.gcr.io/library/golang:1.25-bookworm@sha256:abababababababababababababababababababababababababababababababab AS build
WORKDIR /src
COPY go .
RUN CGO_ENABLED=0 go build -ldflags="-s -w" -o /app .
FROM gcr.io/distroless/static-debian12:nonroot@sha256:abababababababababababababababababababababababababababababababab
COPY --from=build /app /app
ENTRYPOINT ["/app"]
