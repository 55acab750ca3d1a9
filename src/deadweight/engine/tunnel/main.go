// Command tunnel stands beside a service, in its network, where the engine is on another machine or in another kernel.
//
//	tunnel wait              does nothing until it is told to end
//	tunnel dial PORT         connects to that port of the loopback address, and passes on what comes in and goes out
//	tunnel dial PORT HOST    the same to another address
//	tunnel listen KIND TEXT  takes connections (tcp, serve) or datagrams (udp), see listen.go
//	tunnel answer PORT TEXT  answers each HTTP request with the text, see listen.go
//	tunnel address ADDRESS   gives this network one more address
//	tunnel lead ADDRESS BY   has packets to an address go by another one of this network
//	tunnel relay ADDRESS PORT TO  gives this network one more address, and passes on what comes to its port; does not wait
//	tunnel listeners         prints what listens in this network, as the kernel lists it
//	tunnel cut-off BRIDGE    closes what leads from that bridge to this machine, in whose network it stands
package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

const patience = 10 * time.Second

func main() {
	words := append(os.Args[1:], "")
	switch name, count := words[0], len(os.Args)-1; {
	case name == "wait" && count == 1:
		ended := make(chan os.Signal, 1)
		signal.Notify(ended, syscall.SIGTERM, syscall.SIGINT)
		<-ended
	case name == "dial" && count == 2:
		dial("127.0.0.1", words[1])
	case name == "dial" && count == 3:
		dial(words[2], words[1])
	case name == "listen" && count == 3:
		listen(words[1], words[2])
	case name == "answer" && count == 3:
		answer(words[1], words[2])
	case name == "address" && count == 2:
		address(words[1])
	case name == "lead" && count == 3:
		lead(words[1], words[2])
	case name == "relay" && count == 4:
		relay(words[1], words[2], words[3])
	case name == "relaying" && count == 2:
		relaying(words[1])
	case name == "listeners" && count == 1:
		for _, name := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
			content, err := os.ReadFile(name)
			if err == nil {
				os.Stdout.Write(content)
			}
		}
	case name == "cut-off" && count == 2:
		cutOff(words[1])
	default:
		fmt.Fprintln(os.Stderr, "usage: tunnel wait | dial PORT [HOST] | listen tcp|serve|udp TEXT | answer PORT TEXT | address ADDRESS | lead ADDRESS BY | relay ADDRESS PORT TO | listeners | cut-off BRIDGE")
		os.Exit(2)
	}
}

// dial says on stderr what came of it, in one line, before anything passes.
func dial(host, port string) {
	connection, err := net.DialTimeout("tcp", net.JoinHostPort(host, port), patience)
	if err != nil {
		fail(err)
	}
	fmt.Fprintln(os.Stderr, "connected")
	pass(connection)
}

// pass ends when the other side does, or whoever asked is gone.
func pass(connection net.Conn) {
	go func() {
		io.Copy(connection, os.Stdin)
		connection.Close()
	}()
	io.Copy(os.Stdout, connection)
}

// cutOff: no IPv6; nothing from a source to which no route leads back through here; no answer to ARP (Linux, ip-sysctl).
func cutOff(bridge string) {
	settings := [][2]string{{"ipv6/conf/%s/disable_ipv6", "1"}, {"ipv4/conf/%s/rp_filter", "1"}, {"ipv4/conf/%s/arp_ignore", "8"}}
	for number, each := range settings {
		file := filepath.Join("/proc/sys/net", fmt.Sprintf(each[0], bridge))
		if _, err := os.Stat(file); number == 0 && os.IsNotExist(err) {
			continue // this kernel has no IPv6
		}
		if err := os.WriteFile(file, []byte(each[1]), 0); err != nil {
			fail(err)
		}
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
