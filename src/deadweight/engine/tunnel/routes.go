package main

import (
	"fmt"
	"net"
	"syscall"
	"unsafe"
)

const one = "255.255.255.255"

type interfaceRequest struct { // struct ifreq, netdevice(7)
	name    [16]byte
	address syscall.RawSockaddrInet4
	_       [8]byte
}

type routeRequest struct { // struct rtentry, route(7)
	_                     uint64
	target, gateway, mask syscall.RawSockaddrInet4
	flags                 uint16
	_                     int16
	_                     uint64
	_                     uintptr
	metric                int16
	_                     uintptr
	mtu, window           uint64
	roundTrip             uint16
}

// address: on the loopback interface, under a name of its own, so that nothing else of it changes.
func address(text string) {
	for _, each := range []struct {
		request uintptr
		value   string
	}{{syscall.SIOCSIFADDR, text}, {syscall.SIOCSIFNETMASK, one}} {
		asked := interfaceRequest{address: at(each.value)}
		copy(asked.name[:], "lo:dw")
		ask(each.request, unsafe.Pointer(&asked), "give an address")
	}
}

func lead(target, by string) {
	const up, host, gateway = 0x1, 0x4, 0x2 // RTF_UP, RTF_HOST, RTF_GATEWAY
	asked := routeRequest{target: at(target), gateway: at(by), mask: at(one), flags: up | host | gateway}
	ask(syscall.SIOCADDRT, unsafe.Pointer(&asked), "lead there")
}

func at(text string) syscall.RawSockaddrInet4 {
	found := syscall.RawSockaddrInet4{Family: syscall.AF_INET}
	parsed := net.ParseIP(text).To4()
	if parsed == nil {
		fail(fmt.Errorf("%q is no address", text))
	}
	copy(found.Addr[:], parsed)
	return found
}

func ask(request uintptr, what unsafe.Pointer, told string) {
	socket, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM, 0)
	if err != nil {
		fail(err)
	}
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, uintptr(socket), request, uintptr(what)); errno != 0 && errno != syscall.EEXIST {
		fail(fmt.Errorf("%s: %w", told, errno))
	}
}
