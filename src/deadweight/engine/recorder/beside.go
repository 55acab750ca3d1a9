package main

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

const patience = 60 * time.Second

// meet gives a connection to whoever is to listen: to a path, or at an abstract name until somebody comes.
func meet(socket string) (int, error) {
	opened, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	address := &syscall.SockaddrUnix{Name: socket}
	if !strings.HasPrefix(socket, "@") {
		return opened, syscall.Connect(opened, address)
	}
	if err := syscall.Bind(opened, address); err != nil {
		return 0, err
	}
	if err := syscall.Listen(opened, 1); err != nil {
		return 0, err
	}
	for {
		connected, _, err := syscall.Accept4(opened, syscall.SOCK_CLOEXEC)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		syscall.Close(opened)
		return connected, err
	}
}

// joined gives what the filter of a program tells by that listens at an abstract name of this network.
func joined(socket string) (int, []byte, error) {
	for until := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		connection, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: socket, Net: "unix"})
		if err == nil {
			return handed(connection)
		}
		if time.Now().After(until) {
			return 0, nil, fmt.Errorf("%s: %w", socket, err)
		}
	}
}

// answering calls say for each line that is read, and ends all when nothing more comes: whoever asked is gone.
func answering(say func()) {
	lines := bufio.NewReader(os.Stdin)
	for {
		if _, err := lines.ReadString('\n'); err != nil {
			os.Exit(0)
		}
		say()
	}
}

func tallyBeside(socket string) error {
	listener, said, err := joined(socket)
	if err != nil {
		return err
	}
	counted := make([]byte, size)
	copy(counted[text:], said)
	fmt.Fprintln(os.Stderr, "joined")
	go tally(listener, (*[calls + families]uint32)(unsafe.Pointer(&counted[0])))
	answering(func() { os.Stdout.Write(counted) })
	return nil
}
