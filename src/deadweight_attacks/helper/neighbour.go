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

const segmentBytes = 4096

// neighbour SECONDS SECRET: another container, in whose memory a secret lies that everybody may read who is let near it. It waits
// for what those leave behind who share its processes.
func neighbour(words []string) error {
	id, _, errno := syscall.Syscall(syscall.SYS_SHMGET, 0, segmentBytes, 0o1000|0o666) // IPC_PRIVATE, IPC_CREAT
	if errno != 0 {
		fmt.Fprintln(os.Stderr, "shmget:", errno) // it is a neighbour without such memory then
	} else if segment, err := attached(id, 0); err == nil {
		copy(segment, words[1])
	}
	seconds, err := strconv.Atoi(words[0])
	for end := time.Now().Add(time.Duration(seconds) * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		for pid := 1; pid > 0; {
			pid, _ = syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
		}
	}
	return err
}

func attached(id uintptr, flags uintptr) ([]byte, error) {
	address, _, errno := syscall.Syscall(syscall.SYS_SHMAT, id, 0, flags)
	if errno != 0 {
		return nil, errno
	}
	return unsafe.Slice(*(**byte)(unsafe.Pointer(&address)), segmentBytes), nil
}

// sharedMemory reads every segment of System V shared memory that can be seen.
func sharedMemory([]string) error {
	table, err := os.ReadFile("/proc/sysvipc/shm")
	if err != nil {
		return err
	}
	last := errors.New("no shared memory is seen")
	for _, line := range strings.Split(string(table), "\n")[1:] {
		fields := strings.Fields(line)
		if len(fields) < 4 {
			continue
		}
		id, _ := strconv.Atoi(fields[1])
		size, _ := strconv.Atoi(fields[3])
		segment, err := attached(uintptr(id), 0o10000) // SHM_RDONLY
		if last = err; err == nil {
			fmt.Printf("%d: %s\n", id, bytes.Trim(segment[:min(size, segmentBytes)], "\x00"))
		}
	}
	return last
}
