package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
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

// sharedMemory reads every segment of System V shared memory that is listed.
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
		last = segment(uintptr(id), size)
	}
	return last
}

// sharedMemoryByNumber asks the kernel for one segment after another (shmctl(2), SHM_INFO and SHM_STAT).
func sharedMemoryByNumber([]string) error {
	status := make([]byte, 256)
	highest, err := call(sysShmctl, 0, 14, given(status))
	if err != nil {
		return fmt.Errorf("shmctl: %w", err)
	}
	last := errors.New("no shared memory is seen")
	for index := uintptr(0); index <= min(highest, 4096); index++ {
		id, err := call(sysShmctl, index, 13, given(status))
		if err != nil {
			continue
		}
		last = segment(id, segmentBytes)
	}
	return last
}

func segment(id uintptr, size int) error {
	content, err := attached(id, 0o10000) // SHM_RDONLY
	if err == nil {
		fmt.Printf("%d: %s\n", id, bytes.Trim(content[:min(size, segmentBytes)], "\x00"))
	}
	return err
}

// sharedMemoryInFiles reads what lies in shared memory by name (shm_overview(7)).
func sharedMemoryInFiles([]string) error {
	files, _ := filepath.Glob("/dev/shm/*")
	last := errors.New("no shared memory has a name")
	for _, file := range files {
		content, err := os.ReadFile(file)
		fmt.Printf("%s: %s\n", file, content[:min(len(content), segmentBytes)])
		if last = err; err == nil {
			last = errNothing
		}
	}
	return last
}
