module deadweight/toolchain/quadlet

go 1.26.3

tool github.com/containers/podman/v5/cmd/quadlet

require github.com/containers/podman/v5 v5.8.6

require go.podman.io/storage v1.62.0 // indirect
