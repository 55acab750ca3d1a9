package main

import (
	"io"
	"net"
	"os"
	"os/exec"
	"syscall"
)

// relay leaves a process behind that goes on when this one has told, by its end, that it can.
func relay(own, port, to string) {
	address(own)
	listening, err := net.Listen("tcp4", net.JoinHostPort(own, port))
	if err != nil {
		fail(err)
	}
	file, err := listening.(*net.TCPListener).File()
	if err != nil {
		fail(err)
	}
	left := exec.Command("/proc/self/exe", "relaying", to)
	left.ExtraFiles = []*os.File{file}
	left.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := left.Start(); err != nil {
		fail(err)
	}
}

func relaying(to string) {
	listening, err := net.FileListener(os.NewFile(3, "listening"))
	if err != nil {
		fail(err)
	}
	for {
		connection, err := listening.Accept()
		if err != nil {
			fail(err)
		}
		go func() {
			defer connection.Close()
			other, err := net.DialTimeout("tcp", to, patience)
			if err != nil {
				return
			}
			defer other.Close()
			go io.Copy(other, connection)
			io.Copy(connection, other)
		}()
	}
}
