module example.com/asked

go 1.25.0

require google.golang.org/grpc v1.83.2
