package main

import (
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"unsafe"
)

const (
	noNewPrivileges = 38         // PR_SET_NO_NEW_PRIVS, prctl(2)
	setModeFilter   = 1          // SECCOMP_SET_MODE_FILTER, seccomp(2)
	newListener     = 1 << 3     // SECCOMP_FILTER_FLAG_NEW_LISTENER, Linux 5.0
	waitKillable    = 1 << 5     // SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, Linux 5.19
	notify          = 0x7fc00000 // SECCOMP_RET_USER_NOTIF
	allow           = 0x7fff0000 // SECCOMP_RET_ALLOW
	receive         = 0xc0502100 // SECCOMP_IOCTL_NOTIF_RECV
	answer          = 0xc0182101 // SECCOMP_IOCTL_NOTIF_SEND
	stillThere      = 0x40082102 // SECCOMP_IOCTL_NOTIF_ID_VALID
	goOn            = 1          // SECCOMP_USER_NOTIF_FLAG_CONTINUE, Linux 5.5
)

type notice struct { // struct seccomp_notif
	id            uint64
	process, flag uint32
	number        int32
	architecture  uint32
	pointer       uint64
	words         [6]uint64
}

type reply struct { // struct seccomp_notif_resp
	id    uint64
	value int64
	errno int32
	flag  uint32
}

const (
	load = syscall.BPF_LD | syscall.BPF_W | syscall.BPF_ABS
	same = syscall.BPF_JMP | syscall.BPF_JEQ | syscall.BPF_K
	give = syscall.BPF_RET | syscall.BPF_K
)

// filterFor gives a filter that tells of the calls on files alone (`files`; `looks`: of those too that only ask whether one is
// there), or of every call but those with these numbers. Of sendmsg
// on one socket it never tells: by that, the other side is handed what it tells of.
func filterFor(socket int, told string) ([]syscall.SockFilter, error) {
	filter := []syscall.SockFilter{
		{Code: load, K: 4}, // seccomp_data.arch
		{Code: same, K: auditArchitecture, Jt: 1},
		{Code: give, K: allow},
		{Code: load, K: 0}, // .nr
	}
	if told == "files" || told == "looks" {
		numbers := onFiles
		if told == "looks" {
			numbers = append(numbers, onNames...)
		}
		for _, number := range numbers {
			filter = append(filter, syscall.SockFilter{Code: same, K: number, Jf: 1}, syscall.SockFilter{Code: give, K: notify})
		}
		return append(filter, syscall.SockFilter{Code: give, K: allow}), nil
	}
	for _, word := range strings.FieldsFunc(told, func(sign rune) bool { return sign == ',' }) {
		number, err := strconv.Atoi(word)
		if err != nil {
			return nil, err
		}
		filter = append(filter, syscall.SockFilter{Code: same, K: uint32(number), Jf: 1}, syscall.SockFilter{Code: give, K: allow})
	}
	return append(filter, []syscall.SockFilter{
		{Code: same, K: syscall.SYS_SENDMSG, Jf: 2},
		{Code: load, K: 16}, // .args[0]
		{Code: same, K: uint32(socket), Jt: 1},
		{Code: give, K: notify},
		{Code: give, K: allow},
	}...), nil
}

// install puts the filter on this thread. Nothing is allocated, and no other call made, until it is told who listens.
func install(filter []syscall.SockFilter) (int, error) {
	if _, _, errno := syscall.RawSyscall6(syscall.SYS_PRCTL, noNewPrivileges, 1, 0, 0, 0, 0); errno != 0 {
		return 0, fmt.Errorf("no new privileges: %w", errno)
	}
	program := syscall.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	at := uintptr(unsafe.Pointer(&program))
	listener, _, errno := syscall.RawSyscall(sysSeccomp, setModeFilter, newListener|waitKillable, at)
	if errno == syscall.EINVAL {
		listener, _, errno = syscall.RawSyscall(sysSeccomp, setModeFilter, newListener, at)
	}
	if errno != 0 {
		return 0, untold{errno}
	}
	return int(listener), nil
}

// untold is what a kernel says that has no such filter (before 5.0), or none whose calls may go on (before 5.5).
type untold struct{ errno syscall.Errno }

func (kernel untold) Error() string {
	return "a filter that tells of system calls: " + kernel.errno.Error()
}

type polled struct { // struct pollfd
	descriptor      int32
	wanted, happens int16
}

// waiting until there is a call. False: nobody is left who could make one (which kernels before 6.11 tell only who asks so).
func waiting(listener int) bool {
	for {
		asked := polled{descriptor: int32(listener), wanted: 1} // POLLIN
		_, _, errno := syscall.RawSyscall6(syscall.SYS_PPOLL, uintptr(unsafe.Pointer(&asked)), 1, 0, 0, 0, 0)
		if errno == 0 {
			return asked.happens&1 != 0
		}
		if errno != syscall.EINTR {
			return false
		}
	}
}

// next takes the call. False: nobody is left who could make one.
func next(listener int, told *notice) bool {
	for {
		*told = notice{}
		_, _, errno := syscall.RawSyscall(syscall.SYS_IOCTL, uintptr(listener), receive, uintptr(unsafe.Pointer(told)))
		switch errno {
		case 0:
			return true
		case syscall.EINTR:
		case syscall.ENOENT: // who made it has been ended meanwhile, and perhaps was the last one: asked again, it says so for ever
			if !waiting(listener) {
				return false
			}
		default:
			return false
		}
	}
}

// say answers it. A signal while another holds the kernel's lock is no answer: whoever asked would wait for ever.
func say(listener int, said *reply) syscall.Errno {
	for {
		_, _, errno := syscall.RawSyscall(syscall.SYS_IOCTL, uintptr(listener), answer, uintptr(unsafe.Pointer(said)))
		if errno != syscall.EINTR {
			return errno
		}
	}
}
