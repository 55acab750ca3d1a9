// Command tunnel stands beside a service, in its network, where the engine is on another machine or in another kernel.
//
//	tunnel wait          does nothing until it is told to end
//	tunnel dial PORT     connects to that port of the loopback address, and passes on what comes in and goes out
//	tunnel listeners     prints what listens in this network, as the kernel lists it
package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"
)

const patience = 10 * time.Second

func main() {
	switch {
	case len(os.Args) == 2 && os.Args[1] == "wait":
		ended := make(chan os.Signal, 1)
		signal.Notify(ended, syscall.SIGTERM, syscall.SIGINT)
		<-ended
	case len(os.Args) == 3 && os.Args[1] == "dial":
		dial(os.Args[2])
	case len(os.Args) == 2 && os.Args[1] == "listeners":
		for _, name := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
			content, err := os.ReadFile(name)
			if err == nil {
				os.Stdout.Write(content)
			}
		}
	default:
		fmt.Fprintln(os.Stderr, "usage: tunnel wait | dial PORT | listeners")
		os.Exit(2)
	}
}

// dial says on stderr what came of it, in one line, before anything passes.
func dial(port string) {
	connection, err := net.DialTimeout("tcp", net.JoinHostPort("127.0.0.1", port), patience)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Fprintln(os.Stderr, "connected")
	go func() {
		io.Copy(connection, os.Stdin)
		connection.Close() // whoever asked is gone
	}()
	io.Copy(os.Stdout, connection)
}
