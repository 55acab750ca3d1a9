package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"time"
)

// listen says on stderr which port it took, and a line "connected" for each connection or datagram; what comes goes to stdout.
// Each connection is first told the text; "serve" then ends its half, and drops what comes. It ends when stdin does.
func listen(kind, text string) {
	if kind == "udp" {
		datagrams()
		return
	}
	server, err := net.Listen("tcp4", ":0")
	if err != nil {
		fail(err)
	}
	go endWithStdin()
	fmt.Fprintln(os.Stderr, server.Addr().(*net.TCPAddr).Port)
	for {
		connection, err := server.Accept()
		if err != nil {
			fail(err)
		}
		fmt.Fprintln(os.Stderr, "connected")
		go talk(connection.(*net.TCPConn), text, kind == "serve")
	}
}

func talk(connection *net.TCPConn, text string, served bool) {
	defer connection.Close()
	io.WriteString(connection, text)
	to := io.Writer(os.Stdout)
	if served {
		connection.CloseWrite()
		to = io.Discard
	}
	io.Copy(to, connection)
}

func datagrams() {
	server, err := net.ListenPacket("udp4", ":0")
	if err != nil {
		fail(err)
	}
	go endWithStdin()
	fmt.Fprintln(os.Stderr, server.LocalAddr().(*net.UDPAddr).Port)
	buffer := make([]byte, 1<<16)
	for {
		count, _, err := server.ReadFrom(buffer)
		if err != nil {
			fail(err)
		}
		fmt.Fprintln(os.Stderr, "connected")
		os.Stdout.Write(buffer[:count])
	}
}

// answer gives the text to whoever has sent a whole request (RFC 9110: up to an empty line), says "listening" once it can, and ends
// when stdin does.
func answer(port, text string) {
	server, err := net.Listen("tcp4", ":"+port)
	if err != nil {
		fail(err)
	}
	go endWithStdin()
	fmt.Fprintln(os.Stderr, "listening")
	for {
		connection, err := server.Accept()
		if err != nil {
			fail(err)
		}
		go reply(connection, text)
	}
}

func reply(connection net.Conn, text string) {
	defer connection.Close()
	connection.SetDeadline(time.Now().Add(patience))
	asked, piece := []byte{}, make([]byte, 4096)
	for !bytes.Contains(asked, []byte("\r\n\r\n")) {
		count, err := connection.Read(piece)
		if err != nil {
			return
		}
		asked = append(asked, piece[:count]...)
	}
	io.WriteString(connection, text)
}

// endWithStdin: whoever asked is gone.
func endWithStdin() {
	io.Copy(io.Discard, os.Stdin)
	os.Exit(0)
}
