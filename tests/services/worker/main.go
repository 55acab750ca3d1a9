// The one instruction of a test's Dockerfile: it tells a server that it began, works for a while, leaves a file, and tells the end.
//
// Usage: worker ADDRESS NAME SECONDS [fail]
package main

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"time"
)

func main() {
	address, name := os.Args[1], os.Args[2]
	seconds, err := strconv.ParseFloat(os.Args[3], 64)
	if err != nil {
		panic(err)
	}
	tell(address, "begin "+name) // stays open, so that the server sees when this program is ended
	time.Sleep(time.Duration(seconds * float64(time.Second)))
	if len(os.Args) > 4 {
		fmt.Fprintln(os.Stderr, "error: transport: Unavailable: broken pipe, says a program in the build")
		os.Exit(3)
	}
	if err := os.WriteFile("/result", []byte(name+"\n"), 0o644); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	tell(address, "end "+name).Close()
}

func tell(address, what string) net.Conn {
	connection, err := net.DialTimeout("tcp", address, 10*time.Second)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(4)
	}
	fmt.Fprintln(connection, what)
	if _, err := connection.Read(make([]byte, 3)); err != nil { // it answers when it likes
		os.Exit(5)
	}
	return connection
}
