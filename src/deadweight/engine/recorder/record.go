package main

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"unsafe"
)

// The file: a counter of 32 bits for each call's number, then for each family of sockets (socket(2)), then text: what links the
// program when it starts (empty: nothing does).
const (
	calls, families = 960, 64
	text            = (calls + families) * 4
	size            = text + 1024
	channel         = 200 // a descriptor that the program does not have, closed when it starts
)

func record(socket, told string, words []string) error {
	program, err := exec.LookPath(words[0])
	if err != nil && !errors.Is(err, exec.ErrDot) {
		return err
	}
	opened, err := meet(socket)
	if err != nil {
		return fmt.Errorf("%s: %w", socket, err)
	}
	if err := syscall.Dup3(opened, channel, syscall.O_CLOEXEC); err != nil {
		return err
	}
	path, _ := syscall.BytePtrFromString(program)
	argv, _ := syscall.SlicePtrFromStrings(words)
	env, _ := syscall.SlicePtrFromStrings(os.Environ())
	said := []byte(linker(program, 0) + "\x00")
	filter, err := filterFor(channel, told)
	if err != nil {
		return err
	}
	control := syscall.UnixRights(0)
	descriptor := (*int32)(unsafe.Pointer(&control[syscall.CmsgLen(0)]))
	vector := syscall.Iovec{Base: &said[0], Len: uint64(len(said))}
	message := syscall.Msghdr{Iov: &vector, Iovlen: 1, Control: &control[0]}
	message.SetControllen(len(control))
	// A signal of Go's own scheduler would end in a call (rt_sigreturn) that waits for a listener whom nobody has yet, for ever.
	all, before := ^uint64(0), uint64(0)
	mask(&all, &before)
	listener, err := install(filter)
	if err != nil {
		return err
	}
	*descriptor = int32(listener)
	syscall.RawSyscall(syscall.SYS_SENDMSG, channel, uintptr(unsafe.Pointer(&message)), 0)
	mask(&before, nil) // the program inherits it
	_, _, errno := syscall.RawSyscall(syscall.SYS_EXECVE, uintptr(unsafe.Pointer(path)),
		uintptr(unsafe.Pointer(&argv[0])), uintptr(unsafe.Pointer(&env[0])))
	return fmt.Errorf("%s: %w", program, errno)
}

// mask sets which signals this thread does not get now, and tells which those were.
func mask(blocked, before *uint64) {
	const set = 2 // SIG_SETMASK
	syscall.RawSyscall6(syscall.SYS_RT_SIGPROCMASK, set, uintptr(unsafe.Pointer(blocked)), uintptr(unsafe.Pointer(before)), 8, 0, 0)
}

// linker tells what a program is linked by at its start: of a script, what its interpreter is.
func linker(program string, depth int) string {
	opened, err := os.Open(program)
	if err != nil || depth > deepest {
		return ""
	}
	defer opened.Close()
	next, script := startedBy(opened)
	if script {
		return linker(next, depth+1)
	}
	return next
}

const deepest = 4 // scripts that are interpreted by scripts

// startedBy gives what the kernel starts instead of a program, or before it: the interpreter of a script, or what links it.
func startedBy(opened io.ReaderAt) (string, bool) {
	head := make([]byte, 256)
	count, _ := opened.ReadAt(head, 0)
	if bytes.HasPrefix(head[:count], []byte("#!")) {
		line, _, _ := strings.Cut(string(head[2:count]), "\n")
		if words := strings.Fields(line); len(words) > 0 {
			return words[0], true
		}
		return "", false
	}
	binary, err := elf.NewFile(opened)
	if err != nil {
		return "", false
	}
	for _, part := range binary.Progs {
		if part.Type == elf.PT_INTERP && part.Filesz < 512 {
			name := make([]byte, part.Filesz)
			part.ReadAt(name, 0)
			return strings.TrimRight(string(name), "\x00"), false
		}
	}
	return "", false
}

// supervise counts, and lets every call go on, until nobody is left who could make one. It says so once it listens.
func supervise(socket, file string) error {
	opened, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	shared, err := syscall.Mmap(int(opened.Fd()), 0, size, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	if err != nil {
		return err
	}
	listening, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		return err
	}
	if err := os.Chmod(socket, 0o666); err != nil { // the folder around it is the caller's alone
		return err
	}
	fmt.Println("ready")
	connection, err := listening.AcceptUnix()
	if err != nil {
		return err
	}
	listener, said, err := handed(connection)
	if err != nil {
		return err
	}
	copy(shared[text:], said)
	tally(listener, (*[calls + families]uint32)(unsafe.Pointer(&shared[0])))
	return nil
}

// handed gives what the filter tells by, and what else was said of the program.
func handed(connection *net.UnixConn) (int, []byte, error) {
	defer connection.Close()
	said, control := make([]byte, size-text), make([]byte, syscall.CmsgSpace(4))
	count, got, _, _, err := connection.ReadMsgUnix(said, control)
	if err != nil {
		return 0, nil, err
	}
	messages, err := syscall.ParseSocketControlMessage(control[:got])
	if err != nil || len(messages) != 1 {
		return 0, nil, fmt.Errorf("nothing to listen to: %v", err)
	}
	rights, err := syscall.ParseUnixRights(&messages[0])
	if err != nil {
		return 0, nil, err
	}
	return rights[0], said[:count], nil
}

func tally(listener int, counters *[calls + families]uint32) {
	var told notice
	for waiting(listener) && next(listener, &told) {
		if told.number >= 0 && told.number < calls {
			atomic.AddUint32(&counters[told.number], 1)
		}
		if told.number == syscall.SYS_SOCKET && told.words[0] < families {
			atomic.AddUint32(&counters[calls+told.words[0]], 1)
		}
		say(listener, &reply{id: told.id, flag: goOn})
	}
}
